"""Flags as the vault keeps them: the five system flags as bits, keywords as a list.

Source: RFC 9051 section 2.3.2. Names of system flags compare without case, keywords as well (the first
spelling on a message stays).
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from postkeep.base.errors import InvalidInputError, LimitError

KEYWORDS_MAX: Final = 64  # keywords of one message: more is not filing but storing
KEYWORD_OCTETS_MAX: Final = 100  # the longest name of a keyword

SEEN: Final = 1
ANSWERED: Final = 2
FLAGGED: Final = 4
DELETED: Final = 8
DRAFT: Final = 16

_BITS: Final = {
    "\\seen": SEEN,
    "\\answered": ANSWERED,
    "\\flagged": FLAGGED,
    "\\deleted": DELETED,
    "\\draft": DRAFT,
}
_NAMES: Final = ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft")
_SYSTEM: Final = tuple(
    tuple(name for bit, name in enumerate(_NAMES) if mask >> bit & 1) for mask in range(1 << len(_NAMES))
)
# An atom of RFC 9051 section 9: printable ASCII without the characters that mean something to the parser.
_KEYWORD: Final = re.compile(r'[^\x00-\x20\x7f-\U0010ffff(){%*"\\\]]+\Z')


class Flags(NamedTuple):
    """A message's flags: bits, and keywords in the order they were set."""

    bits: int
    keywords: tuple[str, ...] = ()


def parse_flags(names: Iterable[str]) -> Flags:
    """Read flags from their names; raise InvalidInputError for what is none, LimitError for too many."""
    bits = 0
    keywords: dict[str, str] = {}
    for name in names:
        bit = _BITS.get(name.lower())
        if bit is not None:
            bits |= bit
        elif len(name) <= KEYWORD_OCTETS_MAX and _KEYWORD.match(name):
            keywords.setdefault(name.lower(), name)
        else:
            raise InvalidInputError(f"not a flag: {name[:KEYWORD_OCTETS_MAX]!r}")
    if len(keywords) > KEYWORDS_MAX:
        raise LimitError(public_text=f"A message can have {KEYWORDS_MAX} keywords.")
    return Flags(bits, tuple(keywords.values()))


def flag_names(bits: int, keywords: Iterable[str] | None) -> tuple[str, ...]:
    """Write flags as names, system flags first."""
    return (*_SYSTEM[bits], *keywords) if keywords else _SYSTEM[bits]


def change_flags(now: Flags, mode: str, change: Flags) -> Flags:
    """Return the flags after `add`, `remove` or `replace`; raise LimitError for too many keywords."""
    if mode == "replace":
        return change
    if mode == "remove":
        gone = {keyword.lower() for keyword in change.keywords}
        kept = tuple(keyword for keyword in now.keywords if keyword.lower() not in gone)
        return Flags(now.bits & ~change.bits, kept)
    if mode != "add":
        raise InvalidInputError(f"no such way to change flags: {mode[:20]!r}")
    if not change.keywords:
        return Flags(now.bits | change.bits, now.keywords)
    there = {keyword.lower() for keyword in now.keywords}
    added = tuple(keyword for keyword in change.keywords if keyword.lower() not in there)
    if len(now.keywords) + len(added) > KEYWORDS_MAX:
        raise LimitError(public_text=f"A message can have {KEYWORDS_MAX} keywords.")
    return Flags(now.bits | change.bits, now.keywords + added)
