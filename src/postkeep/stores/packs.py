"""Packs: files to which sealed bodies are appended, many bodies to one durable write.

A pack is a row of frames: a header of 48 octets (magic, tenant, body, length, CRC-32 of the header), then
the sealed body and the sealed search text. The index is the database; the headers are there so that a pack
can be walked to find bytes that no row knows. All calls block and are meant for a thread; they may be made
from several.

A store of objects (S3) has the same calls: `append_many` is then one PUT of an object per group, `read_many`
ranged GETs, `remove` a DELETE.
"""

import errno
import os
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from postkeep.base.errors import IntegrityError, UnavailableError
from postkeep.base.files import sync_directory

PACK_BYTES_MAX: Final = 256 * 1024 * 1024  # a pack this large is rolled: what one compaction copies at most
PACKS_OPEN_MAX: Final = 64  # descriptors kept for reading
BUFFERS_MAX: Final = 1024  # IOV_MAX of Linux: buffers in one write
GAP_BYTES_MAX: Final = 4096  # reads closer than a page are one read
SPAN_BYTES_MAX: Final = 4 * 1024 * 1024  # a merged read stays this small, to bound memory

_MAGIC: Final = b"PKb\x01"
_FIELDS = struct.Struct(">4s16s16sQ")
_CHECKSUM = struct.Struct(">I")
HEADER_BYTES: Final = _FIELDS.size + _CHECKSUM.size


class Location(NamedTuple):
    """Where a sealed body lies: `offset` and `length` are of the body, without its header."""

    pack: int
    offset: int
    length: int


class Body(NamedTuple):
    """A sealed body to be stored."""

    tenant: bytes
    body: bytes
    data: bytes
    text: bytes = b""
    """Its sealed search text, in the same frame behind it."""


class Frame(NamedTuple):
    """A body found by walking a pack."""

    tenant: bytes
    body: bytes
    location: Location


class PackSize(NamedTuple):
    """A pack and its size in octets."""

    pack: int
    size: int


def frame_header(tenant: bytes, body: bytes, length: int) -> bytes:
    """Write the header that stands before a body."""
    fields = _FIELDS.pack(_MAGIC, tenant, body, length)
    return fields + _CHECKSUM.pack(zlib.crc32(fields))


def parse_header(data: bytes) -> tuple[bytes, bytes, int] | None:
    """Read a header as tenant, body and length; None if these octets are not one."""
    if len(data) != HEADER_BYTES or not data.startswith(_MAGIC):
        return None
    fields = data[: _FIELDS.size]
    if _CHECKSUM.unpack_from(data, _FIELDS.size)[0] != zlib.crc32(fields):
        return None
    _, tenant, body, length = _FIELDS.unpack(fields)
    return tenant, body, length


class _Descriptor:
    """An open file that closes when the last reader lets go of it."""

    __slots__ = ("fd",)

    def __init__(self, path: Path, flags: int) -> None:
        self.fd = os.open(path, flags | os.O_CLOEXEC, 0o600)

    def __del__(self) -> None:
        fd = getattr(self, "fd", -1)  # the open itself may have failed
        if fd >= 0:
            os.close(fd)


