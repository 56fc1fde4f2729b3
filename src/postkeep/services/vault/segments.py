"""Segments of search indexes: made and read by faces, kept here as opaque blobs with their keys in slots.

A segment's bytes are durable before its row is. Under the mailbox's lock it is kept only while it is exact:
its block is full and has just the messages that it was made of. Whatever removes one of them drops it.
"""

import asyncio
from collections.abc import Callable, Sequence
from struct import pack
from typing import Final, TypeVar

import msgspec
from asyncpg import Record

from postkeep.base.clock import Clock
from postkeep.base.errors import (
    ConflictError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    RefusedError,
)
from postkeep.model.categories import Category
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault import search_api
from postkeep.services.vault.answering import begin_record, need_mailbox, read_chosen
from postkeep.services.vault.api import WRAPS_BYTES, Done
from postkeep.services.vault.derived import let_go, segments_derived
from postkeep.services.vault.erasing import erase
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.search_api import BLOCK_SHIFT
from postkeep.services.vault.uids import UID_MAX, merge_blocks
from postkeep.services.vault.validation import INDEX_MAX, check_epochs, check_id
from postkeep.services.vault.writes import Writes
from postkeep.stores.packs import Body, Location
from postkeep.stores.postgres import Connection, database_errors, in_transaction
from postkeep.stores.vault_changes import lock_mailboxes, lock_principal
from postkeep.stores.vault_deposits import EpochInsert, store_epochs
from postkeep.stores.vault_segments import (
    SegmentInsert,
    delete_segments,
    put_segment,
    read_segments,
    segment_of,
    uids_between,
)
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

P = TypeVar("P")
T = TypeVar("T")

SEGMENT_BYTES_MAX: Final = 32 * 1024 * 1024  # a sealed segment: below the channel's frame
FIRST_OCTETS_MAX: Final = 64 * 1024  # of each segment in a list
LISTED_MAX: Final = 512  # segments in one list: with their first octets 8 MiB, half a million messages
PARTS_MAX: Final = 20_000  # parts in one request: more than one answer holds
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024  # octets of parts in one answer


