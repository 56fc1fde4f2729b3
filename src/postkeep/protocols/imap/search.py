"""What SEARCH can ask for: a tree of keys (RFC 3501 section 6.4.4, RFC 4731, 5182, 7162)."""

import datetime as dt
from enum import StrEnum

import msgspec

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


class DateRelation(StrEnum):
    """How it compares, time and zone left aside."""

    BEFORE = "BEFORE"
    ON = "ON"
    SINCE = "SINCE"


class Date(msgspec.Struct, frozen=True, tag=True):
    """The internal date, or the Date field, is before, on or since a day."""

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


SearchKey = All | HasFlag | Header | Body | Text | Date | Larger | Smaller | Numbers | ModSeq | Not | Or | And


class ReturnOption(StrEnum):
    """RETURN options of ESEARCH (RFC 4731) and SEARCHRES (RFC 5182)."""

    MIN = "MIN"
    MAX = "MAX"
    ALL = "ALL"
    COUNT = "COUNT"
    SAVE = "SAVE"


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
