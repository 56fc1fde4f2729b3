"""One log: its files, and its tree built anew from the entries and held against every hash and signed head.

Source: C2SP tlog-tiles. Bundles `tile/entries/<N>` hold 256 entries, each after its length in two octets;
tiles `tile/<L>/<N>` hold the hashes of level 8*L of the tree; `.p/<W>` is an incomplete one of width W."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from postkeep_verifier.merkle import EMPTY_ROOT, leaf_hash, perfect_root, root_of
from postkeep_verifier.note import Checkpoint

WIDTH = 256  # entries in a bundle, hashes in a tile
BUNDLE_BYTES_MAX = 2 * WIDTH * 65_537  # octets: twice what a bundle can have, so that insertions are seen
STRETCH_BUNDLES = WIDTH  # bundles that a worker takes at once: 65,536 entries, some 25 MB
AHEAD = 2  # stretches per worker that are under way or wait to be taken: this bounds the memory

Octets = list[bytes] | None
Bundles = list[tuple[int, Octets]]  # the index of each one's first entry; its entries, None: not believed
Reader = Callable[[Bundles], Any]  # extracts something from a stretch's entries, in a process of its own
Row = tuple[bytes, list[bytes]]  # a bundle's root, if it is full; its leaves, if a wanted tree ends in it
# What a stretch says: its rows, faults, whether a place is unknown, and what the reader has extracted.
Checked = tuple[list[Row], list["Finding"], bool, Any]


class Finding(NamedTuple):
    """One fault: its kind (a stable word), the entry that it is about, and what its sentence names."""

    kind: str
    entry: int | None
    values: dict[str, object]
    instead: "Finding | None" = None  # what it is if the log's root is not the one that was signed


def found(kind: str, entry: int | None, **values: object) -> Finding:
    """Make a finding."""
    return Finding(kind, entry, values)


def tile_path(level: int | str, index: int, width: int = WIDTH) -> str:
    """Return the path of a tile, or for the level "entries" of a bundle."""
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03d}")
    return f"tile/{level}/{'/'.join(groups)}" + ("" if width == WIDTH else f".p/{width}")


def read_tile(log: Path, level: int, index: int, width: int = WIDTH) -> list[bytes] | None:
    """Read a tile of the width asked for, or the beginning of the whole one; None if there is none."""
    for shape in (width, WIDTH):
        data = _read(log / tile_path(level, index, shape), WIDTH * 32)
        if data is not None and len(data) == shape * 32:
            return [data[i : i + 32] for i in range(0, width * 32, 32)]
    return None


def read_bundle(log: Path, index: int, width: int = WIDTH) -> tuple[list[bytes], bool] | None:
    """Read a bundle's entries, and whether they are what it should hold; None if there is no such file."""
    for shape in (width, WIDTH):
        data = _read(log / tile_path("entries", index, shape), BUNDLE_BYTES_MAX)
        if data is not None:
            entries, whole = _split(data)
            return (entries[:width], True) if whole and len(entries) == shape else (entries, False)
    return None


def _read(path: Path, limit: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError:
        return None


def _split(data: bytes) -> tuple[list[bytes], bool]:
    """Split off all whole entries; say whether nothing is left over."""
    entries, position, end = [], 0, len(data)
    while position < end:
        after = position + 2 + int.from_bytes(data[position : position + 2], "big")
        if after > end or position + 2 > end:
            break
        entries.append(data[position + 2 : after])
        position = after
    return entries, position == end


def check_bundle(log: Path, number: int, width: int) -> tuple[Octets, Octets, list[Finding]]:
    """Return a bundle's entries (None: not to be believed), leaf hashes (None: unknown) and faults."""
    start, place, tile = number * WIDTH, tile_path("entries", number, width), tile_path(0, number, width)
    expected, bundle = read_tile(log, 0, number, width), read_bundle(log, number, width)
    faults = [] if expected else [found("file_missing", start, place=tile)]
    if bundle is None:
        return None, expected, [*faults, found("file_missing", start, place=place)]
    entries, whole = bundle
    leaves = [leaf_hash(entry) for entry in entries]
    if whole and expected in (None, leaves):
        return entries, leaves, faults
    if expected is None:
        return None, None, [*faults, found("file_damaged", start, place=place)]
    at, kind = classify(leaves, expected)
    if not whole:
        return None, expected, [found(kind, start + at, place=place)]
    # Entries or tile, one of them is wrong: the signed head decides (`Tree`).
    fault = found(kind, start + at, place=place, tile=tile)
    return entries, leaves, [found("tile_altered", start + at, place=tile)._replace(instead=fault)]


def classify(leaves: Sequence[bytes], expected: Sequence[bytes]) -> tuple[int, str]:
    """Say where two rows of hashes begin to differ, and what would explain it."""
    shorter = min(len(leaves), len(expected))
    at = next((i for i in range(shorter) if leaves[i] != expected[i]), shorter)
    rest, wanted = leaves[at:], expected[at:]
    if not rest or not wanted:
        return at, "entry_inserted" if rest else "entry_removed"
    if any(r == wanted[0] and rest[0] == w for r, w in zip(rest[1:], wanted[1:], strict=False)):
        return at, "entries_swapped"
    fewer, more = min(len(rest), len(wanted) - 1), min(len(rest) - 1, len(wanted))
    if fewer and len(rest) <= len(wanted) and rest[:fewer] == wanted[1 : fewer + 1]:
        return at, "entry_removed"
    return at, "entry_inserted" if more and rest[1 : more + 1] == wanted[:more] else "entry_altered"


class Tree:
    """The tree of a log up to a head; `roots` has the root at every size that was asked for."""

    def __init__(self, log: Path, head: Checkpoint, sizes: Iterable[int]) -> None:
        self.roots: dict[int, bytes] = {0: EMPTY_ROOT}
        self.blind = False  # whether places can't be read: nothing can be said of the roots above them
        self.findings: list[Finding] = []
        self._log, self._head, self._bundles = log, head, 0  # bundles: how many the tree has so far
        self._cuts: dict[int, list[int]] = defaultdict(list)  # by bundle: the wanted sizes that end in it
        for size in {head.size, *sizes}:
            if 0 < size <= head.size:
                self._cuts[(size - 1) // WIDTH].append(size)
        self._rows: list[list[bytes]] = []  # unfinished tiles, from level 1 on
        self._faults: list[Finding] = []

    def read(self, reader: Reader, take: Callable[[Any], None], jobs: int) -> None:
        """Go through all entries once: `reader` extracts, in other processes; `take` gets it in order."""
        end = -(-self._head.size // WIDTH)
        stretches = [range(at, min(at + STRETCH_BUNDLES, end)) for at in range(0, end, STRETCH_BUNDLES)]
        work = partial(_check, self._log, self._head.size, frozenset(self._cuts), reader)
        for rows, faults, blind, extract in _work_off(stretches, work, jobs):
            self.blind = self.blind or blind
            self._faults += faults
            for node, leaves in rows:
                for size in self._cuts.get(self._bundles, ()):
                    self.roots[size] = root_of([leaves[: size - self._bundles * WIDTH], *self._rows])
                if node:
                    self._climb(node, 1)
                self._bundles += 1
            take(extract)
        for level, row in enumerate(self._rows, 1):  # the tiles that are not full
            if row:
                self._compare(level, row)
        self._settle()

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
    rows, faults, bundles, blind = [], [], [], False
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
