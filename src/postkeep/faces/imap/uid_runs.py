"""Which UIDs a mailbox holds, as runs: message numbers come from counts of runs, never from a list.

A mailbox out of which little has been deleted is a few runs, whatever its size.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from operator import sub
from typing import NamedTuple

from postkeep.base.errors import IntegrityError
from postkeep.protocols.imap.sequence import Ranges

_PAIR_BYTES = 8  # two u32


class Removed(NamedTuple):
    """What has been taken out: how a client is told, by numbers or by UIDs."""

    numbers: list[tuple[int, int]]
    """Message number and how often it is to be announced: each as it is when its turn comes."""
    uids: Ranges


def pairs(packed: bytes) -> Iterator[tuple[int, int]]:
    """Read pairs of u32, little-endian: first and last UID of each run. Raises IntegrityError."""
    if len(packed) % _PAIR_BYTES:
        raise IntegrityError("runs of UIDs are pairs")
    flat = array("I", packed)
    return zip(flat[0::2], flat[1::2], strict=True)


class UidRuns:
    """UIDs in ascending runs that do not touch each other. Positions start at 0."""

    __slots__ = ("_highs", "_lows", "_starts", "count")

    def __init__(self) -> None:
        self._lows = array("I")
        self._highs = array("I")
        self._starts = array("I")
        self.count = 0

    @classmethod
    def unpack(cls, packed: bytes) -> "UidRuns":
        """Read runs as the vault packs them (`pairs`); raises IntegrityError."""
        runs = cls()
        before = -1
        for low, high in pairs(packed):
            if not before + 1 < low <= high:
                raise IntegrityError("runs of UIDs ascend and do not touch each other")
            runs._lows.append(low)
            runs._highs.append(high)
            before = high
        runs._count_from(0)
        return runs

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._lows, self._highs, strict=True)

    @property
    def last(self) -> int:
        """The highest UID; 0: there is none."""
        return self._highs[-1] if self._highs else 0

    def uid_at(self, position: int) -> int:
        """Return the UID of a position; raises IndexError beyond the end."""
        if not 0 <= position < self.count:
            raise IndexError(position)
        at = bisect_right(self._starts, position) - 1
        return self._lows[at] + position - self._starts[at]

    def position(self, uid: int) -> int | None:
        """Find a UID; None: it is not there."""
        at = bisect_right(self._lows, uid) - 1
        if at < 0 or uid > self._highs[at]:
            return None
        return self._starts[at] + uid - self._lows[at]

    def positions(self, uids: Sequence[int]) -> "array[int]":
        """Return the positions of ascending UIDs; -1: it is not there."""
        if uids and uids[-1] - uids[0] == len(uids) - 1:
            span = self.span(uids[0], uids[-1])
            if len(span) == len(uids):
                return array("q", span)
        found = array("q")
        low, high, start = 1, 0, 0
        for uid in uids:
            if not low <= uid <= high:
                at = bisect_right(self._lows, uid) - 1
                if at < 0 or uid > self._highs[at]:
                    found.append(-1)
                    continue
                low, high, start = self._lows[at], self._highs[at], self._starts[at]
            found.append(start + uid - low)
        return found

    def span(self, low: int, high: int) -> range:
        """Return the positions of the UIDs from `low` to `high`."""
        return range(self._before(low), self._before(high + 1))

    def within(self, run: range) -> Ranges:
        """Return the UID ranges of these positions, exactly."""
        if not run:
            return []
        first = bisect_right(self._starts, run.start) - 1
        last = bisect_right(self._starts, run.stop - 1) - 1
        found = list(zip(self._lows[first : last + 1], self._highs[first : last + 1], strict=True))
        found[0] = (self._lows[first] + run.start - self._starts[first], found[0][1])
        found[-1] = (found[-1][0], self._lows[last] + run.stop - 1 - self._starts[last])
        return found

    def uids_in(self, runs: Iterable[range]) -> "array[int]":
        """Return the UIDs of these positions, one by one."""
        uids = array("I")
        for run in runs:
            for low, high in self.within(run):
                uids.extend(range(low, high + 1))
        return uids

    def append(self, uids: Iterable[int]) -> None:
        """Add UIDs at the end: each above all that are there."""
        first = len(self._lows)
        for uid in uids:
            if self._highs and uid == self._highs[-1] + 1:
                self._highs[-1] = uid
            else:
                self._lows.append(uid)
                self._highs.append(uid)
        self._count_from(max(first - 1, 0))

    def remove(self, ranges: Ranges) -> Removed:
        """Take out the UIDs of these (merged) ranges, as far as they are there."""
        removed = Removed([], [])
        taken = 0
        for low, high in ranges:
            span = self.span(low, high)
            if not span:
                continue
            removed.numbers.append((span.start + 1 - taken, len(span)))
            removed.uids.extend(self.within(span))
            taken += len(span)
        if taken:
            self._cut_out(removed.uids)
        return removed

    def _cut_out(self, ranges: Ranges) -> None:
        """Take out ranges that are there whole; only the runs that they touch are written anew."""
        first = bisect_right(self._lows, ranges[0][0]) - 1
        last = bisect_right(self._lows, ranges[-1][0]) - 1
        lows, highs = array("I"), array("I")
        at = 0
        for low, high in zip(self._lows[first : last + 1], self._highs[first : last + 1], strict=True):
            start = low
            while at < len(ranges) and ranges[at][0] <= high:
                if start < ranges[at][0]:
                    lows.append(start)
                    highs.append(ranges[at][0] - 1)
                start = ranges[at][1] + 1
                at += 1
            if start <= high:
                lows.append(start)
                highs.append(high)
        self._lows[first : last + 1] = lows
        self._highs[first : last + 1] = highs
        self._count_from(first)

    def _count_from(self, first: int) -> None:
        """Count again from a run on."""
        begin = self._starts[first] if first < len(self._starts) else 0
        if first and first >= len(self._starts):
            first, begin = 0, 0
        sizes = map(sub, self._highs[first:], self._lows[first:])
        starts = array("I", accumulate((size + 1 for size in sizes), initial=begin))
        self.count = starts.pop()
        self._starts[first:] = starts

    def _before(self, uid: int) -> int:
        """Return how many UIDs are below this one."""
        at = bisect_left(self._lows, uid) - 1
        if at < 0:
            return 0
        return self._starts[at] + min(uid - 1, self._highs[at]) - self._lows[at] + 1
