"""One log: its tree built anew from its entries, and compared with every hash and every signed head."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from postkeep_verifier.merkle import EMPTY_ROOT, perfect_root, root_of
from postkeep_verifier.note import Checkpoint
from postkeep_verifier.tiles import WIDTH, Bundles, Finding, check_bundle, found, read_tile, tile_path

STRETCH_BUNDLES = WIDTH  # bundles that a worker takes at once: 65,536 entries, some 25 MB
AHEAD = 2  # stretches per worker that are under way or wait to be taken: this bounds the memory


Reader = Callable[[Bundles], Any]
"""What extracts something from the entries of a stretch, in a process of its own."""
Row = tuple[bytes, list[bytes]]
"""What the upper tree needs of a bundle: its root, if it is full; its leaves, if a wanted tree ends in it."""
Checked = tuple[list[Row], list[Finding], bool, Any]
"""What a stretch says: rows, faults, whether a place is unknown, and what the reader has extracted."""


class Tree:
    """The tree of a log up to a head; `roots` has the root at every size that was asked for."""

    def __init__(self, log: Path, head: Checkpoint, sizes: Iterable[int]) -> None:
        self.roots: dict[int, bytes] = {0: EMPTY_ROOT}
        self.blind = False  # whether places can't be read: nothing can be said of the roots above them
        self.findings: list[Finding] = []
        self._log, self._head = log, head
        self._cuts: dict[int, list[int]] = defaultdict(list)  # by bundle: the wanted sizes that end in it
        for size in {head.size, *(size for size in sizes if size < head.size)}:
            if size > 0:
                self._cuts[(size - 1) // WIDTH].append(size)
        self._rows: list[list[bytes]] = []  # unfinished tiles, from level 1 on
        self._bundles = 0
        self._faults: list[Finding] = []

    def read(self, reader: Reader, take: Callable[[Any], None], jobs: int) -> None:
        """Go through all entries once: `reader` extracts, in other processes; `take` gets it in order."""
        end = -(-self._head.size // WIDTH)
        starts = range(0, end, STRETCH_BUNDLES)
        stretches = [range(start, min(start + STRETCH_BUNDLES, end)) for start in starts]
        work = partial(_check, self._log, self._head.size, frozenset(self._cuts), reader)
        for rows, faults, blind, extract in _work_off(stretches, work, jobs):
            self.blind = self.blind or blind
            self._faults += faults
            for node, leaves in rows:
                self._grow(node, leaves)
            take(extract)
        for level, row in enumerate(self._rows, 1):  # the tiles that are not full
            if row:
                self._compare(level, row)
        self._settle()

    def _grow(self, node: bytes, leaves: Sequence[bytes]) -> None:
        for size in self._cuts.get(self._bundles, ()):
            self.roots[size] = root_of([leaves[: size - self._bundles * WIDTH], *self._rows])
        if node:
            self._climb(node, 1)
        self._bundles += 1

    def _climb(self, node: bytes, level: int) -> None:
        """Put a subtree's root into its tile; when this is full, compare it and go on with its own root."""
        if len(self._rows) < level:
            self._rows.append([])
        row = self._rows[level - 1]
        row.append(node)
        if len(row) == WIDTH:
            self._compare(level, row)
            self._rows[level - 1] = []
            self._climb(perfect_root(row), level + 1)

    def _compare(self, level: int, row: Sequence[bytes]) -> None:
        number, span = self._bundles // WIDTH**level, WIDTH**level
        place, stored = tile_path(level, number, len(row)), read_tile(self._log, level, number, len(row))
        if stored is None:
            self._faults.append(found("file_missing", number * WIDTH * span, place=place))
        elif stored != row:
            at = next(i for i, (one, other) in enumerate(zip(row, stored, strict=True)) if one != other)
            first = (number * WIDTH + at) * span
            rewritten = found("rewritten", first, first=first, last=first + span - 1)
            self._faults.append(found("tile_altered", first, place=place)._replace(instead=rewritten))

    def _settle(self) -> None:
        """Where entries and hashes differ, the signed head decides which of them is at fault."""
        true = self.roots.get(self._head.size) == self._head.root
        named: list[int] = []
        for fault in self._faults:
            finding = fault if true else fault.instead or fault
            first, last = finding.entry or 0, finding.values.get("last")
            if isinstance(last, int) and any(first <= place <= last for place in named):
                continue  # the entry itself has been named
            self.findings.append(finding)
            if finding is not fault:
                named.append(first)
        if not true and not self.blind and not self.findings:
            self.findings.append(found("rewritten", 0, first=0, last=self._head.size - 1))


def _check(log: Path, size: int, cuts: frozenset[int], reader: Reader, stretch: range) -> Checked:
    """Hash every entry of a stretch of bundles and compare."""
    rows: list[Row] = []
    faults: list[Finding] = []
    bundles: Bundles = []
    blind = False
    for number in stretch:
        width = min(WIDTH, size - number * WIDTH)
        entries, leaves, wrong = check_bundle(log, number, width)
        blind = blind or leaves is None
        leaves = leaves or [bytes(32)] * width
        rows.append((perfect_root(leaves) if width == WIDTH else b"", leaves if number in cuts else []))
        faults += wrong
        bundles.append((number * WIDTH, entries))
    return rows, faults, blind, reader(bundles)


def _work_off(stretches: Sequence[range], work: Callable[[range], Checked], jobs: int) -> Iterator[Checked]:
    """Work stretches off in order, several at a time."""
    if jobs <= 1 or len(stretches) <= 1:
        yield from map(work, stretches)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting: deque[Future[Checked]] = deque()
        for stretch in stretches:
            waiting.append(pool.submit(work, stretch))
            if len(waiting) >= AHEAD * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
