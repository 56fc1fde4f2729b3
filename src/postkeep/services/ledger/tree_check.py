"""Checks a log's entries, hash tiles and checkpoints against each other."""

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from postkeep.base.errors import IntegrityError
from postkeep.crypto.merkle import Frontier, leaf_hashes, perfect_root
from postkeep.crypto.note import Checkpoint
from postkeep.services.ledger.finding import Finding, FindingCode
from postkeep.stores.ledger_tiles import (
    ENTRIES,
    TILE_LEVEL_BITS,
    TILE_LEVELS_MAX,
    TILE_WIDTH,
    TileFiles,
    partial_width,
    tile_name,
)

SUSPICIONS_MAX: Final = 50  # faults of one kind that are told one by one; a shifted log has one per entry


class TreeCheck:
    """Takes bundle after bundle, then loose entries; keeps the roots at the sizes it is asked to watch."""

    def __init__(self, tiles: TileFiles, found: Callable[[Finding], None]) -> None:
        self.tiles = tiles
        self.size = 0
        self._found = found
        self._frontier = Frontier()
        self._rows: list[list[bytes]] = [[] for _ in range(TILE_LEVELS_MAX + 1)]
        self._loose: list[bytes] = []
        self._watched: list[int] = []
        self._roots: dict[int, bytes] = {0: self._frontier.root()}
        self._entry_faults: list[Finding] = []
        self._tile_faults: list[Finding] = []
        self._unknown_from: int | None = None

    def watch(self, sizes: Iterable[int]) -> None:
        """Ask for the roots at these sizes; before any entry is taken."""
        for size in sizes:
            insort(self._watched, size)

    # --- Taking entries ---

    def take_bundle(self, index: int) -> list[bytes] | None:
        """Read a full bundle and compare it with its tile; None if its entries can not be told."""
        start = index * TILE_WIDTH
        try:
            entries, whole = self.tiles.stored_entries(index)
        except IntegrityError as error:
            self.note_damage(start, error.detail)
            self.skip_bundle(index)
            return None
        leaves = leaf_hashes(entries)
        expected = self._stored(0, index)
        if whole and len(leaves) == TILE_WIDTH:
            if expected is not None and leaves != expected:
                self._suspect(leaves, expected, 0, index)
            self._climb(leaves)
            return entries
        name = tile_name(ENTRIES, index)
        if expected is None:
            self.note_damage(start, f"{name} does not hold {TILE_WIDTH} whole entries")
            self._unknown_from = start if self._unknown_from is None else self._unknown_from
            self._climb([b""] * TILE_WIDTH)
        else:
            offset, code = classify(leaves, expected)
            self._found(Finding(code, start + offset, name))
            self._climb(expected)
        return None

    def skip_bundle(self, index: int) -> None:
        """Go on past a bundle that can not be read, by its tile where there is one."""
        row = self._stored(0, index)
        if row is None:
            self._unknown_from = index * TILE_WIDTH if self._unknown_from is None else self._unknown_from
            row = [b""] * TILE_WIDTH
        self._climb(row)

    def take_partial(self, index: int, width: int) -> list[bytes] | None:
        """Take the last, incomplete bundle; None, and a finding, if it does not hold that many entries."""
        name = tile_name(ENTRIES, index, width)
        try:
            entries, whole = self.tiles.stored_entries(index, width)
            if whole and len(entries) == width:
                self.take_loose(entries)
                return entries
            expected = self.tiles.stored(0, index, width)
        except IntegrityError as error:
            self.note_damage(index * TILE_WIDTH, error.detail)
            return None
        offset, code = classify(leaf_hashes(entries), expected)
        self._found(Finding(code, index * TILE_WIDTH + offset, name))
        self._take_leaves(expected)
        return None

    def take_loose(self, entries: Sequence[bytes]) -> None:
        """Take entries that are in no full bundle yet."""
        self._take_leaves(leaf_hashes(entries))

    def _take_leaves(self, leaves: list[bytes]) -> None:
        self._note_roots(leaves)
        self._frontier.append(leaves)
        self._loose += leaves
        self.size += len(leaves)

    def compare_settled(self, start: int, entries: Sequence[bytes]) -> None:
        """Compare entries of a segment with the full bundles that hold them too."""
        settled = self.size - len(self._loose)
        for index in range(start // TILE_WIDTH, min(settled, start + len(entries)) // TILE_WIDTH):
            first = index * TILE_WIDTH
            begin = max(first, start)
            try:
                bundle, _ = self.tiles.stored_entries(index)
            except IntegrityError:
                continue  # reported when the bundles were walked
            ours = entries[begin - start : first + TILE_WIDTH - start]
            for offset, (one, other) in enumerate(zip(ours, bundle[begin - first :], strict=False)):
                if one != other:
                    place = f"its bundle {tile_name(ENTRIES, index)} and its segment differ"
                    self._found(Finding(FindingCode.ENTRY_ALTERED, begin + offset, place))
                    return

    # --- Faults ---

    def note_missing(self, place: str, index: int) -> None:
        """Report a file or a range of entries that is not there."""
        self._found(Finding(FindingCode.FILE_MISSING, index, place))

    def note_damage(self, index: int | None, place: str) -> None:
        """Report a file that is not what it should be; no index for hashes above the entries' own."""
        self._found(Finding(FindingCode.FILE_DAMAGED, index, place))

    # --- Checkpoints ---

    def check_partial_files(self, size: int, *, required: bool) -> None:
        """Compare the incomplete tiles and bundles, of this size and of lesser ones, with their rows.

        `required`: those of this size must be there, as a checkpoint counts so many entries.
        """
        for level in range(TILE_LEVELS_MAX):
            due = partial_width(size, level) if required else 0
            index = size >> TILE_LEVEL_BITS * (level + 1)
            if self.tiles.has(level, index):
                continue
            row = self._rows[level] if level else self._loose
            for width in sorted({due, *self.tiles.partial_widths(level, index)} - {0}):
                self._check_partial_tile(row[:width], level, index, width)
        for width in self.tiles.partial_widths(ENTRIES, size // TILE_WIDTH):
            self._check_partial_bundle(size // TILE_WIDTH, width)

    def _check_partial_tile(self, row: list[bytes], level: int, index: int, width: int) -> None:
        try:
            stored = self.tiles.stored(level, index, width)
        except IntegrityError as error:
            self.note_damage(None if level else index * TILE_WIDTH, error.detail)
            return
        if stored[: len(row)] != row:
            self._suspect(row, stored, level, index, width)

    def _check_partial_bundle(self, index: int, width: int) -> None:
        entries, whole = self.tiles.stored_entries(index, width)
        leaves = leaf_hashes(entries)
        if not whole or leaves != self._loose[:width]:
            offset, code = classify(leaves, self._loose[:width])
            place = tile_name(ENTRIES, index, width)
            self._found(Finding(code, index * TILE_WIDTH + offset, place))

    def check_checkpoint(self, checkpoint: Checkpoint | None, known: Sequence[Checkpoint]) -> None:
        """Compare with the log's own checkpoint, which decides whether entries or tiles are at fault."""
        true = checkpoint is not None and self._roots.get(checkpoint.size) == checkpoint.root
        for fault in self._tile_faults if true else self._entry_faults:
            self._found(fault)
        if checkpoint is None or true:
            return
        if checkpoint.size > self.size:
            place = f"the checkpoint counts {checkpoint.size}"
            self._found(Finding(FindingCode.ENTRIES_MISSING, self.size, place))
        elif not self._entry_faults and self._unknown_from is None:
            good = max((k.size for k in known if self._roots.get(k.size) == k.root), default=0)
            place = f"entries from {good} up to {checkpoint.size - 1}"
            self._found(Finding(FindingCode.REWRITTEN, good, place))

    def check_known(self, known: Sequence[Checkpoint], own: Checkpoint | None) -> None:
        """Compare with checkpoints that were kept elsewhere, smallest first."""
        good = 0
        signed = {own.size: own.root} if own else {}
        own_true = own is not None and self._roots.get(own.size) == own.root
        for checkpoint in known:
            size = checkpoint.size
            if own is not None and checkpoint.origin != own.origin:
                place = f"the known one of {checkpoint.origin}"
                self._found(Finding(FindingCode.BAD_CHECKPOINT, None, place, "It is of another log."))
                continue
            if signed.setdefault(size, checkpoint.root) != checkpoint.root:
                self._found(Finding(FindingCode.FORKED, good, f"two of size {size}"))
            elif size > self.size:
                place = f"a known checkpoint counts {size}"
                self._found(Finding(FindingCode.ENTRIES_MISSING, self.size, place))
            elif self._roots.get(size) == checkpoint.root:
                good = max(good, size)
            elif self._unknown_from is None and (own_true or not self._entry_faults):
                code = FindingCode.FORKED if own_true and own and size < own.size else FindingCode.REWRITTEN
                self._found(Finding(code, good, f"entries from {good} up to {size - 1}"))

    # --- Inside ---

    def _climb(self, leaves: list[bytes]) -> None:
        self._note_roots(leaves)
        node = perfect_root(leaves)
        self._frontier.append([node], TILE_LEVEL_BITS)
        self.size += TILE_WIDTH
        level, index = 1, self.size // TILE_WIDTH - 1
        while True:
            row = self._rows[level]
            row.append(node)
            if len(row) < TILE_WIDTH:
                return
            index //= TILE_WIDTH
            expected = self._stored(level, index)
            if expected is not None and expected != row:
                self._suspect(row, expected, level, index)
            node = perfect_root(row)
            self._rows[level] = []
            level += 1

    def _suspect(
        self,
        found: Sequence[bytes],
        expected: Sequence[bytes],
        level: int,
        index: int,
        width: int = TILE_WIDTH,
    ) -> None:
        """Keep both explanations of a difference until the checkpoint tells which one is true."""
        if len(self._tile_faults) >= SUSPICIONS_MAX:
            return
        offset, code = classify(found, expected)
        first = (index * TILE_WIDTH + offset) << TILE_LEVEL_BITS * level
        if level:
            last = first + (1 << TILE_LEVEL_BITS * level) - 1
            if not any(f.index is not None and first <= f.index <= last for f in self._entry_faults):
                place = f"entries from {first} up to {last}"
                self._entry_faults.append(Finding(FindingCode.REWRITTEN, first, place))
        else:
            self._entry_faults.append(Finding(code, first, tile_name(ENTRIES, index, width)))
        self._tile_faults.append(Finding(FindingCode.TILE_ALTERED, first, tile_name(level, index, width)))

    def _note_roots(self, leaves: Sequence[bytes]) -> None:
        while self._watched and self._watched[0] <= self.size + len(leaves):
            size = self._watched.pop(0)
            if size not in self._roots:
                frontier = self._frontier.copy()
                frontier.append(leaves[: size - self.size])
                self._roots[size] = frontier.root()

    def _stored(self, level: int, index: int) -> list[bytes] | None:
        try:
            return self.tiles.stored(level, index)
        except IntegrityError as error:
            self.note_damage(None if level else index * TILE_WIDTH, error.detail)
            return None


def classify(found: Sequence[bytes], expected: Sequence[bytes]) -> tuple[int, FindingCode]:
    """Say where two differing rows of hashes begin to differ, and what would explain it."""
    pairs = zip(found, expected, strict=False)
    at = next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(found), len(expected)))
    rest, wanted = found[at:], expected[at:]
    for place in range(1, min(len(rest), len(wanted))):
        if rest[place] == wanted[0] and rest[0] == wanted[place]:
            return at, FindingCode.ENTRIES_SWAPPED
    if len(rest) < len(wanted) or (len(rest) > 1 and len(rest) == len(wanted)):
        shared = min(len(rest), len(wanted) - 1)
        if rest[:shared] == wanted[1 : shared + 1]:
            return at, FindingCode.ENTRY_REMOVED
    shared = min(len(rest) - 1, len(wanted))
    if shared > 0 and rest[1 : shared + 1] == wanted[:shared]:
        return at, FindingCode.ENTRY_INSERTED
    return at, FindingCode.ENTRY_ALTERED
