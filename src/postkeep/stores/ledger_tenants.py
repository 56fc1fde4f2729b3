"""The logs of single tenants: derived from the installation's log, in the same form, each in its directory.

An entry here is the installation's entry, octet for octet, after its index there. Full bundles may be written
ahead; nothing counts before a tenant's log is *settled*: bundles, tiles, then a file that names the size.
Everything can be made again from the installation's log, so that a crash at any moment costs nothing.
"""

import re
import struct
from bisect import bisect_right
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from postkeep.base.errors import IntegrityError
from postkeep.base.files import sync_directory, write_file
from postkeep.crypto.note import parse_checkpoint, peek_note
from postkeep.stores.ledger_tiles import (
    DIRECTORY_MODE,
    ENTRIES,
    FILE_MODE,
    TILE_LEVEL_BITS,
    TILE_LEVELS_MAX,
    TILE_WIDTH,
    TileFiles,
    partial_width,
    tile_name,
)
from postkeep.stores.ledger_tree import TiledTree

TENANTS: Final = "tenants"
HEAD: Final = "head"
ANCHORS: Final = "anchors"
LOG: Final = "log"
CHECKPOINT: Final = "checkpoint"
WRAPPING_BYTES_MAX: Final = 64
"""Octets that an entry of a tenant's log has beyond the installation's entry in it."""

_ANCHOR: Final = struct.Struct(">QQ")
_PREFIX: Final = re.compile(rb'\{"index":(0|[1-9][0-9]{0,18}),"entry":')


class Head(msgspec.Struct, frozen=True):
    """How far a tenant's log is settled."""

    size: int = 0
    last: int = -1
    """The installation's index of its last entry."""


class Anchor(NamedTuple):
    """Where in the installation's log a head of a tenant's log is anchored."""

    entry: int
    size: int


def tenant_origin(origin: str, tenant: str) -> str:
    """Return the name of a tenant's log (identifier in hexadecimal)."""
    return f"{origin}/tenant/{tenant}"


def tenant_entry(index: int, entry: bytes) -> bytes:
    """Return the tenant log's entry for an entry of the installation's log."""
    return b'{"index":%d,"entry":%b}' % (index, entry)


def parse_tenant_entry(data: bytes) -> tuple[int, bytes]:
    """Return index and entry of the installation's log; raise IntegrityError if it is not of that form."""
    match = _PREFIX.match(data)
    if match is None or not data.endswith(b"}"):
        raise IntegrityError("this is no entry of a tenant's log")
    return int(match[1]), data[match.end() : -1]


class TenantLog:
    """One tenant's log. Not for several threads at once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._tiles = TileFiles(directory / LOG)
        self._tree = TiledTree(self._tiles)
        self._last = -1

    @property
    def size(self) -> int:
        """How many entries it has."""
        return self._tree.size

    def open(self) -> None:
        """Read what was settled; raise IntegrityError if it is not there."""
        head = read_head(self.directory)
        width = head.size % TILE_WIDTH
        index = head.size // TILE_WIDTH
        tail: list[bytes] = []
        if width:
            # The crash may have come between a full bundle and the head that counts it.
            whole = self._tiles.has(ENTRIES, index)
            tail = self._tiles.bundle(index)[:width] if whole else self._tiles.bundle(index, width)
        self._tree.load(head.size - width, tail)
        self._last = head.last

    def add(self, entries: list[tuple[int, bytes]]) -> None:
        """Add entries of the installation's log with their indexes; those that it has are passed over.

        Writes the bundles that are full; no head counts them before the log is settled.
        """
        known = bisect_right(entries, self._last, key=itemgetter(0))
        for start in range(known, len(entries), TILE_WIDTH):
            fresh = entries[start : start + TILE_WIDTH]
            self._tree.extend([tenant_entry(index, entry) for index, entry in fresh])
            self._last = fresh[-1][0]
            self._tree.write_bundle()

    def settle(self) -> bytes:
        """Make everything durable for readers; return the root."""
        size = self._tree.size
        if not (self.directory / LOG).is_dir():
            (self.directory / LOG).mkdir(mode=DIRECTORY_MODE, parents=True)
            self.directory.chmod(DIRECTORY_MODE)
            sync_directory(self.directory.parent)
        self._tree.write_partials(size)
        self._tiles.sync_names()
        write_file(self.directory / HEAD, msgspec.json.encode(Head(size, self._last)))
        self._drop_partials({size, signed_size(self.directory)})
        return self._tree.root(size)

    def publish(self, note: bytes) -> None:
        """Store a signed checkpoint of the settled size."""
        write_file(self.directory / LOG / CHECKPOINT, note)

    def _drop_partials(self, sizes: set[int]) -> None:
        """Remove incomplete tiles that no present head needs: thousands of quiet tenants have many."""
        size = self._tree.size
        for level in (ENTRIES, *range(TILE_LEVELS_MAX)):
            number = 0 if level == ENTRIES else int(level)
            index = size >> TILE_LEVEL_BITS * (number + 1)
            needed = {partial_width(one, number) for one in sizes}
            for width in self._tiles.partial_widths(level, index):
                if width not in needed:
                    (self.directory / LOG / tile_name(level, index, width)).unlink(missing_ok=True)


def read_head(directory: Path) -> Head:
    """Return how far a tenant's log is settled; raise IntegrityError if its file is damaged."""
    try:
        return msgspec.json.decode((directory / HEAD).read_bytes(), type=Head)
    except FileNotFoundError:
        return Head()
    except msgspec.MsgspecError:
        raise IntegrityError(f"{directory.name}/{HEAD} is damaged") from None


def signed_size(directory: Path) -> int:
    """Return the size that a tenant log's published checkpoint counts; 0 before the first."""
    try:
        return parse_checkpoint(peek_note((directory / LOG / CHECKPOINT).read_bytes())).size
    except FileNotFoundError:
        return 0


def note_anchor(directory: Path, anchor: Anchor) -> None:
    """Remember where a head was anchored. Not synced: what is lost is anchored anew."""
    with (directory / ANCHORS).open("ab") as file:
        if file.tell() == 0:
            (directory / ANCHORS).chmod(FILE_MODE)
        file.write(_ANCHOR.pack(*anchor))


def read_anchors(directory: Path, count: int) -> list[Anchor]:
    """Return the last anchors of a tenant's log, oldest first."""
    try:
        with (directory / ANCHORS).open("rb") as file:
            whole = file.seek(0, 2) // _ANCHOR.size
            file.seek(max(0, whole - count) * _ANCHOR.size)
            data = file.read(min(whole, count) * _ANCHOR.size)
    except FileNotFoundError:
        return []
    return [Anchor(*_ANCHOR.unpack_from(data, at)) for at in range(0, len(data), _ANCHOR.size)]
