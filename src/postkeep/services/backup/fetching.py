"""From pieces back to files, each piece opened and compared with its name on the way."""

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from pathlib import Path, PurePosixPath
from typing import Final

from postkeep.base.errors import IntegrityError, NotFoundError
from postkeep.crypto.backup import open_piece
from postkeep.model.backup import SMALL_BYTES, Extent, File, Tree
from postkeep.stores.backup_target import BackupTarget

GETS_AT_ONCE: Final = 6
"""Pieces under way from the target: hides an S3 server's latency."""
PIECES_CACHED: Final = 8
"""Small files share a piece and follow each other: it is fetched once."""


class Fetcher:
    """Gets and opens pieces under one parent key."""

    def __init__(self, target: BackupTarget, parent: bytes, path: Callable[[str], str]) -> None:
        self._target = target
        self._parent = parent
        self._path = path
        self._cache: OrderedDict[bytes, asyncio.Task[bytes]] = OrderedDict()
        self.bytes_fetched = 0

    async def octets(self, extent: Extent) -> bytes:
        """Return the octets of one part of a file."""
        data = await self._piece(extent.piece)
        if extent.offset < 0 or extent.offset + extent.length > len(data):
            raise IntegrityError("a part of a file lies outside its piece")
        return data[extent.offset : extent.offset + extent.length]

    async def parts(self, file: File) -> AsyncIterator[bytes]:
        """Yield the parts of a file in order, some fetched ahead."""
        ahead = [self._start(extent.piece) for extent in file.extents[:GETS_AT_ONCE]]
        for number, extent in enumerate(file.extents):
            yield await self.octets(extent)
            if number + len(ahead) < len(file.extents):
                self._start(file.extents[number + len(ahead)].piece)

    async def read(self, file: File, offset: int, length: int) -> bytes:
        """Return a range of a file."""
        found = []
        begin = 0
        for extent in file.extents:
            first, last = max(begin, offset), min(begin + extent.length, offset + length)
            if first < last:
                octets = await self.octets(extent)
                found.append(octets[first - begin : last - begin])
            begin += extent.length
        return b"".join(found)

    async def write(self, tree: Tree, directory: Path, owner: int | None) -> None:
        """Write a tree into a directory, every file its owner's alone; durable is the caller's to make it."""
        _make(directory, owner)
        for name in tree.directories:
            _make(directory / _safe(name), owner)
        for file in tree.files:
            path = directory / _safe(file.path)
            for parent in reversed(path.parents):
                if parent.is_relative_to(directory) and not parent.exists():
                    _make(parent, owner)
            await self._write_file(file, path, owner)

    async def _write_file(self, file: File, path: Path, owner: int | None) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            if owner is not None:
                os.fchown(descriptor, owner, owner)
            async for octets in self.parts(file):
                if len(octets) < SMALL_BYTES:
                    opened.write(octets)  # quicker than asking another thread to
                else:
                    await asyncio.to_thread(opened.write, octets)
            if opened.tell() != file.size:
                raise IntegrityError(f"{file.path} has {opened.tell()} octets, not {file.size}")

    def _start(self, piece: bytes) -> "asyncio.Task[bytes]":
        task = self._cache.get(piece)
        if task is None:
            task = self._cache[piece] = asyncio.create_task(self._fetch(piece))
            while len(self._cache) > GETS_AT_ONCE + PIECES_CACHED:
                self._cache.popitem(last=False)[1].cancel()
        else:
            self._cache.move_to_end(piece)
        return task

    async def _piece(self, piece: bytes) -> bytes:
        return await self._start(piece)

    async def _fetch(self, piece: bytes) -> bytes:
        name = piece.hex()
        try:
            sealed = await self._target.get(self._path(name))
        except NotFoundError as exc:
            raise IntegrityError(
                f"piece {name} is missing",
                code="backup_object",
                public_text=f"The backup is not whole: the object {self._path(name)} is missing.",
            ) from exc
        self.bytes_fetched += len(sealed)
        try:
            return await asyncio.to_thread(open_piece, self._parent, name, sealed)
        except IntegrityError as exc:
            raise IntegrityError(
                exc.detail,
                code="backup_object",
                public_text=f"The backup is damaged: the object {self._path(name)} does not open.",
            ) from exc


def _safe(name: str) -> PurePosixPath:
    """Return a path that stays where it is put."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\x00" in name:
        raise IntegrityError("a backup names a file outside its directory")
    return path


def _make(path: Path, owner: int | None) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    if owner is not None:
        os.chown(path, owner, owner)