class Segments:
    """`vault.put_segment`, `vault.segments`, `vault.segment_parts`."""

    def __init__(self, stores: Stores, writes: Writes, trail: Trail, clock: Clock) -> None:
        self._stores = stores
        self._writes = writes
        self._trail = trail
        self._clock = clock

    def handlers(self) -> dict[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the methods by name."""
        return {
            "vault.put_segment": (search_api.NewSegment, self.put_segment),
            "vault.segments": (search_api.FetchSegments, self.segments),
            "vault.segment_parts": (search_api.FetchSegmentParts, self.segment_parts),
        }

    async def put_segment(self, grant: Grant, request: search_api.NewSegment) -> Done:
        """Answer `vault.put_segment`."""
        _check(grant, request)
        with self._writes.writing():
            location, slot = await self._write(grant.tenant, request)
            dropped = await in_transaction(
                self._stores.pool, lambda connection: self._put(connection, grant, request, location, slot)
            )
            if dropped is None:  # upkeep counts its bytes as nobody's; its keys go at once
                await self._in_thread(self._stores.slots.erase_many, [slot])
            else:
                await erase(self._stores, grant.tenant, dropped)
        return Done()

    async def _write(self, tenant: bytes, request: search_api.NewSegment) -> tuple[Location, int]:
        packs, records = self._stores.packs, self._stores.slots

        def write() -> tuple[Location, int]:
            (slot,) = records.put_many([request.wraps])
            (location,) = packs.append_many([Body(tenant, request.segment, request.sealed)])
            records.sync()
            return location, slot

        return await asyncio.get_running_loop().run_in_executor(self._stores.threads, write)

    async def _put(
        self,
        connection: Connection,
        grant: Grant,
        request: search_api.NewSegment,
        location: Location,
        slot: int,
    ) -> list[int] | None:
        """Store the row if it is exact; return the slots of what it replaces. None: it is not kept."""
        tenant, mailbox, block = grant.tenant, request.mailbox, request.block
        await lock_principal(connection, tenant, request.principal)
        boxes = await lock_mailboxes(connection, tenant, request.principal, [mailbox])
        if mailbox not in boxes:
            raise NotFoundError("no such mailbox")
        low, high = block << BLOCK_SHIFT, (block + 1 << BLOCK_SHIFT) - 1
        epochs = [EpochInsert(e.tenant, e.principal, e.epoch, e.sealed) for e in request.epochs]
        await store_epochs(connection, epochs)  # whatever becomes of the segment: they are answered for
        standing = await segment_of(connection, tenant, mailbox, block)
        if boxes[mailbox]["uid_next"] <= high or standing != request.replaces:
            return None
        uids = await uids_between(connection, tenant, mailbox, low, high)
        if pack(f"<{len(uids)}I", *uids) != request.uids:
            return None
        dropped = []
        if standing:
            derived = segments_derived(await delete_segments(connection, tenant, mailbox, [block]))
            dropped = await let_go(connection, tenant, derived, self._clock.now_ms())
        segment = SegmentInsert(
            tenant, mailbox, block, request.index, slot, len(uids), request.segment, request.epoch
        )
        if not await put_segment(connection, segment, location):
            raise ConflictError("a body of this name is there already")
        return dropped

    async def segments(self, grant: Grant, request: search_api.FetchSegments) -> search_api.SegmentList:
        """Answer `vault.segments`."""
        if not 0 < request.first_octets <= FIRST_OCTETS_MAX:
            raise InvalidInputError("so much of a segment is not listed")
        blocks = _blocks(request.blocks)

        def first_octets(rows: list[Record]) -> list[Location]:
            return [Location(row[6], row[7], min(row[8], request.first_octets)) for row in rows[:LISTED_MAX]]

        rows, first = await self._read(grant, request.principal, request.mailbox, blocks, first_octets)
        wraps = await self._in_thread(self._stores.slots.read_many, [row[4] for row in rows[:LISTED_MAX]])
        listed = [
            search_api.SealedSegment(row[0], row[1], row[2], row[3], wrapped, row[8], data)
            for row, data, wrapped in zip(rows, first, wraps, strict=False)
            if wrapped is not None
        ]
        return search_api.SegmentList(listed, more=len(rows) > LISTED_MAX)

    async def segment_parts(
        self, grant: Grant, request: search_api.FetchSegmentParts
    ) -> search_api.SegmentParts:
        """Answer `vault.segment_parts`."""
        wanted = request.ranges
        if len(wanted) > PARTS_MAX:
            raise LimitError(f"{len(wanted)} parts of segments")
        if any(part.offset < 0 or part.length < 0 for part in wanted):
            raise InvalidInputError("a part begins and ends after the start")
        wanted = wanted[: _fitting(wanted)]
        blocks = _blocks([(block, block) for block in {part.block for part in wanted}])
        there: list[bool] = []

        def places(rows: list[Record]) -> list[Location]:
            by_name = {(row[0], row[1]): row for row in rows}
            found = [by_name.get((part.block, part.body)) for part in wanted]
            there[:] = [row is not None for row in found]
            return [
                Location(
                    row[6], row[7] + min(part.offset, row[8]), min(part.length, max(0, row[8] - part.offset))
                )
                for row, part in zip(found, wanted, strict=True)
                if row is not None
            ]

        rows, read = await self._read(grant, request.principal, request.mailbox, blocks, places)
        if not rows:
            return search_api.SegmentParts([b""] * len(wanted))
        rest = iter(read)
        return search_api.SegmentParts([next(rest) if known else b"" for known in there])

    async def _read(
        self,
        grant: Grant,
        principal: bytes,
        mailbox: bytes,
        blocks: list[tuple[int, int]],
        places: Callable[[list[Record]], list[Location]],
    ) -> tuple[list[Record], list[bytes]]:
        """Look up the segments of blocks and read places in them; the ledger hears of as many messages as
        they are of."""
        stores = self._stores

        async def look_up() -> list[Record]:
            with database_errors():
                return await read_segments(
                    stores.pool, grant.tenant, principal, mailbox, blocks, LISTED_MAX + 1
                )

        def record(rows: list[Record]) -> asyncio.Task[int]:
            bodies, messages = [row[1] for row in rows], sum(row[5] for row in rows)
            return begin_record(
                self._trail, grant, principal, mailbox, bodies, Category.CONTENT, messages=messages
            )

        async def read(rows: list[Record]) -> list[bytes]:
            return await self._in_thread(stores.packs.read_many, places(rows))

        found = await read_chosen(look_up, record, read)
        if found is None:
            await need_mailbox(stores.pool, grant.tenant, principal, mailbox)
        return found or ([], [])

    async def _in_thread(self, work: Callable[[P], T], argument: P) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._stores.threads, work, argument)


def _check(grant: Grant, request: search_api.NewSegment) -> None:
    """Accept what a segment may look like, from the owner of its mailbox."""
    if request.principal != grant.principal or any(
        (epoch.tenant, epoch.principal) != (grant.tenant, grant.principal) for epoch in request.epochs
    ):
        raise RefusedError("a segment of another's mailbox")
    check_id(request.segment)
    check_id(request.epoch)
    check_epochs(request.epochs)
    if not 0 <= request.index <= INDEX_MAX or not 0 <= request.block <= UID_MAX >> BLOCK_SHIFT:
        raise InvalidInputError("an index or a block out of bounds")
    if len(request.wraps) != WRAPS_BYTES or not any(request.wraps):
        raise InvalidInputError("wraps of the wrong size")
    if not request.uids or len(request.uids) % 4 or len(request.uids) > 4 << BLOCK_SHIFT:
        raise InvalidInputError("not the UIDs of a block")
    if not 0 < len(request.sealed) <= SEGMENT_BYTES_MAX:
        raise LimitError(f"a segment of {len(request.sealed)} octets")


def _blocks(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Put ranges of blocks in order; those above the last block hold none."""
    last = UID_MAX >> BLOCK_SHIFT
    return merge_blocks([(low, min(high, last)) for low, high in ranges])


def _fitting(parts: Sequence[search_api.SegmentRange]) -> int:
    """Return how many parts, from the first, one answer holds: one at least."""
    left = ANSWER_BYTES_MAX
    for number, part in enumerate(parts):
        left -= part.length
        if left < 0 and number:
            return number
    return len(parts)
