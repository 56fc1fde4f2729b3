"""What one destruction is about, as people approve it and as every keeper holds its grant against."""

import hashlib
from enum import StrEnum
from typing import Final

import msgspec

from postkeep.base.errors import InvalidInputError
from postkeep.base.ids import ID_BYTES, NOBODY
from postkeep.crypto.context import context

PURPOSE: Final = "destroy"
"""The kind of request, and so the purpose of the grant, that a warrant belongs to."""
REASON_CHARS_MAX: Final = 1000  # characters: a case number and a sentence, not a file
NAME_CHARS_MAX: Final = 64  # characters of the name of a category or backup
RANGES_MAX: Final = 1000  # ranges of UIDs in one order: what a person lists


class Unit(StrEnum):
    """What one order destroys, the narrowest first."""

    MESSAGE = "message"
    MAILBOX = "mailbox"
    PERSON = "person"
    CATEGORY = "category"
    TENANT = "tenant"
    BACKUP = "backup"


_NAMES: Final = {
    Unit.MESSAGE: (True, True, True),
    Unit.MAILBOX: (True, True, True),
    Unit.PERSON: (True, True, False),
    Unit.TENANT: (True, False, False),
    Unit.CATEGORY: (True, False, False),
    Unit.BACKUP: (False, False, False),
}
"""For each unit, whether it names a tenant, a principal and a mailbox."""


class Warrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Exactly what is destroyed. A destroying request carries it whole, and nothing beside it says what."""

    unit: Unit
    tenant: bytes = NOBODY
    principal: bytes = NOBODY
    mailbox: bytes = b""
    uids: list[tuple[int, int]] = []
    """Messages: inclusive ranges of UIDs. A mailbox: those that it had when it was ordered."""
    category: str = ""
    backup: str = ""
    reason: str = ""

    @property
    def owner(self) -> bytes:
        """Whose it is; empty: the tenant's as a whole."""
        return b"" if self.principal == NOBODY else self.principal

    def digest(self) -> bytes:
        """Return the hash of what is to be destroyed: approvals are for exactly this."""
        chosen = self.uids if self.unit is Unit.MESSAGE else []  # a mailbox is ordered whole, however full
        ranges = b"".join(low.to_bytes(8, "big") + high.to_bytes(8, "big") for low, high in chosen)
        fields = (self.unit.value, self.tenant, self.principal, self.mailbox, ranges)
        rest = (self.category, self.backup, self.reason)
        return hashlib.sha256(context("destruction order", *fields, *rest)).digest()

    def check(self) -> None:
        """Raise InvalidInputError for one that names too little or too much for its unit."""
        named = (self.tenant != NOBODY, self.principal != NOBODY, bool(self.mailbox))
        sizes = (len(self.tenant), len(self.principal), len(self.mailbox or NOBODY))
        if named != _NAMES[self.unit] or any(size != ID_BYTES for size in sizes):
            raise InvalidInputError("an order that does not name what its unit needs")
        by_uid = self.unit in {Unit.MESSAGE, Unit.MAILBOX}
        if bool(self.uids) != by_uid or len(self.uids) > RANGES_MAX:
            raise InvalidInputError(
                code="invalid.uids",
                public_text=f"Name the messages by UID, in at most {RANGES_MAX} ranges.",
            )
        if any(not 0 < low <= high < 2**32 for low, high in self.uids):
            raise InvalidInputError(
                public_text="A UID is a number from 1 to 4294967295, and a range goes upwards: 7:9."
            )
        is_category, is_backup = self.unit is Unit.CATEGORY, self.unit is Unit.BACKUP
        if bool(self.category) != is_category or bool(self.backup) != is_backup:
            raise InvalidInputError("an order with a category or backup that its unit has none of")
        if len(self.category) > NAME_CHARS_MAX or len(self.backup) > NAME_CHARS_MAX:
            raise InvalidInputError(public_text="There is no category or backup with so long a name.")
        if len(self.reason) > REASON_CHARS_MAX:
            raise InvalidInputError(
                code="invalid.reason", public_text=f"A reason has at most {REASON_CHARS_MAX} characters."
            )
