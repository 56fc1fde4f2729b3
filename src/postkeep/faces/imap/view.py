"""What one client believes of its selected mailbox: message numbers, UIDs, flags, kept in arrays.

Message numbers are positions here, so what the vault has removed stays until the client may be told
(RFC 3501 section 7.4.1): `gone` holds it meanwhile.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from postkeep.protocols.imap.sequence import Ranges, SequenceSet
from postkeep.services.vault.api import MessageRow

SYSTEM_FLAGS: Final = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")


class Changes(NamedTuple):
    """What one synchronisation brought."""

    updated: list[int]
    """Positions whose flags are others than before."""
    added: int


class View:
    """The mailbox as this client counts it. Positions start at 0, message numbers at 1."""

    def __init__(self) -> None:
        self.uids = array("I")
        self.modseqs = array("Q")
        self.dates_ms = array("Q")
        self.sizes = array("Q")
        self._flags = array("I")  # positions in _flag_sets
        self._flag_sets: list[tuple[str, ...]] = []
        self._flag_numbers: dict[tuple[str, ...], int] = {}
        self.keywords: set[str] = set()
        self.gone: set[int] = set()
        self.synced = 0
        """Everything up to this modseq is in."""

    def __len__(self) -> int:
        return len(self.uids)

    def uid_at(self, position: int) -> int:
        """Return the UID of a message."""
        return self.uids[position]

    def flags(self, position: int) -> tuple[str, ...]:
        """Return the flags of a message."""
        return self._flag_sets[self._flags[position]]

    def position(self, uid: int) -> int | None:
        """Find a UID; None: not in the view."""
        at = bisect_left(self.uids, uid)
        return at if at < len(self.uids) and self.uids[at] == uid else None

    def apply(self, rows: Sequence[MessageRow]) -> Changes:
        """Take rows in: changed ones in place, new ones at the end. Rows older than known are ignored."""
        updated: list[int] = []
        added = 0
        last = self.uids[-1] if self.uids else 0
        for row in rows:
            if row.uid > last:
                self._append(row)
                last = row.uid
                added += 1
                continue
            at = self.position(row.uid)
            if at is None or row.modseq <= self.modseqs[at]:
                continue
            self.modseqs[at] = row.modseq
            number = self._flag_number(row.flags)
            if number != self._flags[at]:
                self._flags[at] = number
            updated.append(at)
        return Changes(updated, added)

    def vanish(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Remember UIDs that the vault has no more."""
        for low, high in ranges:
            start, end = bisect_left(self.uids, low), bisect_right(self.uids, high)
            self.gone.update(self.uids[start:end])

    def expunge(self) -> list[int]:
        """Drop what is gone; return the message numbers to announce, each as it is when its turn comes."""
        if not self.gone:
            return []
        numbers: list[int] = []
        keep = array("I")
        for at, uid in enumerate(self.uids):
            if uid in self.gone:
                numbers.append(at + 1 - len(numbers))
            else:
                keep.append(at)
        self.modseqs = array("Q", (self.modseqs[at] for at in keep))
        self.dates_ms = array("Q", (self.dates_ms[at] for at in keep))
        self.sizes = array("Q", (self.sizes[at] for at in keep))
        self._flags = array("I", (self._flags[at] for at in keep))
        self.uids = array("I", (self.uids[at] for at in keep))
        self.gone.clear()
        return numbers

    def positions(self, sequence: SequenceSet, *, uid: bool) -> list[range] | None:
        """Return the positions a set names, as runs; None: a message number is out of range."""
        count = len(self.uids)
        if not uid:
            ranges = sequence.resolve(count)
            if ranges and ranges[-1][1] > count:
                return None
            return [range(low - 1, high) for low, high in ranges]
        runs = []
        for low, high in sequence.resolve(self.uids[-1] if count else 0):
            start, end = bisect_left(self.uids, low), bisect_right(self.uids, high)
            if start < end:
                runs.append(range(start, end))
        return runs

    def uid_ranges(self, runs: Iterable[range]) -> Ranges:
        """Return UID ranges that name just the messages of these runs."""
        return [(self.uids[run[0]], self.uids[run[-1]]) for run in runs if run]

    def first_unseen(self) -> int | None:
        """Return the number of the first message that is not seen; None: all are."""
        seen = {number for number, flags in enumerate(self._flag_sets) if "\\Seen" in flags}
        for at, number in enumerate(self._flags):
            if number not in seen:
                return at + 1
        return None

    def deleted_uids(self) -> Iterator[int]:
        """Yield the UIDs flagged as deleted."""
        deleted = {number for number, flags in enumerate(self._flag_sets) if "\\Deleted" in flags}
        return (uid for uid, number in zip(self.uids, self._flags, strict=True) if number in deleted)

    def _append(self, row: MessageRow) -> None:
        self.uids.append(row.uid)
        self.modseqs.append(row.modseq)
        self.dates_ms.append(max(row.internal_date_ms, 0))
        self.sizes.append(row.size)
        self._flags.append(self._flag_number(row.flags))

    def _flag_number(self, flags: tuple[str, ...]) -> int:
        number = self._flag_numbers.get(flags)
        if number is None:
            number = self._flag_numbers[flags] = len(self._flag_sets)
            self._flag_sets.append(flags)
            self.keywords.update(flag for flag in flags if not flag.startswith("\\"))
        return number


def runs_of(positions: Iterable[int]) -> list[range]:
    """Return ascending positions as runs."""
    runs: list[range] = []
    for at in positions:
        if runs and runs[-1].stop == at:
            runs[-1] = range(runs[-1].start, at + 1)
        else:
            runs.append(range(at, at + 1))
    return runs


def batches(runs: Iterable[range], size: int) -> Iterator[list[range]]:
    """Cut runs into batches of at most `size` positions."""
    batch: list[range] = []
    room = size
    for whole in runs:
        run = whole
        while run:
            taken = run[:room]
            batch.append(taken)
            run = run[room:]
            room -= len(taken)
            if not room:
                yield batch
                batch, room = [], size
    if batch:
        yield batch
