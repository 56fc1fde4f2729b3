"""Pages on the wire: what a face made of many messages' summaries, sealed as one, for whoever reads next.

A page covers one aligned block of 128 UIDs and is there only while it is exact: whatever removes a message
drops the pages of its block and overwrites their keys with its own.
"""

from enum import IntEnum
from typing import Final

import msgspec

from postkeep.services.vault.api import NewEpoch

PAGE_SHIFT: Final = 7
"""A block is `uid >> PAGE_SHIFT`: 128 UIDs, so that a page is opened in the time of a read from disk."""


class PageKind(IntEnum):
    """What a page is for."""

    FETCH = 1
    """What FETCH answers: envelopes and body structures."""
    FACTS = 2
    """What SEARCH, SORT and THREAD compare."""


class NewPage(msgspec.Struct, frozen=True, array_like=True):
    """A page as its maker hands it in."""

    kind: PageKind
    block: int
    uids: bytes
    """u32 LE of the messages in it, ascending: the page is dropped unless these are all there are."""
    page: bytes
    """Identifier made by the maker; keys and data are bound to it."""
    epoch: bytes
    index: int
    wraps: bytes
    sealed: bytes


class PutPages(msgspec.Struct, frozen=True):
    """`vault.put_pages`: keep pages of full blocks. One that is not exact any more, or is there already, is
    left out without a word. Only a mailbox's owner puts pages: a reader of a shared one can't mislead it."""

    principal: bytes
    mailbox: bytes
    pages: list[NewPage]
    epochs: list[NewEpoch]


class FetchPages(msgspec.Struct, frozen=True):
    """`vault.pages`: pages of blocks in inclusive ranges. An answer stops after 16 MiB: ask on from the last
    block + 1."""

    principal: bytes
    mailbox: bytes
    kind: PageKind
    blocks: list[tuple[int, int]]


class SealedPage(msgspec.Struct, frozen=True, array_like=True):
    """A page and what it takes, beside the epoch, to open it."""

    block: int
    page: bytes
    epoch: bytes
    index: int
    wraps: bytes
    sealed: bytes


class PageList(msgspec.Struct, frozen=True):
    """By block. With `more`, the answer was full."""

    pages: list[SealedPage]
    more: bool = False
