"""`vault.backup_*`: the vault's part of a backup, sealed bodies and wrapped keys as they lie on the disk.

While a backup is made no pack is removed, so that rows that were copied first find their bodies in what is
copied afterwards. Wraps are read last: what was expunged meanwhile is missing in the copy too.

For restored copies the vault tells which slots it has overwritten: at first all of them, then what is new. It
keeps that in memory only; a restarted vault begins again with all.
"""

import asyncio
import secrets
import threading
from collections.abc import Sequence
from typing import Final

from postkeep.base.errors import LimitError, NotFoundError
from postkeep.services.vault import backing_api as api
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.upkeep import Upkeep
from postkeep.stores.packs import Location
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

READ_BYTES_MAX: Final = 8 * 1024 * 1024
"""Octets in one answer: well below a frame of the channel."""
HOLD_SECONDS_MAX: Final = 900
"""A backup that dies holds compaction back for so long."""
SCAN_SLOTS: Final = 1_000_000
"""Slots looked at for one answer: 96 MB of the file."""
NEWS_MAX: Final = 500_000
"""Erased slots remembered between two questions; beyond it all are told again."""


class Backing:
    """Serves the backup worker."""

    def __init__(self, stores: Stores, upkeep: Upkeep) -> None:
        self._stores = stores
        self._upkeep = upkeep
        self._lock = threading.Lock()
        self._begin_again()
        stores.slots.on_erase = self._note

    def handlers(self) -> dict[str, tuple[type, Handler]]:
        """Return the methods for the channel's server."""
        return {
            "vault.backup_hold": (api.BackupHold, self.hold),
            "vault.backup_packs": (api.BackupPacks, self.packs),
            "vault.backup_read": (api.BackupRead, self.read),
            "vault.backup_erased": (api.BackupErased, self.erased),
        }

    async def hold(self, _grant: Grant, request: api.BackupHold) -> api.BackupOctets:
        """Answer `vault.backup_hold` once no compaction is under way."""
        await self._upkeep.hold_packs(min(max(0, request.seconds), HOLD_SECONDS_MAX))
        return api.BackupOctets(b"")

    async def packs(self, _grant: Grant, _request: api.BackupPacks) -> api.PackList:
        """Answer `vault.backup_packs`."""
        found = await asyncio.to_thread(self._stores.packs.sizes)
        return api.PackList([(pack.pack, pack.size) for pack in found], self._stores.slots.size_bytes)

    async def read(self, _grant: Grant, request: api.BackupRead) -> api.BackupOctets:
        """Answer `vault.backup_read`."""
        if not 0 <= request.length <= READ_BYTES_MAX or request.offset < 0 or request.pack < 0:
            raise LimitError(f"at most {READ_BYTES_MAX} octets are read at once")
        if request.pack == 0:
            return api.BackupOctets(
                await asyncio.to_thread(self._stores.slots.dump, request.offset, request.length)
            )
        place = Location(request.pack, request.offset, request.length)
        try:
            return api.BackupOctets((await asyncio.to_thread(self._stores.packs.read_many, [place]))[0])
        except FileNotFoundError as exc:
            raise NotFoundError("the pack has been removed") from exc

    async def erased(self, _grant: Grant, request: api.BackupErased) -> api.ErasedSlots:
        """Answer `vault.backup_erased`."""
        with self._lock:
            incarnation, news = self._incarnation, self._news
            position = len(news)
            if request.incarnation == incarnation and not request.begin and request.position <= position:
                return api.ErasedSlots(incarnation, position, runs(news[request.position :]), 0)
        slots = self._stores.slots
        end = request.begin + SCAN_SLOTS
        found = await asyncio.to_thread(slots.erased, request.begin, end)
        return api.ErasedSlots(incarnation, position, found, end if end < len(slots) else 0)

    def _note(self, slots: Sequence[int]) -> None:
        with self._lock:
            if len(self._news) + len(slots) > NEWS_MAX:
                self._begin_again()
            else:
                self._news.extend(slots)

    def _begin_again(self) -> None:
        self._incarnation = secrets.token_bytes(8)
        self._news: list[int] = []


def runs(slots: Sequence[int]) -> list[int]:
    """Write numbers as first, count, first, count ..."""
    found: list[int] = []
    for slot in sorted(set(slots)):
        if found and found[-2] + found[-1] == slot:
            found[-1] += 1
        else:
            found += (slot, 1)
    return found
