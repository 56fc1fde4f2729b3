"""The database's write-ahead log on its way to the target: the server leaves each file in a directory of
ours."""

import asyncio
import re
from pathlib import Path
from typing import Final

from postkeep.base.errors import UnavailableError
from postkeep.crypto.backup import seal_object
from postkeep.model.backup import wal_path
from postkeep.stores.backup_target import BackupTarget

SEGMENT: Final = re.compile(r"[0-9A-F]{24}\Z", re.ASCII)
NAME: Final = re.compile(r"([0-9A-F]{24}(\.[0-9A-F]{8}\.backup)?|[0-9A-F]{8}\.history)\Z", re.ASCII)
"""What the server archives: segments, marks of base backups, histories of timelines."""
WAIT_SECONDS_MAX: Final = 120.0
"""How long the server may take to archive a segment that has been closed."""
_POLL_SECONDS: Final = 0.1


class WalSpool:
    """The directory into which the server archives. What has arrived in the target is removed from it."""

    def __init__(self, directory: Path, target: BackupTarget) -> None:
        self._directory = directory
        self._target = target
        self._turn = asyncio.Lock()
        """The schedule and a backup ship side by side."""
        self.shipped: set[str] = set()
        self.bytes_shipped = 0

    def waiting(self) -> list[str]:
        """List what has not been shipped, oldest first."""
        return sorted(path.name for path in self._directory.iterdir() if NAME.match(path.name))

    async def ship(self, line: str, data_key: bytes) -> int:
        """Ship everything that waits; return how many files that were."""
        async with self._turn:
            return await self._ship(line, data_key)

    async def _ship(self, line: str, data_key: bytes) -> int:
        names = await asyncio.to_thread(self.waiting)
        for name in names:
            path = self._directory / name
            octets = await asyncio.to_thread(path.read_bytes)
            where = wal_path(line, name)
            sealed = await asyncio.to_thread(seal_object, data_key, "wal", where, octets)
            await self._target.put(where, sealed)
            self.bytes_shipped += len(sealed)
        if names:
            await self._target.settle()
        for name in names:
            await asyncio.to_thread((self._directory / name).unlink)
            self.shipped.add(name)
        return len(names)

    async def ship_until(self, segment: str, line: str, data_key: bytes) -> None:
        """Return once a segment is in the target; UnavailableError if the server does not archive it."""
        waited = 0.0
        while segment not in self.shipped:
            await self.ship(line, data_key)
            if segment in self.shipped:
                return
            if waited >= WAIT_SECONDS_MAX:
                raise UnavailableError(
                    f"segment {segment} was not archived",
                    code="backup_wal",
                    public_text="The database does not hand over its log; look at the node's log for why.",
                )
            await asyncio.sleep(_POLL_SECONDS)
            waited += _POLL_SECONDS
