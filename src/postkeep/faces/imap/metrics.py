"""What the IMAP face counts."""

from prometheus_client import Counter, Gauge

CONNECTIONS = Gauge("postkeep_imap_connections", "Connections that are open.")
TURNED_AWAY = Counter("postkeep_imap_turned_away_total", "Connections for which there was no room.")
COMMANDS = Counter("postkeep_imap_commands_total", "Commands run, by name.", ["command"])
REFUSALS = Counter("postkeep_imap_refusals_total", "Commands that failed, by error code.", ["code"])
