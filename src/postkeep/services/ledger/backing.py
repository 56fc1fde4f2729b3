"""`ledger.backup_*`: the ledger's part of a backup, its files as they lie on the disk.

What changes is read at once, between two appends, together with the list of tiles: a log as it stood at one
moment. Full tiles never change, so they are read afterwards; a partial one that is gone by then was of no
use any more.
"""

import os
from pathlib import Path
from typing import Final

from postkeep.base.errors import InvalidInputError, LimitError, UnavailableError
from postkeep.services.ledger import backing_api as api
from postkeep.services.ledger.journal import Journal
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

READ_FILES_MAX: Final = 1_000
READ_BYTES_MAX: Final = 16 * 1024 * 1024
"""Octets in one answer. A file of the ledger is a tile, a bundle or a segment, below that."""
CHANGING_BYTES_MAX: Final = 48 * 1024 * 1024
"""What changes at any moment: a dozen segments at most, before they are written as bundles."""
_TILES: Final = "tile"
_PASSING: Final = (".new", ".lock")


class Backing:
    """Serves the backup worker."""

    def __init__(self, directory: Path, journal: Journal) -> None:
        self._directory = directory
        self._journal = journal

    def handlers(self) -> dict[str, tuple[type, Handler]]:
        """Return the methods for the channel's server."""
        return {
            "ledger.backup_files": (api.BackupFiles, self.files),
            "ledger.backup_read": (api.BackupLedger, self.read),
        }

    async def files(self, _grant: Grant, _request: api.BackupFiles) -> api.LedgerFiles:
        """Answer `ledger.backup_files`."""
        return await self._journal.run(self._list)

    async def read(self, _grant: Grant, request: api.BackupLedger) -> api.LedgerOctets:
        """Answer `ledger.backup_read`."""
        if len(request.paths) > READ_FILES_MAX:
            raise LimitError(f"at most {READ_FILES_MAX} files are read at once")
        return api.LedgerOctets(await self._journal.run(self._read, request.paths))

    def _list(self) -> api.LedgerFiles:
        changing, tiles = [], []
        total = 0
        for parent, _, names in os.walk(self._directory):
            for name in names:
                path = Path(parent) / name
                if path.is_symlink() or not path.is_file() or name.endswith(_PASSING):
                    continue
                place = path.relative_to(self._directory)
                if _TILES in place.parts[:-1]:
                    tiles.append((place.as_posix(), path.stat().st_size))
                    continue
                changing.append((place.as_posix(), path.read_bytes()))
                total += len(changing[-1][1])
                if total > CHANGING_BYTES_MAX:
                    raise UnavailableError("the ledger is behind with its bundles; try again in a moment")
        return api.LedgerFiles(sorted(changing), sorted(tiles))

    def _read(self, paths: list[str]) -> list[bytes]:
        contents = []
        total = 0
        for name in paths:
            path = self._directory / name
            if (
                ".." in Path(name).parts
                or path.is_symlink()
                or not path.resolve().is_relative_to(self._directory.resolve())
            ):
                raise InvalidInputError("not a file of the ledger")
            data = path.read_bytes() if path.is_file() else b""
            total += len(data)
            if total > READ_BYTES_MAX:
                raise LimitError(f"at most {READ_BYTES_MAX} octets are read at once")
            contents.append(data)
        return contents