class Packs:
    """The packs of one data category in one directory; one process writes them."""

    def __init__(self, directory: Path, *, pack_bytes_max: int = PACK_BYTES_MAX) -> None:
        """Open the directory, made if it is not there. The last pack is continued if it ends cleanly;
        after a torn write a new one is begun, and nothing is ever cut off."""
        self._directory = directory
        self._pack_bytes_max = pack_bytes_max
        self._lock = threading.Lock()
        self._cache_lock = threading.Lock()
        self._cache: OrderedDict[int, _Descriptor] = OrderedDict()
        _make_directory(directory)
        self._writer: _Descriptor | None = None
        self._next = max((pack.pack for pack in self.sizes()), default=0)
        self._end = 0
        if self._next:
            end = self.walkable_bytes(self._next)
            if end == self._path(self._next).stat().st_size < pack_bytes_max:
                self._writer = _Descriptor(self._path(self._next), os.O_RDWR)
                self._end = end

    def append_many(self, bodies: Sequence[Body]) -> list[Location]:
        """Append bodies as one write and return where they are once they are durable.

        Raise UnavailableError when the disk refuses; a part that was written is an orphan then.
        """
        buffers: list[bytes] = []
        lengths: list[int] = []
        for tenant, body, data, text in bodies:
            length = len(data) + len(text)
            buffers += (frame_header(tenant, body, length), data, text)
            lengths.append(length)
        if not buffers:
            return []
        total = sum(lengths) + HEADER_BYTES * len(lengths)
        with self._lock:
            try:
                writer = self._writer_for(total)
                _write_all(writer.fd, buffers, self._end)
                os.fdatasync(writer.fd)
            except OSError as exc:
                self._writer = None  # what the file holds past its end is unknown: never append to it again
                raise UnavailableError(f"a pack could not be written: {exc}") from exc
            offset, pack = self._end, self._next
            self._end += total
        located = []
        for length in lengths:
            located.append(Location(pack, offset + HEADER_BYTES, length))
            offset += HEADER_BYTES + length
        return located

    def read_many(self, locations: Sequence[Location]) -> list[bytes]:
        """Read ranges, near ones together. Raise FileNotFoundError for a pack that has been removed (look
        the body up again), IntegrityError for one that is too short."""
        results: list[bytes] = [b""] * len(locations)
        for span, members in _coalesce(locations):
            reader = self._reader(span.pack)  # held while it is read: it closes its file when it goes
            data = _read_exactly(reader.fd, span.length, span.offset)
            if len(data) != span.length:
                raise IntegrityError(f"pack {span.pack} ends before {span.offset + span.length}")
            for number in members:
                begin = locations[number].offset - span.offset
                results[number] = data[begin : begin + locations[number].length]
        return results

    def walk(self, pack: int, end: int | None = None) -> Iterator[Frame]:
        """Yield the frames of a pack from its beginning, up to `end` or the first octets that are none."""
        reader = self._reader(pack)
        size = os.fstat(reader.fd).st_size
        size = size if end is None else min(size, end)
        offset = 0
        while (found := parse_header(os.pread(reader.fd, HEADER_BYTES, offset))) is not None:
            tenant, body, length = found
            location = Location(pack, offset + HEADER_BYTES, length)
            offset = location.offset + length
            if offset > size:
                return
            yield Frame(tenant, body, location)

    def walkable_bytes(self, pack: int) -> int:
        """Return how far a pack can be walked; less than its size after a torn write."""
        end = 0
        for frame in self.walk(pack):
            end = frame.location.offset + frame.location.length
        return end

    def sizes(self) -> list[PackSize]:
        """Return every pack with its size, oldest first."""
        found = [
            PackSize(int(entry.name.removesuffix(".pack")), entry.stat().st_size)
            for entry in os.scandir(self._directory)
            if entry.name.endswith(".pack")
        ]
        return sorted(found)

    @property
    def open_pack(self) -> int:
        """The pack that is appended to; 0 if the next write begins a new one."""
        with self._lock:
            return self._next if self._writer is not None else 0

    def roll(self) -> None:
        """End the open pack: the next write begins a new one."""
        with self._lock:
            self._writer = None

    def remove(self, pack: int) -> None:
        """Unlink a pack; readers that have it open can finish. It is no error if it is gone already."""
        if pack == self.open_pack:
            raise ValueError("the open pack can't be removed")
        with self._cache_lock:
            self._cache.pop(pack, None)
        self._path(pack).unlink(missing_ok=True)
        sync_directory(self._directory)

    def close(self) -> None:
        """Let go of all files."""
        self.roll()
        with self._cache_lock:
            self._cache.clear()

    def _path(self, pack: int) -> Path:
        return self._directory / f"{pack:08d}.pack"

    def _writer_for(self, total: int) -> _Descriptor:
        if self._writer is None or (self._end and self._end + total > self._pack_bytes_max):
            self._writer = _Descriptor(self._path(self._next + 1), os.O_RDWR | os.O_CREAT | os.O_EXCL)
            self._next += 1
            self._end = 0
            sync_directory(self._directory)
        return self._writer

    def _reader(self, pack: int) -> _Descriptor:
        with self._cache_lock:
            reader = self._cache.get(pack)
            if reader is None:
                reader = self._cache[pack] = _Descriptor(self._path(pack), os.O_RDONLY)
                while len(self._cache) > PACKS_OPEN_MAX:
                    self._cache.popitem(last=False)
            else:
                self._cache.move_to_end(pack)
            return reader


def _make_directory(directory: Path) -> None:
    """Make a directory and its missing parents, with durable names."""
    missing = []
    while not directory.is_dir():
        missing.append(directory)
        directory = directory.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700)
        sync_directory(path.parent)


def _write_all(fd: int, buffers: list[bytes], offset: int) -> None:
    """Write buffers at `offset`, however many system calls that takes."""
    pending: list[bytes | memoryview] = list(buffers)
    start = 0
    while start < len(pending):
        written = os.pwritev(fd, pending[start : start + BUFFERS_MAX], offset)
        if written <= 0:
            raise OSError(errno.EIO, "a write made no progress")
        offset += written
        while start < len(pending) and written >= len(pending[start]):
            written -= len(pending[start])
            start += 1
        if written:
            pending[start] = memoryview(pending[start])[written:]


def _read_exactly(fd: int, length: int, offset: int) -> bytes:
    """Read `length` octets at `offset`; fewer only at the end of the file."""
    data = os.pread(fd, length, offset)
    while len(data) < length and (more := os.pread(fd, length - len(data), offset + len(data))):
        data += more
    return data


def _coalesce(locations: Sequence[Location]) -> list[tuple[Location, list[int]]]:
    """Merge ranges that are near each other; each span comes with the numbers of the ranges within it."""
    spans: list[tuple[Location, list[int]]] = []
    for number in sorted(range(len(locations)), key=locations.__getitem__):
        pack, offset, length = locations[number]
        if spans:
            last, members = spans[-1]
            end = last.offset + last.length
            merged = max(end, offset + length) - last.offset
            if last.pack == pack and offset <= end + GAP_BYTES_MAX and merged <= SPAN_BYTES_MAX:
                spans[-1] = (Location(pack, last.offset, merged), members)
                members.append(number)
                continue
        spans.append((Location(pack, offset, length), [number]))
    return spans
