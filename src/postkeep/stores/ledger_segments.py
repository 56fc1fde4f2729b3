"""The ledger's front: files that batches of entries are appended to before they are acknowledged.

A frame is one group of entries: magic, index of the first entry, count, length, CRC-32, then the entries,
each after its length. One write and one fdatasync make a frame durable. A segment file is named after the
index of its first entry, and goes when all of its entries lie in durable bundles.
"""

import os
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from postkeep.base.errors import IntegrityError
from postkeep.base.files import sync_directory, write_content
from postkeep.stores.ledger_tiles import (
    DIRECTORY_MODE,
    FILE_MODE,
    encode_entries,
    parse_entries,
)

SEGMENT_BYTES_MAX: Final = (
    4 * 1024 * 1024
)  # octets after which a new segment starts: bounds what a start reads
FRAME_ENTRIES_MAX: Final = 65_536  # entries in one frame

_MAGIC: Final = b"PKL1"
_HEAD: Final = struct.Struct(">4sQIII")
_HEAD_CRC_AT: Final = _HEAD.size - 4
_NAME: Final = re.compile(r"[0-9]{20}\.segment\Z", re.ASCII)

_log = structlog.get_logger(__name__)


def encode_frame(first: int, entries: list[bytes]) -> bytes:
    """Make the frame of a group of entries."""
    payload = encode_entries(entries)
    head = _HEAD.pack(_MAGIC, first, len(entries), len(payload), 0)[:_HEAD_CRC_AT]
    return b"".join((head, zlib.crc32(payload, zlib.crc32(head)).to_bytes(4, "big"), payload))


def read_frame(data: bytes, position: int, first: int) -> tuple[list[bytes], int] | None:
    """Read the frame at a position: its entries and where it ends; None where no whole frame stands."""
    if len(data) - position < _HEAD.size:
        return None
    magic, index, count, length, crc = _HEAD.unpack_from(data, position)
    end = position + _HEAD.size + length
    if magic != _MAGIC or index != first or not 0 < count <= FRAME_ENTRIES_MAX or end > len(data):
        return None
    head = data[position : position + _HEAD_CRC_AT]
    payload = data[position + _HEAD.size : end]
    if zlib.crc32(payload, zlib.crc32(head)) != crc:
        return None
    return parse_entries(payload, count), end


class Scanned(NamedTuple):
    """What one segment file holds, read without changing it."""

    start: int
    entries: list[bytes]
    fault: str
    """What is wrong after the entries; empty if nothing is."""
    torn_bytes: int
    """Octets of a last write that was cut short, and so was never acknowledged."""


def scan_segments(directory: Path) -> Iterator[Scanned]:
    """Read the segments in a directory, changing nothing. Only the last one may end in a torn write."""
    paths = sorted(p for p in directory.iterdir() if _NAME.match(p.name))
    for path in paths:
        start = int(path.stem)
        data = path.read_bytes()
        entries: list[bytes] = []
        position = 0
        while (frame := read_frame(data, position, start + len(entries))) is not None:
            entries.extend(frame[0])
            position = frame[1]
        rest = data[position:]
        if rest and path == paths[-1] and _is_cut_short(rest, start + len(entries)):
            yield Scanned(start, entries, "", len(rest))
        else:
            fault = f"{path.name} is damaged from octet {position} on" if rest else ""
            yield Scanned(start, entries, fault, 0)


def _is_cut_short(rest: bytes, first: int) -> bool:
    """Say whether these octets are the beginning of the frame that would come next, and no more than that.

    A write that a kill has interrupted leaves just this; a whole frame with wrong content is damage.
    """
    if len(rest) < _HEAD.size:
        return (_MAGIC + first.to_bytes(8, "big")).startswith(rest[:12])
    magic, index, count, length, _ = _HEAD.unpack_from(rest)
    begins = magic == _MAGIC and index == first and 0 < count <= FRAME_ENTRIES_MAX
    return bool(begins and _HEAD.size + length > len(rest))


