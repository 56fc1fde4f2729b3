"""Sets of messages as masks: one octet a message, 1 or 0, so that sets are made and combined in long strokes.

Two forms of one thing: `bytes` where octets are looked at, and the number that they are (little-endian) where
sets are combined with `&`, `|` and `^`.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, compress
from typing import Final

_RUN: Final = re.compile(rb"\x01+")


def full(count: int) -> int:
    """Return the mask of all of `count` messages."""
    return int.from_bytes(b"\1" * count, "little")


def number(mask: bytes | bytearray) -> int:
    """Return the mask as a number."""
    return int.from_bytes(mask, "little")


def runs_in(mask: bytes | bytearray) -> Iterator[range]:
    """Yield the places of a mask as runs, ascending."""
    return (range(*found.span()) for found in _RUN.finditer(mask))


class Found:
    """The positions of a mailbox that match, as far as it has been searched."""

    __slots__ = ("mask",)

    def __init__(self, total: int) -> None:
        self.mask = bytearray(total)

    def __len__(self) -> int:
        return self.mask.count(1)

    def __iter__(self) -> Iterator[int]:
        return compress(range(len(self.mask)), self.mask)

    def runs(self) -> list[range]:
        """Return the positions as runs, ascending."""
        return list(runs_in(self.mask))

    def first(self) -> int:
        """Return the first position; -1: none."""
        return self.mask.find(1)

    def last(self) -> int:
        """Return the last position; -1: none."""
        return self.mask.rfind(1)

    def add(self, runs: Iterable[range], mask: bytes) -> None:
        """Take in the matching ones of these runs; the mask has an octet for each of their positions."""
        start = 0
        for run in runs:
            self.mask[run.start : run.stop] = mask[start : start + len(run)]
            start += len(run)


def positions_in(runs: Iterable[range], mask: bytes) -> list[range]:
    """Return the positions of the runs that a mask keeps, as runs."""
    runs = list(runs)
    if len(runs) == 1:
        start = runs[0].start
        return [range(start + run.start, start + run.stop) for run in runs_in(mask)]
    kept: list[range] = []
    for at in compress(chain.from_iterable(runs), mask):
        if kept and kept[-1].stop == at:
            kept[-1] = range(kept[-1].start, at + 1)
        else:
            kept.append(range(at, at + 1))
    return kept
