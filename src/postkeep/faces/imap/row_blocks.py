"""Rows of messages in the clear (flags, modseq, dates, size, body), read when a command needs them.

They lie in blocks of 1,024 UIDs, in columns. A block holds what has been asked for, by UID; whole stretches
are copied out of it as they are, so that a message costs a few copied octets and no Python object.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from postkeep.base.errors import IntegrityError, LimitError
from postkeep.services.vault.rows_api import Rows

BLOCK_SHIFT: Final = 10
BLOCKS_MAX: Final = 128
"""Kept between two commands: some 6 MB, 131,072 messages."""
FLAG_SETS_MAX: Final = 4_096
"""Different sets of flags remembered between two commands; beyond it all is read anew."""
_FLAG_INDEX_MAX: Final = 0x1_0000  # a u16
BODY_BYTES: Final = 16


class Columns(NamedTuple):
    """The rows of messages, one after the other. `there` 0: the message has no row (it has been expunged)."""

    uids: "array[int]"
    modseqs: "array[int]"
    flags: "array[int]"
    """Positions in `flag_sets`."""
    dates: "array[int]"
    """INTERNALDATE in milliseconds since 1970; so `saved` (SAVEDATE)."""
    sizes: "array[int]"
    saved: "array[int]"
    bodies: bytearray
    """16 octets each."""
    there: bytearray

    def pick(self, places: Iterable[int]) -> "Columns":
        """Return the rows at some places."""
        found = no_columns()
        for at in places:
            _splice(found, slice(len(found.uids), len(found.uids)), self, slice(at, at + 1))
        return found


def no_columns() -> Columns:
    """Return columns of no message."""
    empty = array("Q"), array("H"), array("q"), array("I"), array("q")
    return Columns(array("I"), *empty, bytearray(), bytearray())


class RowBlocks:
    """The rows that one connection holds of its mailbox."""

    __slots__ = ("_blocks", "_numbers", "flag_sets")

    def __init__(self) -> None:
        self._blocks: dict[int, Columns] = {}
        self._numbers: dict[tuple[str, ...], int] = {}
        self.flag_sets: list[tuple[str, ...]] = []

    def __len__(self) -> int:
        return len(self._blocks)

    def clear(self) -> None:
        """Forget everything."""
        self._blocks = {}
        self._numbers = {}
        self.flag_sets = []

    def trim(self) -> None:
        """Forget the blocks used longest ago, beyond what is kept between two commands."""
        if len(self.flag_sets) > FLAG_SETS_MAX:
            self.clear()
        for key in list(self._blocks)[: max(len(self._blocks) - BLOCKS_MAX, 0)]:
            del self._blocks[key]

    def count(self, low: int, high: int) -> int:
        """Count the rows of UIDs `low` to `high`, which lie in one block; the block has been used now."""
        block = self._blocks.pop(low >> BLOCK_SHIFT, None)
        if block is None:
            return 0
        self._blocks[low >> BLOCK_SHIFT] = block
        return bisect_right(block.uids, high) - bisect_left(block.uids, low)

    def find(self, uid: int) -> tuple[Columns, int]:
        """Return where a row lies; raises LookupError where it is not in."""
        block = self._blocks[uid >> BLOCK_SHIFT]
        at = bisect_left(block.uids, uid)
        if at == len(block.uids) or block.uids[at] != uid:
            raise LookupError(uid)
        return block, at

    def put(self, rows: Rows, *, only_known: bool = False) -> None:
        """Take rows in; `only_known`: just into blocks that are there. Raises IntegrityError, LimitError."""
        if only_known and not self._blocks:
            return
        numbers = [self._number(flags) for flags in rows.flag_sets]
        given = columns_in(rows, numbers)
        uids = given.uids
        start = 0
        while start < len(uids):
            key = uids[start] >> BLOCK_SHIFT
            end = bisect_left(uids, (key + 1) << BLOCK_SHIFT, start)
            if key in self._blocks or not only_known:
                self._merge(key, given, start, end)
            start = end

    def drop(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Forget the rows of these UIDs."""
        for low, high in ranges:
            for key in self._keys_between(low >> BLOCK_SHIFT, high >> BLOCK_SHIFT):
                block = self._blocks[key]
                _splice(
                    block,
                    slice(bisect_left(block.uids, low), bisect_right(block.uids, high)),
                    block,
                    slice(0, 0),
                )

    def columns(self, uids: "array[int]") -> Columns:
        """Return the rows of these ascending UIDs."""
        found = no_columns()
        start = 0
        while start < len(uids):
            key = uids[start] >> BLOCK_SHIFT
            end = bisect_left(uids, (key + 1) << BLOCK_SHIFT, start)
            block = self._blocks.get(key)
            self._copy(found, block if block is not None else _NOTHING, uids, start, end)
            start = end
        return found

    def _copy(self, found: Columns, block: Columns, uids: "array[int]", start: int, end: int) -> None:
        first, last = bisect_left(block.uids, uids[start]), bisect_right(block.uids, uids[end - 1])
        if last - first == end - start:
            _splice(found, slice(len(found.uids), len(found.uids)), block, slice(first, last))
            return
        for uid in uids[start:end]:  # some are missing, or not all are asked for
            at = bisect_left(block.uids, uid, first)
            if at < len(block.uids) and block.uids[at] == uid:
                _splice(found, slice(len(found.uids), len(found.uids)), block, slice(at, at + 1))
            else:
                _splice(found, slice(len(found.uids), len(found.uids)), _missing(uid), slice(0, 1))

    def _merge(self, key: int, given: Columns, start: int, end: int) -> None:
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = no_columns()
        while start < end:
            uid = given.uids[start]
            at = bisect_left(block.uids, uid)
            following = block.uids[at] if at < len(block.uids) else 0
            if not following:  # the rest stands behind all that is there
                _splice(block, slice(at, at), given, slice(start, end))
                return
            if block.uids[at : at + end - start] == given.uids[start:end]:  # all of them known
                _splice(block, slice(at, at + end - start), given, slice(start, end))
                return
            if following == uid:
                size = 1
                _splice(block, slice(at, at + 1), given, slice(start, start + 1))
            else:
                size = bisect_left(given.uids, following, start, end) - start
                _splice(block, slice(at, at), given, slice(start, start + size))
            start += size

    def _keys_between(self, low: int, high: int) -> Sequence[int]:
        if high - low < len(self._blocks):
            return [key for key in range(low, high + 1) if key in self._blocks]
        return [key for key in self._blocks if low <= key <= high]

    def _number(self, flags: tuple[str, ...]) -> int:
        number = self._numbers.get(flags)
        if number is None:
            number = len(self.flag_sets)
            if number >= _FLAG_INDEX_MAX:
                raise LimitError("more sets of flags than one command can tell apart")
            self._numbers[flags] = number
            self.flag_sets.append(flags)
        return number


