"""From files to pieces in the target: what is there already is not sent again."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Final

from postkeep.crypto.backup import piece_name, seal_object
from postkeep.model.backup import SMALL_BYTES, Extent, File, Tree
from postkeep.stores.backup_target import BackupTarget

PUTS_AT_ONCE: Final = 6
"""Objects under way to the target: hides an S3 server's latency, and bounds memory to some 30 MB."""


class Shipper:
    """Seals pieces under one parent key and puts those that the target does not have."""

    def __init__(
        self,
        target: BackupTarget,
        parent: bytes,
        path: Callable[[str], str],
        known: set[str],
        *,
        deflate: bool,
    ) -> None:
        """`known`: names of the pieces in the target."""
        self._target = target
        self._parent = parent
        self._path = path
        self._known = known
        self._deflate = deflate
        self._under_way: set[asyncio.Task[None]] = set()
        self.bytes_shipped = 0
        self.objects_shipped = 0

    def has(self, piece: bytes) -> bool:
        """Whether the target has a piece."""
        return piece.hex() in self._known

    async def ship(self, data: bytes) -> bytes:
        """Have a piece in the target, soon; return its name."""
        name = await asyncio.to_thread(piece_name, self._parent, data)
        if name not in self._known:
            self._known.add(name)
            while len(self._under_way) >= PUTS_AT_ONCE:
                done, self._under_way = await asyncio.wait(
                    self._under_way, return_when=asyncio.FIRST_COMPLETED
                )
                _raise_first(done)
            self._under_way.add(asyncio.create_task(self._put(name, data)))
        return bytes.fromhex(name)

    async def finish(self) -> None:
        """Return once every piece has arrived."""
        if self._under_way:
            done, self._under_way = await asyncio.wait(self._under_way)
            _raise_first(done)

    async def abandon(self) -> None:
        """Stop what is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        self._under_way.clear()

    async def _put(self, name: str, data: bytes) -> None:
        sealed = await asyncio.to_thread(
            seal_object, self._parent, "piece", name, data, deflate=self._deflate
        )
        await self._target.put(self._path(name), sealed)
        self.bytes_shipped += len(sealed)
        self.objects_shipped += 1


class TreeBuilder:
    """Turns files, one after the other, into a tree. Small files share pieces."""

    def __init__(self, name: str, shipper: Shipper, piece_bytes: int) -> None:
        self._name = name
        self._shipper = shipper
        self._piece_bytes = piece_bytes
        self._directories: list[str] = []
        self._files: list[File] = []
        self._small: list[tuple[str, bytes]] = []
        self._small_bytes = 0
        self._path = ""
        self._buffer = bytearray()
        self._extents: list[Extent] = []

    def directory(self, path: str) -> None:
        """Add a directory."""
        self._directories.append(path)

    def begin(self, path: str, extents: list[Extent] | None = None) -> None:
        """Begin a file; `extents`: its first parts, which the target has."""
        self._path = path
        self._buffer.clear()
        self._extents = list(extents or ())

    async def data(self, octets: bytes) -> None:
        """Add the next octets of the file."""
        self._buffer += octets
        while len(self._buffer) >= self._piece_bytes:
            part = bytes(memoryview(self._buffer)[: self._piece_bytes])
            del self._buffer[: self._piece_bytes]
            self._extents.append(Extent(await self._shipper.ship(part), 0, len(part)))

    async def end(self) -> None:
        """Complete the file."""
        if not self._extents and len(self._buffer) < SMALL_BYTES:
            self._small.append((self._path, bytes(self._buffer)))
            self._small_bytes += len(self._buffer)
            if self._small_bytes >= self._piece_bytes:
                await self._ship_small()
            return
        if self._buffer:
            part = bytes(self._buffer)
            self._extents.append(Extent(await self._shipper.ship(part), 0, len(part)))
        size = sum(extent.length for extent in self._extents)
        self._files.append(File(self._path, size, self._extents))
        self._extents = []

    async def whole(self, path: str, octets: bytes) -> None:
        """Add a file that is at hand."""
        self.begin(path)
        await self.data(octets)
        await self.end()

    def reuse(self, file: File) -> None:
        """Add a file that the target has."""
        self._files.append(file)

    async def finish(self) -> Tree:
        """Return the tree; its pieces may still be under way."""
        await self._ship_small()
        return Tree(self._name, self._directories, sorted(self._files, key=lambda file: file.path))

    async def _ship_small(self) -> None:
        small = [(path, octets) for path, octets in self._small if octets]
        self._files += [File(path, 0, []) for path, octets in self._small if not octets]
        self._small, self._small_bytes = [], 0
        if not small:
            return
        piece = await self._shipper.ship(b"".join([octets for _, octets in small]))
        offset = 0
        for path, octets in small:
            self._files.append(File(path, len(octets), [Extent(piece, offset, len(octets))]))
            offset += len(octets)


def digest(octets: bytes) -> bytes:
    """Return the SHA-256."""
    return hashlib.sha256(octets).digest()


def _raise_first(done: set[asyncio.Task[None]]) -> None:
    for task in done:
        task.result()
