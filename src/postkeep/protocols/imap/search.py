"""What SEARCH, SORT and THREAD can ask for: a tree of keys.

RFC 3501 and 9051 section 6.4.4, and what RFC 4731, 5032, 5182, 7162, 8474, 8514, 9394 add to them.
"""

import datetime as dt
from enum import StrEnum

import msgspec

from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.partial import PartialRange
from postkeep.protocols.imap.sequence import SequenceSet


class All(msgspec.Struct, frozen=True, tag=True):
    """Every message."""


class HasFlag(msgspec.Struct, frozen=True, tag=True):
    """A system flag or keyword is set."""

    flag: str


class Header(msgspec.Struct, frozen=True, tag=True):
    """A header field contains a text; an empty text: the field is there."""

    field: str
    text: str


class Body(msgspec.Struct, frozen=True, tag=True):
    """The body contains a text."""

    text: str


class Text(msgspec.Struct, frozen=True, tag=True):
    """Header or body contains a text."""

    text: str


class DateSource(StrEnum):
    """Which date is meant."""

    INTERNAL = ""
    SENT = "SENT"
    SAVED = "SAVED"
    """When the message came into this mailbox (RFC 8514)."""


class DateRelation(StrEnum):
    """How it compares, time and zone left aside."""

    BEFORE = "BEFORE"
    ON = "ON"
    SINCE = "SINCE"


class Date(msgspec.Struct, frozen=True, tag=True):
    """The internal date, the Date field or the save date is before, on or since a day."""

    source: DateSource
    relation: DateRelation
    day: dt.date


class Larger(msgspec.Struct, frozen=True, tag=True):
    """More octets than this."""

    size: int


class Smaller(msgspec.Struct, frozen=True, tag=True):
    """Fewer octets than this."""

    size: int


class Numbers(msgspec.Struct, frozen=True, tag=True):
    """These message numbers, or with `uid` these UIDs."""

    sequence: SequenceSet
    uid: bool


class ModSeq(msgspec.Struct, frozen=True, tag=True):
    """Changed at this modification sequence or later."""

    modseq: int


class Within(msgspec.Struct, frozen=True, tag=True):
    """The internal date lies less than this before now; `older`: this or more (RFC 5032)."""

    seconds: int
    older: bool


class ObjectKind(StrEnum):
    """What an object identifier names (RFC 8474)."""

    EMAILID = "EMAILID"
    THREADID = "THREADID"


class HasObjectId(msgspec.Struct, frozen=True, tag=True):
    """The message, or its thread, has this identifier."""

    kind: ObjectKind
    id: str


class Not(msgspec.Struct, frozen=True, tag=True):
    """The key does not match."""

    key: "SearchKey"


class Or(msgspec.Struct, frozen=True, tag=True):
    """One of two."""

    left: "SearchKey"
    right: "SearchKey"


class And(msgspec.Struct, frozen=True, tag=True):
    """All of these; never empty."""

    keys: tuple["SearchKey", ...]


SearchKey = (
    All
    | HasFlag
    | Header
    | Body
    | Text
    | Date
    | Within
    | Larger
    | Smaller
    | Numbers
    | ModSeq
    | HasObjectId
    | Not
    | Or
    | And
)


class ReturnOption(StrEnum):
    """RETURN options of ESEARCH (RFC 4731) and SEARCHRES (RFC 5182). PARTIAL has a type of its own."""

    MIN = "MIN"
    MAX = "MAX"
    ALL = "ALL"
    COUNT = "COUNT"
    SAVE = "SAVE"


class Returns(msgspec.Struct, frozen=True):
    """What stands in `RETURN (...)`, never empty: `RETURN ()` means ALL (RFC 4731 section 3.1)."""

    options: frozenset[ReturnOption] = frozenset()
    partial: PartialRange | None = None

    def __post_init__(self) -> None:
        """Refuse what the grammar has no form for."""
        if not self.options and self.partial is None:
            raise ImapSyntaxError("There is nothing to return.")
        if ReturnOption.ALL in self.options and self.partial is not None:  # RFC 9394 section 3.1
            raise ImapSyntaxError("ALL and PARTIAL exclude each other.")


def children(key: SearchKey) -> tuple[SearchKey, ...]:
    """Return the keys directly below a key."""
    if isinstance(key, Not):
        return (key.key,)
    if isinstance(key, Or):
        return (key.left, key.right)
    return key.keys if isinstance(key, And) else ()


def leaves(key: SearchKey) -> list[SearchKey]:
    """Return every key of the tree that has no key below it."""
    found: list[SearchKey] = []
    waiting = [key]
    while waiting:
        node = waiting.pop()
        below = children(node)
        if below:
            waiting.extend(below)
        else:
            found.append(node)
    return found
