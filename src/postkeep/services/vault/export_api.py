"""Exports of a person's mail, on the wire: read with the grant of an approved request only."""

import msgspec

from postkeep.model.selection import Selection
from postkeep.services.vault.api import EpochRow, MailboxRow, SealedContent


class ExportBegin(msgspec.Struct, frozen=True):
    """`vault.export_begin`: the mailboxes of an export; the ledger has it before the answer. Answers
    `ExportBegun`."""

    principal: bytes
    selection: Selection


class ExportBegun(msgspec.Struct, frozen=True):
    """The mailboxes, and the epochs that their names are sealed with."""

    mailboxes: list[MailboxRow]
    epochs: list[EpochRow]
    messages: int
    """How many there are in the selection now."""


class ExportPage(msgspec.Struct, frozen=True):
    """`vault.export_page`: messages of one mailbox from a UID on, as many as one answer holds. Answers
    `ExportedPage`."""

    principal: bytes
    selection: Selection
    mailbox: bytes
    uid: int = 1
    """The first that is wanted."""
    offset: int = 0
    """How many octets of its sealed body are there already."""
    length: int = 0
    """The most octets of the first body in this answer; what is left of it is asked for next."""


class ExportedMessage(msgspec.Struct, frozen=True, array_like=True):
    """One message; only the first body of an answer may be less than whole."""

    uid: int
    flags: tuple[str, ...]
    internal_date_ms: int
    content: SealedContent


class ExportedPage(msgspec.Struct, frozen=True):
    """Messages by UID, the epochs that they are sealed with, and where to go on. Messages that were expunged
    while they were read are left out."""

    messages: list[ExportedMessage]
    epochs: list[EpochRow]
    next_uid: int
    """0: there are no more."""
    next_offset: int = 0
    """Octets of that message's sealed body that have been given already."""


class ExportEnd(msgspec.Struct, frozen=True):
    """`vault.export_end`: the export is whole; the ledger has its count and digest before the answer."""

    principal: bytes
    selection: Selection
    messages: int
    digest: bytes
    """SHA-256 of the sealed file."""