def _splice(into: Columns, where: slice, given: Columns, which: slice) -> None:
    """Put some rows of one in the place of some rows of the other."""
    for mine, theirs in zip(into[:6], given[:6], strict=True):
        mine[where] = theirs[which]
    into.bodies[where.start * BODY_BYTES : where.stop * BODY_BYTES] = given.bodies[
        which.start * BODY_BYTES : which.stop * BODY_BYTES
    ]
    into.there[where] = given.there[which]


def columns_in(rows: Rows, numbers: Sequence[int] | None = None) -> Columns:
    """Read the columns of an answer; `numbers`: what its flags are called here. Raises IntegrityError."""
    uids, flags = array("I", rows.uids), array("H", rows.flags)
    if flags and max(flags) >= len(rows.flag_sets):
        raise IntegrityError("a row names flags that are not there")
    if numbers is not None and numbers != list(range(len(numbers))):
        flags = array("H", map(numbers.__getitem__, flags))
    count = len(uids)
    columns = Columns(
        uids,
        array("Q", rows.modseqs),
        flags,
        array("q", rows.dates),
        array("I", rows.sizes),
        array("q", rows.saved),
        bytearray(rows.bodies),
        bytearray(b"\1") * count,
    )
    if any(len(column) != count for column in columns[:6]) or len(columns.bodies) != count * BODY_BYTES:
        raise IntegrityError("the columns of an answer are of different lengths")
    return columns


def _missing(uid: int) -> Columns:
    zero = array("Q", [0]), array("H", [0]), array("q", [0]), array("I", [0]), array("q", [0])
    return Columns(array("I", [uid]), *zero, bytearray(BODY_BYTES), bytearray(1))


_NOTHING: Final = no_columns()
