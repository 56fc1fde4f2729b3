"""The ledger's log on disk: durable appends, the tree over them, and what readers are shown of it.

Entries become durable in segments; from there full bundles and tiles are derived, and partial ones for each
checkpoint. A start reads the segments, at most some megabytes, and the last row of tiles of each level.
Not for several threads at once: the service gives the log a thread of its own.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from postkeep.base.errors import IntegrityError
from postkeep.crypto import merkle
from postkeep.crypto.note import Checkpoint, parse_checkpoint, peek_note
from postkeep.stores.ledger_segments import Segments
from postkeep.stores.ledger_tiles import (
    DIRECTORY_MODE,
    ENTRIES,
    ENTRY_BYTES_MAX,
    TILE_LEVEL_BITS,
    TILE_LEVELS_MAX,
    TILE_WIDTH,
    TileFiles,
    encode_entries,
    partial_width,
    sync_directory,
    write_durably,
)

BACKLOG_MAX: Final = 16_384  # entries held in memory before bundles must be written: some 6 MB
READ_ENTRIES_MAX: Final = 4_096  # entries in one answer
READ_BYTES_MAX: Final = 512 * 1024  # octets of entries in one answer, give or take one entry

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
        self._tail: list[bytes] = []
        self._leaves: list[bytes] = []
        self._rows: list[list[bytes]] = []
        self._derived = 0
        self.size = 0
        self.checkpoint: Checkpoint | None = None

    @property
    def backlog(self) -> int:
        """How many entries are durable in segments only."""
        return self.size - self._derived

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
        self.size = base + len(entries)
        self._derived = -(-base // TILE_WIDTH) * TILE_WIDTH
        if self.size < self._derived:
            raise IntegrityError(f"ledger entries from {self.size} on are missing")
        self._tail = entries[self._derived - base :]
        self._leaves = merkle.leaf_hashes(self._tail)
        self._rows = [[], *(self._last_row(level) for level in range(1, TILE_LEVELS_MAX))]
        self._compare_with_checkpoint()

    def origin(self, proposed: str) -> str:
        """Return the log's name, which is given once: the one stored, or from now on the one proposed."""
        path = self._directory / ORIGIN
        if not path.exists():
            write_durably(path, proposed.encode())
            sync_directory(self._directory)
        return path.read_text("utf-8")

    def append(self, entries: list[bytes]) -> int:
        """Append entries; return the index of the first once all are durable.

        Raises OSError, as when the disk is full; then none of them is in the log.
        """
        if any(len(entry) > ENTRY_BYTES_MAX for entry in entries):
            raise ValueError("an entry is too long")
        first = self.size
        self._segments.append(first, entries)
        self._tail += entries
        self._leaves += merkle.leaf_hashes(entries)
        self.size += len(entries)
        return first

    def derive(self) -> bool:
        """Write one bundle and its tiles, if a whole one is due; say whether there was.

        The bundle comes last: where a bundle is, a crash has left its tiles too.
        """
        if self.backlog < TILE_WIDTH:
            return False
        index = self._derived // TILE_WIDTH
        row, level = self._leaves[:TILE_WIDTH], 0
        rows = self._rows.copy()
        while True:
            self._tiles.write(level, index, b"".join(row))
            above = [*rows[level + 1], merkle.perfect_root(row)]
            level += 1
            rows[level] = above if len(above) < TILE_WIDTH else []
            if len(above) < TILE_WIDTH:
                break
            row = above
            index //= TILE_WIDTH
        bundle = encode_entries(self._tail[:TILE_WIDTH])
        self._tiles.write(ENTRIES, self._derived // TILE_WIDTH, bundle)
        self._rows = rows
        self._derived += TILE_WIDTH
        del self._tail[:TILE_WIDTH], self._leaves[:TILE_WIDTH]
        return True

    def retire(self, snapshot: Callable[[], bytes]) -> None:
        """Remove segments that are wholly in bundles, after storing what the service knows of them."""
        if self._segments.can_retire(self._derived):
            self._tiles.sync_names()
            write_durably(self._directory / SNAPSHOT, snapshot())
            sync_directory(self._directory)
            self._segments.retire(self._derived)

    def snapshot(self) -> bytes:
        """Return what `retire` stored last; empty if nothing was."""
        path = self._directory / SNAPSHOT
        return path.read_bytes() if path.exists() else b""

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
                bundle = self._tiles.bundle(start // TILE_WIDTH)
                part = bundle[start % TILE_WIDTH :][: end - start]
            for entry in part:
                if total >= READ_BYTES_MAX:
                    break
                entries.append(entry)
                total += len(entry)
            start += len(part)
        return entries

    def publish(self, checkpoint: Checkpoint, note: bytes) -> None:
        """Store a checkpoint that fits the log, with everything that its readers need before it."""
        size = checkpoint.size
        while self._derived + TILE_WIDTH <= size:
            self.derive()
        width = partial_width(size, 0)
        if width and size > self._derived:
            self._tiles.write(ENTRIES, size // TILE_WIDTH, encode_entries(self._tail[:width]), width)
        for level in range(TILE_LEVELS_MAX):
            width = partial_width(size, level)
            index = size >> TILE_LEVEL_BITS * (level + 1)
            if width and not self._tiles.has(level, index):
                row = self._row(level, index * TILE_WIDTH, width)
                self._tiles.write(level, index, b"".join(row), width)
        self._tiles.sync_names()
        write_durably(self._tiles.directory / CHECKPOINT, note)
        sync_directory(self._tiles.directory)
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
            write_durably(self._tiles.directory / WITNESSED, note)
            sync_directory(self._tiles.directory)

    def _note(self, name: str) -> bytes:
        path = self._tiles.directory / name
        return path.read_bytes() if path.exists() else b""

    def close(self) -> None:
        """Close the files."""
        self._segments.close()

    def _row(self, level: int, begin: int, count: int) -> list[bytes]:
        """Return hashes of a tile level, from memory, from a tile, or made from those below."""
        if level == 0 and begin >= self._derived:
            return self._leaves[begin - self._derived : begin - self._derived + count]
        known = self._derived >> TILE_LEVEL_BITS * level
        row_start = known - known % TILE_WIDTH
        if begin + count <= row_start:
            return list(self._tiles.tile(level, begin // TILE_WIDTH)[begin % TILE_WIDTH :][:count])
        if begin + count <= known:
            return self._rows[level][begin - row_start : begin - row_start + count]
        return [
            merkle.perfect_root(self._row(level - 1, index * TILE_WIDTH, TILE_WIDTH))
            for index in range(begin, begin + count)
        ]

    def _last_row(self, level: int) -> list[bytes]:
        known = self._derived >> TILE_LEVEL_BITS * level
        start = known - known % TILE_WIDTH
        return [merkle.perfect_root(self._tiles.tile(level - 1, index)) for index in range(start, known)]

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
