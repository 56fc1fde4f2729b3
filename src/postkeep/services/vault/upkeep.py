"""Upkeep of the vault's stores: what crashes and deletions leave behind is found and given back.

Each step may be interrupted at any point and repeated at any time, beside live traffic:

* slots and bytes of packs come before the rows that refer to them, so only what is older than every write
  under way is looked at;
* compaction appends live bodies to the open pack, durably, then points their rows there in one transaction,
  and unlinks the old pack when no body in use lies in it any more.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final, NamedTuple, ParamSpec, TypeVar

from postkeep.base.clock import Clock
from postkeep.services.vault.erasing import finish_erasures
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.writes import Writes
from postkeep.stores.packs import HEADER_BYTES, Body, Frame, PackSize
from postkeep.stores.postgres import Connection, database_errors, in_transaction
from postkeep.stores.vault_upkeep import (
    fold_history,
    forget_bodies,
    forget_pack,
    lock_pack,
    long_histories,
    move_bodies,
    pack_needed,
    pack_rows,
    read_mark,
    set_dead_bytes,
    slots_in_use,
    which_live,
    write_mark,
)

P = ParamSpec("P")
T = TypeVar("T")

HISTORY_KEPT: Final = 200  # newest expunges of a mailbox told apart; older ones are told of as one
HISTORY_MAX: Final = 400  # folded beyond it: opening a mailbox reads its whole history
GONE_KEPT_MS: Final = 24 * 3600 * 1000  # how long a body that is gone is still recognised when tried again
FRAMES_AT_ONCE: Final = 2000  # frames looked up in one statement
MOVE_BYTES_MAX: Final = 8 * 1024 * 1024  # octets copied with one write: keeps compaction's memory small
SLOTS_AT_ONCE: Final = 200_000  # slots checked at once while looking for unused ones

SLOTS_PUNCHED: Final = 2_000_000  # slots searched for blocks to give back in one round: 190 MB read at most

_SLOT_MARK: Final = "slots"


class UpkeepReport(NamedTuple):
    """What one round has found and done."""

    orphan_bytes: int
    packs_compacted: int
    bytes_reclaimed: int
    slots_erased: int


class Upkeep:
    """One round after another; two at once wait for each other."""

    def __init__(self, stores: Stores, writes: Writes, clock: Clock) -> None:
        self._stores = stores
        self._writes = writes
        self._clock = clock
        self._turn = asyncio.Lock()
        self._held_until_ms = 0
        """Until then no pack is removed: a backup is being made."""
        self._punched = 0
        """Where the search for slots to give back goes on."""

    async def run(self, dead_share_max: float, pack_limit: int) -> UpkeepReport:
        """Do a whole round; compact at most `pack_limit` packs of which more than the share is dead."""
        async with self._turn:
            with database_errors():
                erased = await finish_erasures(self._stores)
                erased += await self._erase_unused_slots()
                await self._punch_slots()
                orphans = await self._search_packs()
                compacted, reclaimed = await self._compact(dead_share_max, pack_limit)
                await forget_bodies(self._stores.pool, self._clock.now_ms() - GONE_KEPT_MS)
                await self._fold_histories()
            return UpkeepReport(orphans, compacted, reclaimed, erased)

    async def _fold_histories(self) -> None:
        for tenant, mailbox in await long_histories(self._stores.pool, HISTORY_MAX):
            fold = partial(fold_history, tenant=tenant, mailbox=mailbox, keep=HISTORY_KEPT)
            await in_transaction(self._stores.pool, fold)

    async def hold_packs(self, seconds: int) -> None:
        """Remove no pack for so long, and return when no removal is under way; 0 ends it."""
        async with self._turn:
            self._held_until_ms = self._clock.now_ms() + 1000 * seconds

    async def _erase_unused_slots(self) -> int:
        """Overwrite slots that no row has come to refer to: those of writes that a crash cut off."""
        slots, pool = self._stores.slots, self._stores.pool
        end = len(slots)
        await self._writes.settled()
        begin, count = await read_mark(pool, _SLOT_MARK), 0
        while begin < end:
            stop = min(begin + SLOTS_AT_ONCE, end)
            unused = set(range(begin, stop))
            async for used in slots_in_use(pool, begin, stop):
                unused.difference_update(used)
            ordered = sorted(unused)
            records = await self._in_thread(slots.read_many, ordered)
            orphans = [slot for slot, record in zip(ordered, records, strict=True) if record is not None]
            await self._in_thread(slots.erase_many, orphans)
            await write_mark(pool, _SLOT_MARK, stop)
            begin, count = stop, count + len(orphans)
        return count

    async def _punch_slots(self) -> None:
        """Give back blocks whose slots are all erased, some of the file in each round, from end to end."""
        slots = self._stores.slots
        end = len(slots)
        await self._writes.settled()
        begin = self._punched if self._punched < end else 0
        stop = min(begin + SLOTS_PUNCHED, end)
        await self._in_thread(slots.punch, begin, stop)
        self._punched = stop

    async def _search_packs(self) -> int:
        """Walk the packs that were not walked since they were closed; return the octets without a row."""
        packs = self._stores.packs
        open_pack = packs.open_pack
        sizes = await self._in_thread(packs.sizes)
        await self._writes.settled()
        known = await pack_rows(self._stores.pool)
        orphans = 0
        for pack in sizes:
            if not known.get(pack.pack, (0, False))[1]:
                orphans += await self._search(pack, closed=pack.pack != open_pack)
        return orphans

    async def _search(self, pack: PackSize, *, closed: bool) -> int:
        async def work(connection: Connection) -> int:
            await lock_pack(connection, pack.pack)
            frames = self._stores.packs.walk(pack.pack, pack.size)
            orphans = live_bytes = walked = 0
            while batch := await self._in_thread(_take, frames, FRAMES_AT_ONCE):
                states = await which_live(connection, batch)
                for frame, (known, live) in zip(batch, states, strict=True):
                    octets = HEADER_BYTES + frame.location.length
                    walked += octets
                    live_bytes += octets if live else 0
                    orphans += 0 if known else octets
            await set_dead_bytes(connection, pack.pack, pack.size - live_bytes, walked=closed)
            return orphans + pack.size - walked  # a torn tail is nobody's either

        return await in_transaction(self._stores.pool, work)

    async def _compact(self, dead_share_max: float, pack_limit: int) -> tuple[int, int]:
        if self._clock.now_ms() < self._held_until_ms:
            return 0, 0
        packs = self._stores.packs
        known = await pack_rows(self._stores.pool)
        chosen = [
            pack
            for pack in await self._in_thread(packs.sizes)
            if known.get(pack.pack, (0, False))[0] > dead_share_max * pack.size
        ][:pack_limit]
        count = reclaimed = 0
        for pack in chosen:
            if pack.pack == packs.open_pack:
                packs.roll()
                await self._writes.settled()  # a write that began before is in this pack too
            moved = await self._move_all(pack.pack)
            if await pack_needed(self._stores.pool, pack.pack):
                continue  # a frame in it can't be found by walking: better keep it
            await self._in_thread(packs.remove, pack.pack)
            await forget_pack(self._stores.pool, pack.pack)
            count += 1
            reclaimed += pack.size - moved
        return count, reclaimed

    async def _move_all(self, pack: int) -> int:
        """Copy what lives in a pack to the open one; return how many octets that took."""
        frames = self._stores.packs.walk(pack)
        moved = 0
        while batch := await self._in_thread(_take, frames, FRAMES_AT_ONCE):
            states = await which_live(self._stores.pool, batch)
            live = [frame for frame, (_, alive) in zip(batch, states, strict=True) if alive]
            for part in _portions(live):
                moved += await self._move(pack, part)
        return moved

    async def _move(self, pack: int, frames: Sequence[Frame]) -> int:
        packs = self._stores.packs
        with self._writes.writing():
            data = await self._in_thread(packs.read_many, [frame.location for frame in frames])
            bodies = [Body(f.tenant, f.body, octets) for f, octets in zip(frames, data, strict=True)]
            places = await self._in_thread(packs.append_many, bodies)
            moves = list(zip(frames, places, strict=True))
            # A copy whose body was dropped meanwhile is dead where it lies: the next search counts it.
            await in_transaction(self._stores.pool, lambda connection: move_bodies(connection, pack, moves))
        return sum(HEADER_BYTES + place.length for place in places)

    async def _in_thread(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._stores.threads, partial(work, *arguments, **named))


def _take(frames: Iterator[Frame], count: int) -> list[Frame]:
    return list(islice(frames, count))


def _portions(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Split frames so that each part is copied with one write of bounded size."""
    portions: list[list[Frame]] = []
    octets = MOVE_BYTES_MAX
    for frame in frames:
        if octets + frame.location.length > MOVE_BYTES_MAX:
            portions.append([])
            octets = 0
        portions[-1].append(frame)
        octets += frame.location.length
    return portions
