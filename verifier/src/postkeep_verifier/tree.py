"""One log: its tree built anew from its entries, and compared with every hash and every signed head."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypeVar

from postkeep_verifier.merkle import EMPTY_ROOT, perfect_root, root_of
from postkeep_verifier.note import Checkpoint
from postkeep_verifier.tiles import (
    WIDTH,
    Bundles,
    Doubt,
    Finding,
    check_bundle,
    found,
    read_tile,
    sure,
    tile_path,
)

STRETCH_BUNDLES = WIDTH  # bundles that a worker takes at once: 65,536 entries, some 25 MB
AHEAD = 2  # stretches per worker that are under way or wait to be taken: this bounds the memory

T = TypeVar("T")


class Stretch(NamedTuple):
    """Bundles that follow one another, to be checked at once by a worker."""

    bundles: range
    size: int  # entries in the whole log
    cut: set[int]  # bundles in which a tree ends whose root is wanted


class Checked(NamedTuple):
    """What the entries of a stretch say; `doubts` and `blind` as in `Tree`."""

    rows: list[
        tuple[bytes | None, list[bytes]]
    ]  # of each bundle: its root if it is full, its leaves if it is cut
    doubts: list[Doubt]
    blind: bool


class Tree:
    """The tree of a log up to a head; `roots` has the root at every size that was asked for."""

    def __init__(self, log: Path, head: Checkpoint, sizes: Iterable[int]) -> None:
        self.roots: dict[int, bytes] = {0: EMPTY_ROOT}
        self.blind = (
            False  # whether places can't be read, so that nothing can be said of the roots above them
        )
        self.findings: list[Finding] = []
        self._log, self._head = log, head
        self._cuts: dict[int, list[int]] = defaultdict(list)  # by bundle: the wanted sizes that end in it
        for size in {head.size, *(size for size in sizes if size < head.size)}:
            if size > 0:
                self._cuts[(size - 1) // WIDTH].append(size)
        self._rows: list[list[bytes]] = []  # unfinished tiles, from level 1 on
        self._bundles = 0
        self._doubts: list[Doubt] = []

    def read(self, reader: Callable[[Bundles], T], take: Callable[[T], None], jobs: int) -> None:
        """Go through all entries once: `reader` extracts, in other processes; `take` gets it in order."""
        end, stretches = -(-self._head.size // WIDTH), []
        for start in range(0, end, STRETCH_BUNDLES):
            bundles = range(start, min(start + STRETCH_BUNDLES, end))
            stretches.append(Stretch(bundles, self._head.size, self._cuts.keys() & set(bundles)))
        for checked, extract in _work_off(stretches, partial(_check, self._log, reader), jobs):
            self._grow(checked)
            take(extract)
        for level, row in enumerate(self._rows, 1):  # the tiles that are not full
            if row:
                self._compare(level, row)
        self._settle()

    def _grow(self, checked: Checked) -> None:
        self.blind = self.blind or checked.blind
        self._doubts += checked.doubts
        for node, leaves in checked.rows:
            for size in self._cuts.get(self._bundles, ()):
                self.roots[size] = root_of([leaves[: size - self._bundles * WIDTH], *self._rows])
            if node is not None:
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
            self._doubts.append(sure(found("file_missing", number * WIDTH * span, place=place)))
        elif stored != row:
            at = next(i for i, (one, other) in enumerate(zip(row, stored, strict=True)) if one != other)
            first = (number * WIDTH + at) * span
            rewritten = found("rewritten", first, first=first, last=first + span - 1)
            self._doubts.append((found("tile_altered", first, place=place), rewritten))

    def _settle(self) -> None:
        """Where entries and hashes differ, the signed head decides which of them is at fault."""
        true = self.roots.get(self._head.size) == self._head.root
        named: list[int] = []
        for if_true, if_not in self._doubts:
            first, last = if_not.entry or 0, if_not.values.get("last")
            if not true and isinstance(last, int) and any(first <= place <= last for place in named):
                continue  # the entry itself has been named
            self.findings.append(if_true if true else if_not)
            if if_true is not if_not:
                named.append(first)
        if not true and not self.blind and not self.findings:
            self.findings.append(found("rewritten", 0, first=0, last=self._head.size - 1))


def _check(log: Path, reader: Callable[[Bundles], T], stretch: Stretch) -> tuple[Checked, T]:
    """Hash every entry of a stretch and compare."""
    rows: list[tuple[bytes | None, list[bytes]]] = []
    doubts: list[Doubt] = []
    bundles: Bundles = []
    blind = False
    for number in stretch.bundles:
        width = min(WIDTH, stretch.size - number * WIDTH)
        entries, leaves, faults = check_bundle(log, number, width)
        blind = blind or leaves is None
        leaves = leaves or [b""] * width
        rows.append(
            (perfect_root(leaves) if width == WIDTH else None, leaves if number in stretch.cut else [])
        )
        doubts += faults
        bundles.append((number * WIDTH, entries))
    return Checked(rows, doubts, blind), reader(bundles)


def _work_off(
    stretches: Sequence[Stretch], work: Callable[[Stretch], tuple[Checked, T]], jobs: int
) -> Iterator[tuple[Checked, T]]:
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
