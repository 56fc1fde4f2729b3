"""Sealed entries on the wire: annotations (RFC 5464) of mailboxes and accounts, and lone subscriptions.

All entries of one scope are one blob. The vault keeps it, counts its versions, and can't tell what is in it.
"""

from enum import IntEnum

import msgspec

from postkeep.services.vault.api import NewEpoch


class Scope(IntEnum):
    """Who reads a blob."""

    PRIVATE = 0
    """The principal alone."""
    SHARED = 1
    """Whoever may read the mailbox."""


class EntriesBlob(msgspec.Struct, frozen=True):
    """The sealed entries of a mailbox in one scope; `mailbox` NOBODY: of the account itself."""

    mailbox: bytes
    scope: Scope
    version: int
    """The principal's version when it was written; several blobs never share one."""
    epoch: bytes
    index: int
    sealed: bytes


class FetchEntries(msgspec.Struct, frozen=True):
    """`vault.entries`: the principal's blobs written after version `since` (0: all)."""

    principal: bytes
    since: int = 0
    mailbox: bytes | None = None
    """Of this mailbox only (NOBODY: of the account itself). Of another's mailbox, which has to be named, only
    the shared blob is given out."""


class EntriesList(msgspec.Struct, frozen=True):
    """In no particular order. `version`: of the principal, to be given as `since` the next time."""

    blobs: list[EntriesBlob]
    version: int


class SetEntries(msgspec.Struct, frozen=True):
    """`vault.set_entries`: replace one blob, only if it is still at `version` (0: there is none yet).
    Stale: `conflict`."""

    principal: bytes
    mailbox: bytes
    scope: Scope
    version: int
    epoch: bytes
    index: int
    sealed: bytes
    epochs: list[NewEpoch] = []
    owner: bytes = b""
    """Whose mailbox it is, for the private blob that a reader keeps about another's."""


class EntriesSet(msgspec.Struct, frozen=True):
    """The blob's new version."""

    version: int
