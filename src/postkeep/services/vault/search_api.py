"""What searches read, on the wire: sealed search texts, and segments of indexes over them."""

import msgspec

from postkeep.services.vault.api import NewEpoch

BLOCK_SHIFT = 10
"""A segment covers the UIDs of one block, `uid >> BLOCK_SHIFT`: 1,024, so that it is some megabytes and is
written seldom."""


class FetchTexts(msgspec.Struct, frozen=True):
    """`vault.texts`: sealed search texts of these UIDs, which an answer of 16 MiB or 8,192 messages ends."""

    principal: bytes
    mailbox: bytes
    uids: list[tuple[int, int]]


class SealedText(msgspec.Struct, frozen=True, array_like=True):
    """A search text and what it takes, beside the epoch, to open it."""

    uid: int
    body: bytes
    epoch: bytes
    index: int
    wraps: bytes
    text: bytes
    """Empty: the message was stored without one, and its content has to be read."""


class TextList(msgspec.Struct, frozen=True):
    """By UID; messages that are gone are left out. With `more`, ask on behind the last one."""

    texts: list[SealedText]
    more: bool = False


class NewSegment(msgspec.Struct, frozen=True):
    """`vault.put_segment`: keep a segment of a full block. One that is not exact any more, or is there
    already, is left out without a word. Only the owner puts them: a reader of a shared mailbox
    can't mislead the owner."""

    principal: bytes
    mailbox: bytes
    block: int
    uids: bytes
    """u32 LE of the messages in it, ascending: nothing is kept unless these are all there are."""
    segment: bytes
    """Identifier made by the maker; keys and data are bound to it."""
    epoch: bytes
    index: int
    wraps: bytes
    sealed: bytes
    epochs: list[NewEpoch]
    replaces: bytes = b""
    """The segment that stands there now and is of no use."""


class FetchSegments(msgspec.Struct, frozen=True):
    """`vault.segments`: which segments there are for blocks in inclusive ranges, and how each begins. An
    answer of 512 ends it: ask on from the last block + 1."""

    principal: bytes
    mailbox: bytes
    blocks: list[tuple[int, int]]
    first_octets: int
    """How much of each is wanted, at most 64 KiB."""


class SealedSegment(msgspec.Struct, frozen=True, array_like=True):
    """A segment: what it takes, beside the epoch, to open it, and its first octets."""

    block: int
    body: bytes
    """Its identifier."""
    epoch: bytes
    index: int
    wraps: bytes
    total: int
    """Octets of the whole, sealed."""
    first: bytes


class SegmentList(msgspec.Struct, frozen=True):
    """By block. With `more`, the answer was full."""

    segments: list[SealedSegment]
    more: bool = False


class SegmentRange(msgspec.Struct, frozen=True, array_like=True):
    """Part of a segment, in octets of ciphertext."""

    block: int
    body: bytes
    offset: int
    length: int


class FetchSegmentParts(msgspec.Struct, frozen=True):
    """`vault.segment_parts`: parts of segments, by block. Answers stop after 16 MiB; ask again for what is
    missing."""

    principal: bytes
    mailbox: bytes
    ranges: list[SegmentRange]


class SegmentParts(msgspec.Struct, frozen=True):
    """The octets asked for, in order, as far as they fit. Empty: the segment has gone."""

    parts: list[bytes]
