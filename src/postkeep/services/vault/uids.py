"""Sets of UIDs as inclusive ranges."""

from collections.abc import Iterable, Sequence
from typing import Final

from postkeep.base.errors import InvalidInputError, LimitError

UID_MAX: Final = 2**32 - 1  # RFC 9051 section 2.3.1.1
RANGES_MAX: Final = 100_000  # ranges in one request: every second UID of a mailbox of 200,000

Range = tuple[int, int]


def merge_ranges(ranges: Sequence[Range], *, ranges_max: int = RANGES_MAX) -> list[Range]:
    """Put ranges in order, without overlap. Raise InvalidInputError for one that runs backwards or is out
    of bounds, LimitError for too many."""
    if len(ranges) > ranges_max:
        raise LimitError(f"{len(ranges)} ranges of UIDs")
    merged: list[Range] = []
    for low, high in sorted(ranges):
        if not 0 < low <= high <= UID_MAX:
            raise InvalidInputError(f"not a range of UIDs: {low}:{high}")
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def merge_blocks(ranges: Sequence[Range]) -> list[Range]:
    """Put ranges of blocks in order, as `merge_ranges` does with UIDs; blocks are counted from 0."""
    merged = merge_ranges([(low + 1, high + 1) for low, high in ranges])
    return [(low - 1, high - 1) for low, high in merged]


def ranges_of(uids: Iterable[int]) -> list[Range]:
    """Write ascending UIDs as ranges."""
    ranges: list[Range] = []
    low = high = -1
    for uid in uids:
        if uid != high + 1:
            if low >= 0:
                ranges.append((low, high))
            low = uid
        high = uid
    if low >= 0:
        ranges.append((low, high))
    return ranges


def intersect_ranges(one: Sequence[Range], other: Sequence[Range]) -> list[Range]:
    """Return what two merged sets have in common."""
    common: list[Range] = []
    i = j = 0
    while i < len(one) and j < len(other):
        low, high = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if low <= high:
            common.append((low, high))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return common
