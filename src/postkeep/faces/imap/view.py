"""What one client believes of its selected mailbox: message numbers over runs of UIDs, and rows when needed.

Message numbers are positions here, so what the vault has removed stays until the client may be told
(RFC 3501 section 7.4.1): `gone` holds it meanwhile. Nothing here costs per message of the mailbox.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from postkeep.faces.imap.row_blocks import BLOCK_SHIFT, BODY_BYTES, Columns, RowBlocks
from postkeep.faces.imap.uid_runs import Removed, UidRuns
from postkeep.protocols.imap.sequence import Ranges, SequenceSet, merge
from postkeep.services.vault.rows_api import Rows

SYSTEM_FLAGS: Final = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")


class Changes(NamedTuple):
    """What one synchronisation brought."""

    updated: list[int]
    """Places in the answer's rows of messages that the client is to be told of."""
    added: int


class View:
    """The mailbox as this client counts it. Positions start at 0, message numbers at 1."""

    __slots__ = ("_blocks", "_own", "_runs", "gone", "keywords", "synced")

    def __init__(self, runs: bytes = b"", keywords: Iterable[str] = (), synced: int = 0) -> None:
        self._runs = UidRuns.unpack(runs)
        self._blocks = RowBlocks()
        self._own: set[int] = set()
        self.keywords: set[str] = set(keywords)
        self.gone: Ranges = []
        self.synced = synced
        """Everything up to this modseq is in."""

    def __len__(self) -> int:
        return self._runs.count

    # --- numbers ---

    @property
    def last_uid(self) -> int:
        """The highest UID; 0: the mailbox is empty."""
        return self._runs.last

    def uid_at(self, position: int) -> int:
        """Return the UID of a message."""
        return self._runs.uid_at(position)

    def position(self, uid: int) -> int | None:
        """Find a UID; None: not in the view."""
        return self._runs.position(uid)

    def numbers(self, uids: Sequence[int]) -> "array[int]":
        """Return the message numbers of ascending UIDs; 0: not in the view."""
        return array("I", [at + 1 for at in self._runs.positions(uids)])

    def positions(self, sequence: SequenceSet, *, uid: bool) -> list[range] | None:
        """Return the positions a set names, as runs; None: a message number is out of range."""
        count = len(self)
        if uid:
            return self.runs_within(sequence.resolve(self.last_uid))
        ranges = sequence.resolve(count)
        if ranges and ranges[-1][1] > count:
            return None
        return [range(low - 1, high) for low, high in ranges]

    def span(self, low: int, high: int) -> range:
        """Return the positions of the messages with UIDs from `low` to `high`."""
        return self._runs.span(low, high)

    def runs_within(self, ranges: Ranges) -> list[range]:
        """Return the positions of the messages whose UIDs lie in these ranges, as runs."""
        runs: list[range] = []
        for low, high in ranges:
            span = self._runs.span(low, high)
            if span and runs and runs[-1].stop == span.start:
                runs[-1] = range(runs[-1].start, span.stop)
            elif span:
                runs.append(span)
        return runs

    def uid_ranges(self, runs: Iterable[range]) -> Ranges:
        """Return UID ranges that name just the messages of these runs: of what was never there too, few."""
        return [(self._runs.uid_at(run[0]), self._runs.uid_at(run[-1])) for run in runs if run]

    def uid_spans(self, runs: Iterable[range]) -> Ranges:
        """Return exactly the UIDs of these runs, as ranges."""
        return merge(span for run in runs for span in self._runs.within(run))

    def uids_in(self, runs: Iterable[range]) -> "array[int]":
        """Return the UIDs of these runs, one by one."""
        return self._runs.uids_in(runs)

    # --- rows ---

    @property
    def flag_sets(self) -> list[tuple[str, ...]]:
        """The sets of flags that columns point into: to be taken together with the columns."""
        return self._blocks.flag_sets

    def missing(self, runs: Iterable[range]) -> Iterator[tuple[int, int]]:
        """Yield the stretches of UIDs whose rows have to be asked for, each within a block."""
        for run in runs:
            for low, high in self._runs.within(run):
                start = low
                while start <= high:
                    end = min(high, start | ((1 << BLOCK_SHIFT) - 1))
                    if self._blocks.count(start, end) != end - start + 1:
                        yield start, end
                    start = end + 1

    def put(self, rows: Rows) -> None:
        """Take in rows that were asked for."""
        self._blocks.put(rows)
        self._learn(rows.flag_sets)

    def columns(self, runs: Iterable[range]) -> Columns:
        """Return the rows of runs that have been loaded."""
        return self._blocks.columns(self._runs.uids_in(runs))

    def columns_of(self, uids: "array[int]") -> Columns:
        """Return the rows of ascending UIDs that have been loaded."""
        return self._blocks.columns(uids)

    def flags(self, position: int) -> tuple[str, ...]:
        """Return the flags of a message; so the next five. Raises LookupError where it has not been loaded
        or has no row any more."""
        block, at = self._blocks.find(self.uid_at(position))
        return self._blocks.flag_sets[block.flags[at]]

    def modseq(self, position: int) -> int:
        """Return the modseq of a message."""
        block, at = self._blocks.find(self.uid_at(position))
        return block.modseqs[at]

    def date_ms(self, position: int) -> int:
        """Return INTERNALDATE, in milliseconds since 1970."""
        block, at = self._blocks.find(self.uid_at(position))
        return block.dates[at]

    def size(self, position: int) -> int:
        """Return the octets of a message."""
        block, at = self._blocks.find(self.uid_at(position))
        return block.sizes[at]

    def saved_ms(self, position: int) -> int:
        """Return SAVEDATE, in milliseconds since 1970."""
        block, at = self._blocks.find(self.uid_at(position))
        return block.saved[at]

    def body(self, position: int) -> bytes:
        """Return the identifier of a message's body."""
        block, at = self._blocks.find(self.uid_at(position))
        return bytes(block.bodies[at * BODY_BYTES : (at + 1) * BODY_BYTES])

    def trim(self) -> None:
        """Forget the rows used longest ago, beyond what is kept between two commands."""
        self._blocks.trim()

    def rest(self) -> None:
        """Forget all rows: the client is idle."""
        self._blocks.clear()

    # --- what changes ---

    def apply(self, rows: Rows) -> Changes:
        """Take in what is new: changed rows and new messages. What our own commands changed, and the client
        was told of by them, is not told again. `reach` has to follow when all of it is in."""
        self._learn(rows.flag_sets)
        uids = array("I", rows.uids)
        old = bisect_right(uids, self._runs.last)
        self._runs.append(uids[old:])
        self._blocks.put(rows, only_known=True)
        modseqs = array("Q", rows.modseqs)
        positions = self._runs.positions(uids[:old])
        updated = [
            at for at, position in enumerate(positions) if position >= 0 and modseqs[at] not in self._own
        ]
        return Changes(updated, len(uids) - old)

    def reach(self, modseq: int) -> None:
        """Note that everything up to this modseq is in."""
        self.synced = max(self.synced, modseq)
        self._own = {own for own in self._own if own > self.synced}

    def apply_own(self, rows: Rows, modseq: int) -> None:
        """Take in rows that our own command changed at this modseq. What others did meanwhile comes with the
        next synchronisation: `synced` stays."""
        self._learn(rows.flag_sets)
        self._blocks.put(rows, only_known=True)
        if modseq > self.synced:
            self._own.add(modseq)

    def vanish(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Remember UIDs that the vault has no more."""
        there = [(low, high) for low, high in ranges if self._runs.span(low, high)]
        if there:
            self.gone = merge([*self.gone, *there])

    def expunge(self) -> Removed:
        """Drop what is gone; return what is to be announced."""
        if not self.gone:
            return Removed([], [])
        removed = self._runs.remove(self.gone)
        self._blocks.drop(removed.uids)
        self.gone = []
        return removed

    def _learn(self, flag_sets: Sequence[tuple[str, ...]]) -> None:
        for flags in flag_sets:
            self.keywords.update(flag for flag in flags if not flag.startswith("\\"))


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
