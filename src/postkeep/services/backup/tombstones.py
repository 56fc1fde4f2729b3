"""Tombstones: what has been destroyed, told to the target as it happens, so that no restored copy brings it
back.

Each is sealed, signed by kms and names the one before. One is written when something was destroyed, and
every hour anyway, so that the last one's time says how far the list is known to reach.
"""

from typing import Final

from postkeep.base.clock import Clock
from postkeep.base.errors import NotFoundError
from postkeep.base.ids import parse_id
from postkeep.crypto.backup import seal_object
from postkeep.model.backup import SignedTombstone, Tombstone, decode, encode, tombstone_path
from postkeep.services.backup.catalogue import open_tombstone
from postkeep.services.backup.keepers import Keepers
from postkeep.services.backup.shipping import digest
from postkeep.services.kms.backing_api import BackupOpened
from postkeep.stores.backup_target import BackupTarget

EVERY_SECONDS_MAX: Final = 3600
"""The list reaches this close to the present, even where nothing is destroyed."""
OVERLAP_MS: Final = 60_000
"""Shredded keys are asked for from a little before the last tombstone on: clocks are set, calls overlap."""


class Tombstones:
    """The list of one line. Call it from one task at a time."""

    def __init__(self, keepers: Keepers, target: BackupTarget, clock: Clock) -> None:
        self._keepers = keepers
        self._target = target
        self._clock = clock
        self._line = ""
        self.number = 0
        self.digest = b""
        self.told_ms = 0
        """Everything destroyed before this moment stands in the target; 0: not known since the start."""
        self._time_ms = 0
        self._incarnation = b""
        self._position = 0
        self._told: set[tuple[bytes, bytes]] = set()

    async def tell(self, opened: BackupOpened, *, anyway: bool = False) -> int:
        """Tell what has been destroyed since the last time; return how many tombstones that took."""
        if self._line != opened.line.hex():
            await self._find_last(opened)
        now = self._clock.now_ms()
        shredded = [
            (tenant, principal)
            for tenant, principal, _ in await self._keepers.shredded_since(max(0, self._time_ms - OVERLAP_MS))
            if (tenant, principal) not in self._told
        ]
        begin = written = 0
        while True:
            news = await self._keepers.erased(self._incarnation, self._position, begin)
            if begin == 0:
                incarnation, position = news.incarnation, news.position
            begin = news.next_begin
            due = anyway or now - self._time_ms >= EVERY_SECONDS_MAX * 1000
            if news.slots or shredded or (due and not written):
                await self._write(opened, now, news.slots, shredded)
                written += 1
            self._told.update(shredded)
            shredded = []
            if not begin:
                break
        self._incarnation, self._position = incarnation, position
        self.told_ms = now
        return written

    async def _find_last(self, opened: BackupOpened) -> None:
        """Go on where the list ends: after a start, and after a restore with an empty list."""
        line = opened.line.hex()
        self._line, self.number, self.digest, self._time_ms = line, 0, b"", 0
        self._incarnation = b""
        names = [name async for name, _ in self._target.list(f"tombstones/{line}")]
        if not names:
            return
        number = len(names)
        signer = (await self._keepers.sign_tombstone(opened.line, 0, b"")).public_key
        try:
            signed = decode(await self._target.get(tombstone_path(line, number)), SignedTombstone)
        except NotFoundError:
            return  # a gap: the restore will say so; this list goes on after what is there
        last, self.digest = open_tombstone(signed, line, number, opened.data_key, signer)
        self.number, self._time_ms = number, last.time_ms

    async def _write(
        self, opened: BackupOpened, now: int, slots: list[int], shredded: list[tuple[bytes, bytes]]
    ) -> None:
        number = self.number + 1
        name = tombstone_path(self._line, number)
        value = Tombstone(self._line, number, self.digest, now, slots, shredded)
        sealed = seal_object(opened.data_key, "tombstone", name, encode(value))
        found = digest(sealed)
        signature = (await self._keepers.sign_tombstone(parse_id(self._line), number, found)).signature
        await self._target.put(name, encode(SignedTombstone(sealed, signature)))
        await self._target.settle()
        self.number, self.digest, self._time_ms = number, found, now
