"""The ledger's tree as files, in the layout that any reader of tiled logs understands.

Source: C2SP tlog-tiles. Under one directory lie `checkpoint`, hash tiles `tile/<level>/<index>[.p/<width>]`
of up to 256 hashes, and entry bundles `tile/entries/<index>[.p/<width>]` of up to 256 entries, each entry
after its length in two octets. A full tile or bundle never changes.
"""

import re
import shutil
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from postkeep.base.errors import IntegrityError
from postkeep.base.files import sync_directory, write_content
from postkeep.crypto.merkle import HASH_BYTES, leaf_hashes, perfect_root

TILE_WIDTH: Final = 256  # hashes or entries; fixed by the layout
TILE_LEVEL_BITS: Final = 8  # levels of the tree in one tile
TILE_LEVELS_MAX: Final = 8  # levels of tiles: 256**8 entries are never reached
ENTRY_BYTES_MAX: Final = 65_535  # octets: the length before an entry has two
BUNDLE_BYTES_MAX: Final = TILE_WIDTH * (ENTRY_BYTES_MAX + 2)
TILES_CACHED_MAX: Final = 64  # tiles of 8 KiB in memory: two proofs at once touch about a dozen
FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700
ENTRIES: Final = "entries"

_WIDTH: Final = re.compile(r"[1-9][0-9]{0,2}\Z", re.ASCII)


def tile_name(level: int | str, index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile (or, for the level "entries", a bundle) below the log's directory."""
    parts = [f"{index % 1000:03d}"]
    index //= 1000
    while index:
        parts.append(f"x{index % 1000:03d}")
        index //= 1000
    name = f"tile/{level}/" + "/".join(reversed(parts))
    return name if width == TILE_WIDTH else f"{name}.p/{width}"


def partial_width(size: int, level: int) -> int:
    """Return how many hashes the incomplete tile at a level has in a tree of `size`; 0: there is none."""
    return (size >> (TILE_LEVEL_BITS * level)) % TILE_WIDTH


def encode_entries(entries: Sequence[bytes]) -> bytes:
    """Join entries, each after its length in two octets."""
    return b"".join([part for entry in entries for part in (len(entry).to_bytes(2, "big"), entry)])


def parse_entries(data: bytes, count: int) -> list[bytes]:
    """Split what `encode_entries` joined; raise IntegrityError unless it holds exactly `count` entries."""
    entries, whole = split_entries(data)
    if not whole or len(entries) != count:
        raise IntegrityError(f"an entry bundle does not hold {count} whole entries")
    return entries


def split_entries(data: bytes) -> tuple[list[bytes], bool]:
    """Split off all whole entries; say whether nothing is left over."""
    entries: list[bytes] = []
    position, end = 0, len(data)
    while position < end:
        start = position + 2
        after = start + int.from_bytes(data[position:start], "big")
        if start > end or after > end:
            return entries, False
        entries.append(data[start:after])
        position = after
    return entries, True


class TileFiles:
    """Tiles and bundles in a directory. Not for several threads at once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._cache: OrderedDict[tuple[int, int], tuple[bytes, ...]] = OrderedDict()
        self._unsynced: set[Path] = set()

    def has(self, level: int | str, index: int) -> bool:
        """Say whether the full tile or bundle is there."""
        return (self.directory / tile_name(level, index)).exists()

    def write(self, level: int | str, index: int, data: bytes, width: int = TILE_WIDTH) -> None:
        """Write a tile or bundle, its data durable; a full one takes the place of its partial ones."""
        path = self.directory / tile_name(level, index, width)
        self._make_directory(path.parent)
        write_content(path, data)
        self._unsynced.add(path.parent)
        if width == TILE_WIDTH:
            shutil.rmtree(path.with_name(path.name + ".p"), ignore_errors=True)

    def sync_names(self) -> None:
        """Make the names of everything written so far durable."""
        while self._unsynced:
            sync_directory(self._unsynced.pop())

    def bundle(self, index: int, width: int = TILE_WIDTH) -> list[bytes]:
        """Read the entries of a bundle; raise IntegrityError if it is missing or malformed."""
        return parse_entries(self._read(ENTRIES, index, width, BUNDLE_BYTES_MAX), width)

    def tile(self, level: int, index: int) -> Sequence[bytes]:
        """Read a full tile's hashes; a missing one is made again from what lies below it."""
        known = self._cache.get((level, index))
        if known is not None:
            self._cache.move_to_end((level, index))
            return known
        row = tuple(self.stored(level, index) if self.has(level, index) else self._rebuild(level, index))
        self._cache[level, index] = row
        if len(self._cache) > TILES_CACHED_MAX:
            self._cache.popitem(last=False)
        return row

    def stored(self, level: int, index: int, width: int = TILE_WIDTH) -> list[bytes]:
        """Read a tile's hashes as they are stored; raise IntegrityError if it is missing or malformed."""
        data = self._read(level, index, width, TILE_WIDTH * HASH_BYTES)
        if len(data) != width * HASH_BYTES:
            raise IntegrityError(f"{tile_name(level, index, width)} does not have the size of a tile")
        return [data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)]

    def stored_entries(self, index: int, width: int = TILE_WIDTH) -> tuple[list[bytes], bool]:
        """Read what entries a bundle holds, whether or not it is the right number of whole ones.

        Returns them, and whether nothing else is in the bundle. Raises IntegrityError if it is missing.
        """
        return split_entries(self._read(ENTRIES, index, width, 2 * BUNDLE_BYTES_MAX))

    def partial_widths(self, level: int | str, index: int) -> list[int]:
        """List the widths in which a tile or bundle is stored incomplete."""
        directory = self.directory / (tile_name(level, index) + ".p")
        if not directory.is_dir():
            return []
        return sorted(int(p.name) for p in directory.iterdir() if _WIDTH.match(p.name))

    def _rebuild(self, level: int, index: int) -> list[bytes]:
        if level:
            row = [perfect_root(self.tile(level - 1, index * TILE_WIDTH + i)) for i in range(TILE_WIDTH)]
        else:
            row = leaf_hashes(self.bundle(index))
        self.write(level, index, b"".join(row))
        return row

    def _read(self, level: int | str, index: int, width: int, limit: int) -> bytes:
        name = tile_name(level, index, width)
        try:
            with (self.directory / name).open("rb") as file:
                data = file.read(limit + 1)
        except FileNotFoundError:
            raise IntegrityError(f"{name} is missing") from None
        if len(data) > limit:
            raise IntegrityError(f"{name} is longer than it can be")
        return data

    def _make_directory(self, path: Path) -> None:
        if path.is_dir():
            return
        self._make_directory(path.parent)
        path.mkdir(mode=DIRECTORY_MODE)
        self._unsynced.add(path.parent)
