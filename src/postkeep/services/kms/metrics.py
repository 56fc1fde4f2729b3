"""What kms counts."""

from prometheus_client import Counter, Gauge

EPOCHS_OPENED = Counter(
    "postkeep_kms_epochs_opened_total", "Epochs opened for readers, by the form they came in.", ["form"]
)
EPOCHS_FAILED = Counter("postkeep_kms_epochs_failed_total", "Epochs that failed their authentication.")
REFUSALS = Counter("postkeep_kms_refusals_total", "Keys refused, by error code.", ["code"])
SIGNATURES = Counter("postkeep_kms_signatures_total", "Signatures made for callers.")
HELD = Gauge("postkeep_kms_held", "1 while a restored key store waits to be accepted.")
PRINCIPALS_CACHED = Gauge("postkeep_kms_principals_cached", "Principals whose keys are unwrapped in memory.")
