"""Which UIDs of a mailbox are there, and which have gone, as runs.

What went with one command is stored as borders: for each run of UIDs the one below and the one above it, as
u32 big-endian. Between 1 and UIDNEXT - 1 the borders of everything that went are just the runs that are left,
so a mailbox with a hundred thousand gaps is opened by copying memory.
"""

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from postkeep.base.errors import IntegrityError

Runs = Sequence[tuple[int, int]]
"""Inclusive, ascending, not adjacent."""

GAPS: Final = """
SELECT b.tenant, b.mailbox, b.highest_modseq,
       string_agg(substring(int8send(g.below) FROM 5) || substring(int8send(g.uid) FROM 5), ''
                  ORDER BY g.uid) AS borders
FROM (
    SELECT tenant, mailbox, uid,
           coalesce(lag(uid) OVER (PARTITION BY tenant, mailbox ORDER BY uid), 0) AS below
    FROM (
        SELECT tenant, mailbox, uid FROM messages
        UNION ALL SELECT tenant, mailbox, uid_next FROM mailboxes
    ) AS known
) AS g
JOIN mailboxes b USING (tenant, mailbox)
WHERE g.uid > g.below + 1
GROUP BY b.tenant, b.mailbox, b.highest_modseq
"""
"""What has gone from each mailbox, worked out from the messages that are there: as one row of `expunged`."""

_LITTLE: Final = sys.byteorder == "little"


def pack_borders(runs: Runs) -> bytes:
    """Write the borders of runs."""
    flat = array("I")
    for low, high in runs:
        flat.append(low - 1)
        flat.append(high + 1)
    return big_endian(flat)


def unpack_borders(borders: bytes) -> list[tuple[int, int]]:
    """Read the runs that went."""
    flat = _native(borders)
    return [(low + 1, high - 1) for low, high in zip(flat[::2], flat[1::2], strict=True)]


def runs_left(history: Sequence[bytes], uid_next: int) -> "array[int]":
    """Return the runs that are left in a mailbox as low, high, low, high ...; `history` is everything that
    went, as borders.

    Never anything but that: IntegrityError where something went that can't have been there.
    """
    if not history:
        return array("I", (1, uid_next - 1) if uid_next > 1 else ())
    largest = max(range(len(history)), key=lambda number: len(history[number]))
    left = array("I", (1,))
    left += _native(history[largest])
    left.append(uid_next - 1)
    if left[-2] > uid_next:
        raise IntegrityError("UIDs went from a mailbox that it has not given yet")
    if left[1] == 0:  # the first run that went begins with UID 1
        del left[:2]
    if left and left[-2] == uid_next:
        del left[-2:]
    others = merged(borders for number, borders in enumerate(history) if number != largest)
    return _without(left, others) if others else left


def borders_around(left: "array[int]", uid_next: int) -> bytes:
    """Return the borders of everything that is not left: `runs_left` the other way round."""
    flat = array("I", (0,))
    flat += left
    flat.append(uid_next)
    if flat[1] == 1:
        del flat[:2]
    if flat and flat[-2] == uid_next - 1:
        del flat[-2:]
    return big_endian(flat)


def merged(history: Iterable[bytes]) -> list[tuple[int, int]]:
    """Return what went as runs in order."""
    packed = list(history)
    if len(packed) == 1:
        return unpack_borders(packed[0])
    runs: list[tuple[int, int]] = []
    for low, high in sorted(run for borders in packed for run in unpack_borders(borders)):
        if runs and low <= runs[-1][1] + 1:
            runs[-1] = runs[-1][0], max(high, runs[-1][1])
        else:
            runs.append((low, high))
    return runs


def little_endian(flat: "array[int]") -> bytes:
    """Write numbers as the wire has them."""
    if _LITTLE:
        return flat.tobytes()
    swapped = flat[:]
    swapped.byteswap()
    return swapped.tobytes()


def _without(left: "array[int]", gone: Runs) -> "array[int]":
    """Take runs out, each of which lies in one of those left; what lies between is copied whole."""
    result = array("I")
    at, low = 0, left[0] if left else 0
    for first, last in gone:
        run = bisect_left(left, first, at) & ~1
        if run > at:
            if low <= left[at + 1]:
                result.extend((low, left[at + 1]))
            result.extend(left[at + 2 : run])
            at, low = run, left[run] if run < len(left) else 0
        if at >= len(left) or not low <= first <= last <= left[at + 1]:
            raise IntegrityError(f"UIDs {first}:{last} went from a mailbox without them")
        if low < first:
            result.extend((low, first - 1))
        low = last + 1
    if low <= left[at + 1]:
        result.extend((low, left[at + 1]))
    result.extend(left[at + 2 :])
    return result


def native(numbers: bytes, kind: str) -> "array[int]":
    """Read numbers as the wire has them; `kind` is a type code of `array`."""
    flat = array(kind, numbers)
    if not _LITTLE:
        flat.byteswap()
    return flat


def _native(borders: bytes) -> "array[int]":
    flat = array("I", borders)
    if _LITTLE:
        flat.byteswap()
    return flat


def big_endian(flat: "array[int]") -> bytes:
    """Write numbers as the database has them."""
    if not _LITTLE:
        return flat.tobytes()
    swapped = flat[:]
    swapped.byteswap()
    return swapped.tobytes()