class Segments:
    """The segment files of one ledger. Not for several threads at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._starts: list[int] = []
        self._descriptor = -1
        self._length = 0
        self._damaged = False
        self.torn_bytes = 0
        """What the last start has cut off the end and kept beside it as `.torn`."""

    @property
    def base(self) -> int:
        """The index from which on entries are held here."""
        return self._starts[0]

    def recover(self) -> list[bytes]:
        """Read what a stop or a crash has left: the entries from `base` on. A torn end is cut off."""
        self._directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        self._starts = sorted(int(p.stem) for p in self._directory.iterdir() if _NAME.match(p.name))
        if not self._starts:
            self._create(0)
            return []
        entries: list[bytes] = []
        for start in self._starts:
            if start != self.base + len(entries):
                raise IntegrityError(f"ledger entries from {self.base + len(entries)} on are missing")
            data = self._path(start).read_bytes()
            self._length = self._take_frames(data, entries)
            if self._length < len(data):
                self._judge_rest(start, data, self.base + len(entries))
        self._open(self._starts[-1])
        os.ftruncate(self._descriptor, self._length)
        os.fdatasync(self._descriptor)
        return entries

    def append(self, first: int, entries: list[bytes]) -> None:
        """Append a frame; durable when this returns. Raises OSError, and then nothing was appended."""
        if self._damaged:
            self._repair()
        if self._length >= SEGMENT_BYTES_MAX:
            self._create(first)
        frame = encode_frame(first, entries)
        try:
            view = memoryview(frame)
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fdatasync(self._descriptor)
        except OSError:
            self._damaged = True
            self._repair()
            raise
        self._length += len(frame)

    def retire(self, settled: int) -> None:
        """Remove the segments all of whose entries lie before `settled`."""
        while self.can_retire(settled):
            self._path(self._starts.pop(0)).unlink()

    def can_retire(self, settled: int) -> bool:
        """Say whether `retire` would remove a segment."""
        return len(self._starts) > 1 and self._starts[1] <= settled

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take_frames(self, data: bytes, entries: list[bytes]) -> int:
        position = 0
        while (frame := read_frame(data, position, self.base + len(entries))) is not None:
            entries.extend(frame[0])
            position = frame[1]
        return position

    def _judge_rest(self, start: int, data: bytes, expected: int) -> None:
        """Tell a torn last write, which was never acknowledged, from damage to what was."""
        place = data.find(_MAGIC, self._length + 1)
        while place >= 0:
            if len(data) - place >= _HEAD.size:
                index = _HEAD.unpack_from(data, place)[1]
                if index > expected and read_frame(data, place, index) is not None:
                    raise IntegrityError(f"the ledger is damaged at entry {expected}")
            place = data.find(_MAGIC, place + 1)
        if start != self._starts[-1]:
            raise IntegrityError(f"the ledger is damaged at entry {expected}")
        self.torn_bytes = len(data) - self._length
        write_content(self._path(start).with_suffix(".torn"), data[self._length :])
        _log.warning("ledger_torn_end_cut", index=expected, bytes=self.torn_bytes)

    def _repair(self) -> None:
        """Cut off what a failed write has left, so that the next frame follows the last whole one."""
        os.ftruncate(self._descriptor, self._length)
        os.lseek(self._descriptor, self._length, os.SEEK_SET)
        os.fdatasync(self._descriptor)
        self._damaged = False

    def _create(self, first: int) -> None:
        path = self._path(first)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        sync_directory(self._directory)
        self.close()
        self._descriptor = descriptor
        self._length = 0
        self._starts.append(first)

    def _open(self, first: int) -> None:
        self._descriptor = os.open(self._path(first), os.O_WRONLY | os.O_CLOEXEC)
        os.lseek(self._descriptor, self._length, os.SEEK_SET)

    def _path(self, first: int) -> Path:
        return self._directory / f"{first:020d}.segment"
