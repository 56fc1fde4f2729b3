"""What the database's log says of logins that it refused: they belong in the ledger as every refusal does."""

import re
from typing import Final

from postkeep.node.postgres.settings import KEEPERS

_REFUSED: Final = re.compile(
    r"(?:FATAL|ERROR):\s+(?:\w+ authentication failed for user\b|permission denied for \w"
    r'|no pg_hba\.conf entry for\b|pg_hba\.conf rejects connection\b|role ")'
)
_NAME: Final = re.compile(r'"([^"]*)"')


def refusal_in(line: str) -> str | None:
    """Return whose login or database a line of the log tells of, if it tells of a refusal.

    The names in the line were chosen by whoever was refused: only those that are ours are repeated.
    """
    if _REFUSED.match(line) is None:
        return None
    return next((name for name in reversed(_NAME.findall(line)) if name in KEEPERS), "unknown")
