"""What of a person's mail one export reads, as people approve it and as the vault holds its grant against."""

import hashlib
from typing import Final

import msgspec

from postkeep.base.errors import InvalidInputError
from postkeep.crypto.context import context

PURPOSE: Final = "export"
"""The kind of request, and so the purpose of the grant, that a selection belongs to."""
TIME_MS_MAX: Final = 253_402_300_799_000  # milliseconds: the last second that a date can show
RECIPIENT_BYTES: Final = 32  # SHA-256


class Selection(msgspec.Struct, frozen=True):
    """What of a person's mail, and for whom: exactly what is approved."""

    mailbox: bytes = b""
    """Empty: all of them."""
    since_ms: int = 0
    """Messages that arrived at this time or later."""
    until_ms: int = 0
    """And before this time; 0: until now."""
    recipient: bytes = b""
    """SHA-256 of the public key that the export is sealed to; empty: it is sealed with a passphrase."""

    def check(self) -> None:
        """Raise InvalidInputError for times or a recipient that can't be."""
        if not 0 <= self.since_ms <= TIME_MS_MAX or not 0 <= self.until_ms <= TIME_MS_MAX:
            raise InvalidInputError("no such time")
        if self.until_ms and self.until_ms <= self.since_ms:
            raise InvalidInputError(code="invalid.range", public_text="The export ends before it begins.")
        if len(self.recipient) not in {0, RECIPIENT_BYTES}:
            raise InvalidInputError("a recipient is named by 32 octets")


def export_subject(tenant: bytes, principal: bytes, selection: Selection) -> bytes:
    """Return the digest that approvers approve and the grant carries."""
    chosen = (selection.mailbox, selection.since_ms, selection.until_ms, selection.recipient)
    return hashlib.sha256(context("export", tenant, principal, *chosen)).digest()
