"""Opening a mailbox and reading its rows, as values on the wire: in columns, so that a row costs a fraction
of a microsecond and not an object. Numbers are little-endian."""

from typing import Final

import msgspec

from postkeep.services.vault.mailbox_api import MailboxRow

KEYWORDS_LISTED_MAX: Final = 1000
"""Keywords that a mailbox tells of: messages may get more, but those are not announced."""

ROWS_MAX: Final = 65_504
"""Rows in one answer: with the 32 combinations of system flags they stay below 65,536 sets of flags."""


class OpenMailbox(msgspec.Struct, frozen=True):
    """`vault.select`: what there is to say of a mailbox before any row is read."""

    principal: bytes
    mailbox: bytes


class Opened(msgspec.Struct, frozen=True):
    """The answer costs what the gaps in the mailbox cost, not its messages."""

    mailbox: MailboxRow
    runs: bytes
    """The UIDs that are there, as pairs of u32 (low, high), ascending and never adjacent."""
    first_unseen: int
    """UID of the first message without \\Seen, 0: none."""
    keywords: tuple[str, ...]
    """Every keyword that was ever set in this mailbox, in the order of their first use: at most
    `KEYWORDS_LISTED_MAX`. It only grows."""


class Rows(msgspec.Struct, frozen=True, array_like=True):
    """What the vault knows of messages in the clear, by UID, one column after another."""

    uids: bytes = b""
    """u32"""
    modseqs: bytes = b""
    """u64"""
    flags: bytes = b""
    """u16, an index into `flag_sets`"""
    flag_sets: list[tuple[str, ...]] = []
    dates: bytes = b""
    """i64, INTERNALDATE in milliseconds since 1970"""
    sizes: bytes = b""
    """u32, RFC822.SIZE"""
    saved: bytes = b""
    """i64, when the message came into this mailbox (RFC 8514) in milliseconds since 1970; 0: before that was
    kept"""
    bodies: bytes = b""
    """16 octets each"""

    def __len__(self) -> int:
        """How many rows."""
        return len(self.uids) // 4


class FetchRows(msgspec.Struct, frozen=True):
    """`vault.rows`: the rows of these UIDs; at most `ROWS_MAX`, ask again from the last UID on. UIDs that are
    gone are left out."""

    principal: bytes
    mailbox: bytes
    uids: list[tuple[int, int]]


class Updates(msgspec.Struct, frozen=True):
    """`vault.updates`: what has changed since a modseq, new messages included."""

    principal: bytes
    mailbox: bytes
    since_modseq: int
    uids: list[tuple[int, int]] | None = None
    """Inclusive ranges to limit the answer to."""


class UpdatePage(msgspec.Struct, frozen=True):
    """As of one moment. With `more`, rows are left: ask again with UIDs above the last one here, and go on
    from the `highest_modseq` of the first answer."""

    mailbox: MailboxRow
    rows: Rows
    vanished: bytes
    """Pairs of u32 (low, high): UIDs that went since then, ascending. Complete for any modseq; for one of
    long ago it may name some that went earlier (RFC 7162 section 3.2.5.1 allows that)."""
    more: bool = False
