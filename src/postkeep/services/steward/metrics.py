"""What the steward measures."""

from prometheus_client import Gauge

WITNESS_SOUND = Gauge(
    "postkeep_witness_sound",
    "Whether a witness signs the ledger's heads (1), or anything else (0).",
    ["witness"],
)
WITNESS_SIZE = Gauge(
    "postkeep_witness_size_entries", "Entries of the newest head that a witness has signed.", ["witness"]
)
