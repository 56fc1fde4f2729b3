"""What SEARCH and SORT answer, written piece by piece: a result may be a million numbers."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from postkeep.protocols.imap.partial import PartialRange
from postkeep.protocols.imap.sequence import Ranges
from postkeep.protocols.imap.strings import render_string

_NUMBERS_PER_PIECE: Final = 8_192
"""Numbers or ranges in one piece: well below a hundred kilobytes."""


def numbers_line(kind: bytes, numbers: Iterable[int], modseq: int | None = None) -> Iterator[bytes]:
    """Write SEARCH or SORT; `modseq` where the keys named it (RFC 7162 section 3.1.6)."""
    yield b"* " + kind
    left = iter(numbers)
    while piece := list(islice(left, _NUMBERS_PER_PIECE)):
        yield (" " + " ".join(map(str, piece))).encode("ascii")
    yield b"\r\n" if modseq is None else b" (MODSEQ %d)\r\n" % modseq


class ExtendedAnswer:
    """ESEARCH (RFC 4731): the tag as correlator, then name and value of each result."""

    def __init__(self, tag: bytes, *, uid: bool) -> None:
        self._pieces: list[Iterable[bytes]] = [
            [b"* ESEARCH (TAG ", render_string(tag), b") UID" if uid else b")"],
        ]

    def number(self, name: bytes, value: int) -> None:
        """Add MIN, MAX, COUNT or MODSEQ."""
        self._pieces.append([b" %b %d" % (name, value)])

    def set(self, name: bytes, spans: Ranges) -> None:
        """Add ALL."""
        self._pieces += [[b" ", name, b" "], _spans(spans)]

    def window(self, partial: PartialRange, spans: Ranges) -> None:
        """Add PARTIAL; no message in the window: NIL (RFC 9394 section 3.1)."""
        self._pieces += [
            [b" PARTIAL (", bytes(partial), b" "],
            _spans(spans) if spans else [b"NIL"],
            [b")"],
        ]

    def __iter__(self) -> Iterator[bytes]:
        for pieces in self._pieces:
            yield from pieces
        yield b"\r\n"


def spans_in_order(numbers: Iterable[int]) -> Ranges:
    """Return ranges that name these numbers in just this order (RFC 5267 section 3.2)."""
    spans: Ranges = []
    first = last = 0
    for value in numbers:
        if first and value == last + 1:
            last = value
            continue
        if first:
            spans.append((first, last))
        first = last = value
    if first:
        spans.append((first, last))
    return spans


def _spans(spans: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    for start in range(0, len(spans), _NUMBERS_PER_PIECE):
        piece = spans[start : start + _NUMBERS_PER_PIECE]
        written = ",".join([f"{low}" if low == high else f"{low}:{high}" for low, high in piece])
        yield (b"," if start else b"") + written.encode("ascii")
