"""Sequence sets: which messages a command is about (RFC 3501 section 9, sequence-set; RFC 5182 for `$`)."""

from collections.abc import Iterable
from typing import Final

import msgspec

from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.limits import SEQUENCE_RANGES_MAX

NUMBER_MAX: Final = 0xFFFF_FFFF
STAR: Final = NUMBER_MAX + 1
"""`*`: the largest number in use."""

Ranges = list[tuple[int, int]]
"""Inclusive, ascending, not touching each other."""


class SequenceSet(msgspec.Struct, frozen=True):
    """Ranges as the client wrote them; `*` is STAR. `saved` is `$`, the result of the last SEARCH (SAVE)."""

    ranges: tuple[tuple[int, int], ...]
    saved: bool = False

    def __post_init__(self) -> None:
        """Refuse what no client can mean."""
        if bool(self.ranges) == self.saved:
            raise ImapSyntaxError("A sequence set is `$` or at least one number.")
        if len(self.ranges) > SEQUENCE_RANGES_MAX:
            raise ImapSyntaxError("The sequence set has too many ranges.")
        for first, last in self.ranges:
            if not (1 <= first <= STAR and 1 <= last <= STAR):
                raise ImapSyntaxError("A number in the sequence set is out of range.")

    def resolve(self, largest: int) -> Ranges:
        """Return merged ranges with `*` standing for `largest` (0: the mailbox is empty)."""
        spans = []
        for first, last in self.ranges:
            low = largest if first == STAR else first
            high = largest if last == STAR else last
            if low > high:
                low, high = high, low
            if high:
                spans.append((max(low, 1), high))
        return merge(spans)

    def __bytes__(self) -> bytes:
        """Return the wire form."""
        if self.saved:
            return b"$"
        return b",".join(
            _number(first) if first == last else _number(first) + b":" + _number(last)
            for first, last in self.ranges
        )


SAVED_RESULT: Final = SequenceSet((), saved=True)


def parse_sequence(raw: bytes) -> SequenceSet:
    """Read the wire form; raises ImapSyntaxError."""
    if raw == b"$":
        return SAVED_RESULT
    if raw.count(b",") >= SEQUENCE_RANGES_MAX:
        raise ImapSyntaxError("The sequence set has too many ranges.")
    ranges = []
    for piece in raw.split(b","):
        first, colon, last = piece.partition(b":")
        low = _parse_number(first)
        ranges.append((low, _parse_number(last) if colon else low))
    return SequenceSet(tuple(ranges))


def merge(spans: Iterable[tuple[int, int]]) -> Ranges:
    """Sort ranges and join those that touch."""
    merged: Ranges = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1] + 1:
            if high > merged[-1][1]:
                merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return merged


def spans_of(numbers: Iterable[int]) -> Ranges:
    """Return the ranges that hold exactly these ascending numbers."""
    spans: Ranges = []
    start = previous = 0
    for number in numbers:
        if number != previous + 1 or not start:
            if start:
                spans.append((start, previous))
            start = number
        previous = number
    if start:
        spans.append((start, previous))
    return spans


def render_ranges(spans: Iterable[tuple[int, int]]) -> bytes:
    """Write ranges in the wire form."""
    return b",".join(b"%d" % low if low == high else b"%d:%d" % (low, high) for low, high in spans)


def _number(value: int) -> bytes:
    return b"*" if value == STAR else b"%d" % value


def _parse_number(raw: bytes) -> int:
    if raw == b"*":
        return STAR
    if not raw.isdigit() or len(raw) > 10 or raw[0] == 0x30:  # noqa: PLR2004 - ten digits hold 2^32
        raise ImapSyntaxError("The sequence set is not valid.")
    return int(raw) if int(raw) <= NUMBER_MAX else _out_of_range()


def _out_of_range() -> int:
    raise ImapSyntaxError("A number in the sequence set is out of range.")
