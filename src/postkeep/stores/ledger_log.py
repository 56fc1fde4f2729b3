"""The ledger's log on disk: durable appends, the tree over them, and what readers are shown of it.

Entries become durable in segments; from there full bundles and tiles are derived, and partial ones for each
checkpoint. A start reads the segments, at most some megabytes, and the last row of tiles of each level.
Not for several threads at once: the service gives the log a thread of its own.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from postkeep.base.errors import IntegrityError
from postkeep.base.files import write_file
from postkeep.crypto.note import Checkpoint, parse_checkpoint, peek_note
from postkeep.stores.ledger_segments import Segments
from postkeep.stores.ledger_tiles import (
    DIRECTORY_MODE,
    ENTRIES,
    ENTRY_BYTES_MAX,
    TILE_WIDTH,
    TileFiles,
)
from postkeep.stores.ledger_tree import TiledTree

BACKLOG_MAX: Final = 16_384  # entries held in memory before bundles must be written: some 6 MB

LOG: Final = "log"
SEGMENTS: Final = "segments"
CHECKPOINT: Final = "checkpoint"
WITNESSED: Final = "checkpoint.witnessed"
"""The newest checkpoint that witnesses have cosigned, beside the newest of all."""
SNAPSHOT: Final = "sources.json"
ORIGIN: Final = "origin"


class LedgerLog:
    """An append-only log in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._tiles = TileFiles(directory / LOG)
        self._segments = Segments(directory / SEGMENTS)
        self._tree = TiledTree(self._tiles)
        self.checkpoint: Checkpoint | None = None

    @property
    def directory(self) -> Path:
        """Where the log lies."""
        return self._directory

    @property
    def size(self) -> int:
        """How many entries are durable."""
        return self._tree.size

    @property
    def backlog(self) -> int:
        """How many entries are durable in segments only."""
        return self._tree.size - self._tree.derived

    @property
    def torn_bytes(self) -> int:
        """How many octets of an unfinished write the start has cut off."""
        return self._segments.torn_bytes

    def open(self) -> None:
        """Recover; raise IntegrityError if entries are missing or do not fit the last checkpoint."""
        self._directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        (self._directory / LOG).mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        entries = self._segments.recover()
        base = self._segments.base
        size, derived = base + len(entries), -(-base // TILE_WIDTH) * TILE_WIDTH
        if size < derived:
            raise IntegrityError(f"ledger entries from {size} on are missing")
        self._tree.load(derived, entries[derived - base :])
        self._compare_with_checkpoint()

    def origin(self, proposed: str) -> str:
        """Return the log's name, which is given once: the one stored, or from now on the one proposed."""
        path = self._directory / ORIGIN
        if not path.exists():
            write_file(path, proposed.encode())
        return path.read_text("utf-8")

    def append(self, entries: list[bytes]) -> int:
        """Append entries; return the index of the first once all are durable.

        Raises OSError, as when the disk is full; then none of them is in the log.
        """
        if any(len(entry) > ENTRY_BYTES_MAX for entry in entries):
            raise ValueError("an entry is too long")
        first = self.size
        self._segments.append(first, entries)
        self._tree.extend(entries)
        return first

    def derive(self) -> bool:
        """Write one bundle and its tiles, if a whole one is due; say whether there was."""
        return self._tree.write_bundle()

    def retire(self, snapshot: Callable[[], bytes]) -> None:
        """Remove segments that are wholly in bundles, after storing what the service knows of them."""
        if self._segments.can_retire(self._tree.derived):
            self._tiles.sync_names()
            write_file(self._directory / SNAPSHOT, snapshot())
            self._segments.retire(self._tree.derived)

    def snapshot(self) -> bytes:
        """Return what `retire` stored last; empty if nothing was."""
        path = self._directory / SNAPSHOT
        return path.read_bytes() if path.exists() else b""

    def root(self, size: int) -> bytes:
        """Return the root of the tree of the first `size` entries."""
        return self._tree.root(size)

    def node(self, level: int, index: int) -> bytes:
        """Return a node of the tree (see `postkeep.crypto.merkle`)."""
        return self._tree.node(level, index)

    def read(self, start: int, count: int) -> list[bytes]:
        """Read entries from `start` on: `count`, or fewer at the end of the log or of the limits."""
        return self._tree.read(start, count)

    def pick(self, indexes: Sequence[int]) -> list[bytes]:
        """Read single entries, in the order given; neighbours cost one read together."""
        bundles: dict[int, list[bytes]] = {}
        picked = []
        for index in indexes:
            number = index // TILE_WIDTH
            if number not in bundles:
                bundles = {number: self._bundle(number)}
            picked.append(bundles[number][index % TILE_WIDTH])
        return picked

    def _bundle(self, number: int) -> list[bytes]:
        start = number * TILE_WIDTH
        entries: list[bytes] = []
        while len(entries) < TILE_WIDTH and start + len(entries) < self.size:
            entries += self._tree.read(start + len(entries), TILE_WIDTH - len(entries))
        return entries

    def publish(self, checkpoint: Checkpoint, note: bytes) -> None:
        """Store a checkpoint that fits the log, with everything that its readers need before it."""
        self._tree.write_partials(checkpoint.size)
        self._tiles.sync_names()
        write_file(self._tiles.directory / CHECKPOINT, note)
        self.checkpoint = checkpoint

    def checkpoint_note(self) -> bytes:
        """Return the checkpoint as published, with all its signatures; empty before the first."""
        return self._note(CHECKPOINT)

    def witnessed_note(self) -> bytes:
        """Return the newest checkpoint with cosignatures; empty if there is none."""
        return self._note(WITNESSED)

    def keep_witnessed(self, note: bytes) -> None:
        """Store a checkpoint with its cosignatures, unless a newer one is kept already."""
        kept = self.witnessed_note()
        if not kept or parse_checkpoint(peek_note(note)).size >= parse_checkpoint(peek_note(kept)).size:
            write_file(self._tiles.directory / WITNESSED, note)

    def _note(self, name: str) -> bytes:
        path = self._tiles.directory / name
        return path.read_bytes() if path.exists() else b""

    def close(self) -> None:
        """Close the files."""
        self._segments.close()

    def _compare_with_checkpoint(self) -> None:
        path = self._tiles.directory / CHECKPOINT
        if not path.exists():
            if self.size < TILE_WIDTH and self._tiles.has(ENTRIES, 0):
                raise IntegrityError(f"ledger entries from {self.size} on are missing")
            return
        checkpoint = parse_checkpoint(peek_note(path.read_bytes()))
        if checkpoint.size > self.size:
            raise IntegrityError(
                f"ledger entries from {self.size} on are missing: the checkpoint counts {checkpoint.size}"
            )
        if self.root(checkpoint.size) != checkpoint.root:
            raise IntegrityError(f"the first {checkpoint.size} ledger entries do not fit their checkpoint")
        self.checkpoint = checkpoint
