"""One log: its tree built anew from its entries, and compared with every hash and every signed head."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from postkeep_verifier.findings import Finding, found
from postkeep_verifier.merkle import EMPTY_ROOT, Frontier, perfect_root
from postkeep_verifier.note import Checkpoint
from postkeep_verifier.tiles import WIDTH, Bundles, Checked, Stretch, check_stretch, read_tile, tile_path

STRETCH_BUNDLES = WIDTH  # bundles that a worker takes at once: 65,536 entries, some 25 MB
AHEAD = 2  # stretches per worker that are under way or wait to be taken: this bounds the memory

T = TypeVar("T")
Work = Callable[[Stretch], tuple[Checked, T]]


class Tree:
    """The tree of a log up to a head; `roots` has the root at every size that was asked for."""

    def __init__(self, log: Path, head: Checkpoint, sizes: Iterable[int]) -> None:
        self.roots: dict[int, bytes] = {0: EMPTY_ROOT}
        self.blind = False
        """Whether places can't be read, so that nothing can be said of the roots above them."""
        self.findings: list[Finding] = []
        self._log = log
        self._head = head
        self._sizes = {size for size in sizes if 0 < size <= head.size} | {head.size}
        self._frontier = Frontier()
        self._bundles = 0
        self._rows: list[list[bytes]] = [[]]  # unfinished tiles by level, from level 1 on
        self._doubts: list[tuple[Finding, Finding]] = []  # what it is if the head is true, and if it is not

    def read(self, reader: Callable[[Bundles], T], take: Callable[[T], None], jobs: int) -> None:
        """Go through all entries once: `reader` extracts, in other processes; `take` gets it in order."""
        step = STRETCH_BUNDLES * WIDTH
        stretches = []
        for start in range(0, self._head.size, step):
            sizes = tuple(size for size in self._sizes if start < size < start + step)
            length = min(step, self._head.size - start)
            stretches.append(Stretch(self._log, start // WIDTH, length, sizes))
        for checked, extract in _work_off(stretches, partial(_work, reader), jobs):
            self._grow(checked)
            take(extract)
        for level, row in enumerate(self._rows):  # the tiles that are not full
            if row:
                self._compare(level, self._bundles >> 8 * level, row)
        self._settle_doubts()

    def _grow(self, checked: Checked) -> None:
        self.blind = self.blind or checked.blind
        for fault in checked.faults:
            self._note(fault)
        for node in checked.nodes:
            self._note_cuts(checked)
            self._frontier.add(8, node)
            self._bundles += 1
            if self._bundles * WIDTH in self._sizes:
                self.roots[self._bundles * WIDTH] = self._frontier.root()
            self._climb(node)
        self._note_cuts(checked)
        if checked.tail:
            self.roots[self._head.size] = self._frontier.root(checked.tail)

    def _note_cuts(self, checked: Checked) -> None:
        for size, leaves in checked.cut.get(self._bundles, ()):
            self.roots[size] = self._frontier.root(leaves)

    def _climb(self, node: bytes) -> None:
        """Put a finished bundle's root into the tile above it, and compare the tiles that it finishes."""
        number = self._bundles - 1
        for level in range(1, 9):
            if len(self._rows) <= level:
                self._rows.append([])
            row = self._rows[level]
            row.append(node)
            if len(row) < WIDTH:
                return
            number //= WIDTH
            self._compare(level, number, row)
            node = perfect_root(row)
            self._rows[level] = []

    def _compare(self, level: int, number: int, row: Sequence[bytes]) -> None:
        place = tile_path(level, number, len(row))
        stored = read_tile(self._log, level, number, len(row))
        span = WIDTH**level
        if stored is None:
            self.findings.append(found("file_missing", number * WIDTH * span, place=place))
            return
        at = next((i for i, (one, other) in enumerate(zip(row, stored, strict=True)) if one != other), None)
        if at is not None:
            first = (number * WIDTH + at) * span
            rewritten = found("rewritten", first, first=first, last=first + span - 1)
            self._doubts.append((found("tile_altered", first, place=place), rewritten))

    def _note(self, fault: Finding) -> None:
        tile = fault.values.get("tile")
        if tile is None:
            self.findings.append(fault)
        else:
            self._doubts.append((found("tile_altered", fault.index, place=tile), fault))

    def _settle_doubts(self) -> None:
        """Where entries and hashes differ, the signed head decides which of them is at fault."""
        true = self.roots.get(self._head.size) == self._head.root
        named: list[int] = []
        for if_true, if_not in self._doubts:
            first, last = if_not.index or 0, if_not.values.get("last")
            if not true and isinstance(last, int) and any(first <= place <= last for place in named):
                continue  # the entry itself has been named
            self.findings.append(if_true if true else if_not)
            named.append(first)
        if not true and not self.blind and not self.findings:
            last = self._head.size - 1
            self.findings.append(found("rewritten", 0, first=0, last=last))


def _work(reader: Callable[[Bundles], T], stretch: Stretch) -> tuple[Checked, T]:
    checked, bundles = check_stretch(stretch)
    return checked, reader(bundles)


def _work_off(stretches: Sequence[Stretch], work: Work[T], jobs: int) -> Iterator[tuple[Checked, T]]:
    """Work stretches off in order, several at a time."""
    if jobs <= 1 or len(stretches) <= 1:
        yield from map(work, stretches)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting: deque[Future[tuple[Checked, T]]] = deque()
        for stretch in stretches:
            waiting.append(pool.submit(work, stretch))
            if len(waiting) >= AHEAD * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
