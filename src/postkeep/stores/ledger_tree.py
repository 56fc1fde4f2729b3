"""The growing end of a tree in tiles: what no full tile holds yet is in memory, everything else in files.

Not for several threads at once.
"""

from typing import Final

from postkeep.crypto import merkle
from postkeep.stores.ledger_tiles import (
    ENTRIES,
    TILE_LEVEL_BITS,
    TILE_LEVELS_MAX,
    TILE_WIDTH,
    TileFiles,
    encode_entries,
    partial_width,
)

READ_ENTRIES_MAX: Final = 4_096  # entries in one answer
READ_BYTES_MAX: Final = 512 * 1024  # octets of entries in one answer, give or take one entry


class TiledTree:
    """Entries and the tree over them. Call `load` first."""

    def __init__(self, tiles: TileFiles) -> None:
        self.tiles = tiles
        self._tail: list[bytes] = []
        self._leaves: list[bytes] = []
        self._rows: list[list[bytes]] = []
        self._derived = 0

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self._derived + len(self._tail)

    @property
    def derived(self) -> int:
        """How many of them lie in full bundles."""
        return self._derived

    def load(self, derived: int, tail: list[bytes]) -> None:
        """Begin with `derived` entries in full bundles, and those that follow; reads a row of each level."""
        self._derived = derived
        self._tail = tail
        self._leaves = merkle.leaf_hashes(tail)
        self._rows = [[], *(self._last_row(level) for level in range(1, TILE_LEVELS_MAX))]

    def extend(self, entries: list[bytes]) -> None:
        """Add entries at the end, in memory."""
        self._tail += entries
        self._leaves += merkle.leaf_hashes(entries)

    def write_bundle(self) -> bool:
        """Write one bundle and its tiles, if a whole one is due; say whether there was.

        The bundle comes last: where a bundle is, a crash has left its tiles too.
        """
        if len(self._tail) < TILE_WIDTH:
            return False
        index = self._derived // TILE_WIDTH
        row, level = self._leaves[:TILE_WIDTH], 0
        rows = self._rows.copy()
        while True:
            self.tiles.write(level, index, b"".join(row))
            above = [*rows[level + 1], merkle.perfect_root(row)]
            level += 1
            rows[level] = above if len(above) < TILE_WIDTH else []
            if len(above) < TILE_WIDTH:
                break
            row = above
            index //= TILE_WIDTH
        bundle = encode_entries(self._tail[:TILE_WIDTH])
        self.tiles.write(ENTRIES, self._derived // TILE_WIDTH, bundle)
        self._rows = rows
        self._derived += TILE_WIDTH
        del self._tail[:TILE_WIDTH], self._leaves[:TILE_WIDTH]
        return True

    def write_partials(self, size: int) -> None:
        """Write everything that a reader of the tree of this size needs, the incomplete tiles too."""
        while self._derived + TILE_WIDTH <= size:
            self.write_bundle()
        width = partial_width(size, 0)
        if width and size > self._derived:
            self.tiles.write(ENTRIES, size // TILE_WIDTH, encode_entries(self._tail[:width]), width)
        for level in range(TILE_LEVELS_MAX):
            width = partial_width(size, level)
            index = size >> TILE_LEVEL_BITS * (level + 1)
            if width and not self.tiles.has(level, index):
                row = self._row(level, index * TILE_WIDTH, width)
                self.tiles.write(level, index, b"".join(row), width)

    def root(self, size: int) -> bytes:
        """Return the root of the tree of the first `size` entries."""
        if not 0 <= size <= self.size:
            raise ValueError("the log is not that long")
        return merkle.tree_root(size, self.node)

    def node(self, level: int, index: int) -> bytes:
        """Return a node of the tree (see `postkeep.crypto.merkle`)."""
        tile_level, within = divmod(level, TILE_LEVEL_BITS)
        return merkle.perfect_root(self._row(tile_level, index << within, 1 << within))

    def read(self, start: int, count: int) -> list[bytes]:
        """Read entries from `start` on: `count`, or fewer at the end of the log or of the limits."""
        end = min(self.size, start + min(count, READ_ENTRIES_MAX))
        entries: list[bytes] = []
        total = 0
        while start < end and total < READ_BYTES_MAX:
            if start >= self._derived:
                part = self._tail[start - self._derived : end - self._derived]
            else:
                bundle = self.tiles.bundle(start // TILE_WIDTH)
                part = bundle[start % TILE_WIDTH :][: end - start]
            for entry in part:
                if total >= READ_BYTES_MAX:
                    break
                entries.append(entry)
                total += len(entry)
            start += len(part)
        return entries

    def _row(self, level: int, begin: int, count: int) -> list[bytes]:
        """Return hashes of a tile level, from memory, from a tile, or made from those below."""
        if level == 0 and begin >= self._derived:
            return self._leaves[begin - self._derived : begin - self._derived + count]
        known = self._derived >> TILE_LEVEL_BITS * level
        row_start = known - known % TILE_WIDTH
        if begin + count <= row_start:
            return list(self.tiles.tile(level, begin // TILE_WIDTH)[begin % TILE_WIDTH :][:count])
        if begin + count <= known:
            return self._rows[level][begin - row_start : begin - row_start + count]
        return [
            merkle.perfect_root(self._row(level - 1, index * TILE_WIDTH, TILE_WIDTH))
            for index in range(begin, begin + count)
        ]

    def _last_row(self, level: int) -> list[bytes]:
        known = self._derived >> TILE_LEVEL_BITS * level
        start = known - known % TILE_WIDTH
        return [merkle.perfect_root(self.tiles.tile(level - 1, index)) for index in range(start, known)]
