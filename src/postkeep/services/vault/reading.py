"""Reading: sealed summaries, sealed bodies.

A read of sealed data stands in the ledger, durably, before its answer goes out: while the disk is read the
event is under way, and if the ledger does not confirm it the read is refused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from asyncpg import Record

from postkeep.base.errors import InvalidInputError, LimitError
from postkeep.model.categories import Category
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault import api
from postkeep.services.vault.answering import begin_record, need_mailbox, read_chosen
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.uids import merge_ranges
from postkeep.stores.packs import Location
from postkeep.stores.postgres import database_errors
from postkeep.stores.vault_messages import (
    read_locations,
    read_summaries,
)
from postkeep.tickets.clear import Grant

HEAD_BYTES: Final = 56  # salt and commitment that stand before the chunks of a sealed body
CONTENT_BYTES_MAX: Final = 16 * 1024 * 1024  # octets of bodies in one answer
CONTENT_RANGES_MAX: Final = 10_000  # ranges in one request: more than one answer holds
SUMMARY_BYTES_MAX: Final = 48 * 1024 * 1024  # octets of summaries in one answer: below the channel's frame

Wanted: TypeAlias = list[tuple[Record, Location]]
"""Rows, as `vault_messages.read_locations` returns them, with the part of each body that is to be read."""


class Reading:
    """The reading methods."""

    def __init__(self, stores: Stores, trail: Trail) -> None:
        self._stores = stores
        self._trail = trail

    async def summaries(self, grant: Grant, request: api.FetchSummaries) -> api.SummaryList:
        """Answer `vault.summaries`."""
        ranges = merge_ranges(request.uids)
        with database_errors():
            rows = await read_summaries(
                self._stores.pool, grant.tenant, request.principal, request.mailbox, ranges
            )
        if not rows:
            await need_mailbox(self._stores.pool, grant.tenant, request.principal, request.mailbox)
            return api.SummaryList([])
        if sum(len(row[5]) for row in rows) > SUMMARY_BYTES_MAX:
            raise LimitError("more summaries than one answer holds: ask for fewer")
        bodies = [row[1] for row in rows]
        recorded = self._record(grant, request.principal, request.mailbox, bodies, Category.METADATA)
        try:
            wraps = await self._wraps([row[4] for row in rows])
        finally:
            await recorded
        return api.SummaryList(
            [
                api.SealedSummary(uid, body, epoch, index, wrapped, summary)
                for (uid, body, epoch, index, _, summary), wrapped in zip(rows, wraps, strict=True)
                if wrapped is not None
            ]
        )

    async def content(self, grant: Grant, request: api.FetchContent) -> api.ContentList:
        """Answer `vault.content`."""
        if len(request.ranges) > CONTENT_RANGES_MAX:
            raise LimitError(f"{len(request.ranges)} ranges")
        if any(part.offset < 0 or part.length < 0 for part in request.ranges):
            raise InvalidInputError("a range begins and ends after the start")

        async def choose() -> Wanted:
            rows = await self._locate(grant, request)
            return _choose(request.ranges, {row[0]: row for row in rows})

        def record(bodies: list[bytes]) -> asyncio.Task[int]:
            return self._record(grant, request.principal, request.mailbox, bodies, Category.CONTENT)

        wanted, parts = await self.read_chosen(choose, record)
        if not wanted:
            await need_mailbox(self._stores.pool, grant.tenant, request.principal, request.mailbox)
        return api.ContentList(parts)

    async def read_chosen(
        self, choose: Callable[[], Awaitable[Wanted]], record: Callable[[list[bytes]], asyncio.Task[int]]
    ) -> tuple[Wanted, list[api.SealedContent]]:
        """Read parts of bodies; nothing is returned before the ledger has it.

        `choose` looks up what is wanted; `record` begins to tell the ledger of these bodies.
        """
        read = await read_chosen(
            choose, lambda wanted: record([row[1] for row, _ in wanted]), self._read_parts
        )
        return read or ([], [])

    async def _locate(self, grant: Grant, request: api.FetchContent) -> list[Record]:
        uids = sorted({part.uid for part in request.ranges})
        with database_errors():
            return await read_locations(
                self._stores.pool, grant.tenant, request.principal, request.mailbox, uids
            )

    async def _read_parts(self, wanted: Wanted) -> list[api.SealedContent]:
        """Read parts of bodies with their wraps; what has been expunged meanwhile is left out.

        FileNotFoundError where compaction has moved one. Rows: those of `vault_messages.read_locations`.
        """
        reads: list[Location] = []
        for row, part in wanted:
            reads += (Location(row[5], row[6], min(HEAD_BYTES, row[7])), part)
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(self._stores.threads, self._stores.packs.read_many, reads)
        wraps = await self._wraps([row[4] for row, _ in wanted])
        return [
            api.SealedContent(
                row[0],
                row[1],
                row[2],
                row[3],
                wrapped,
                part.offset - row[6],
                row[7],
                data[2 * number],
                data[2 * number + 1],
            )
            for number, ((row, part), wrapped) in enumerate(zip(wanted, wraps, strict=True))
            if wrapped is not None
        ]

    async def _wraps(self, slots: Sequence[int]) -> list[bytes | None]:
        """Read wraps; None where the message has been expunged meanwhile."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._stores.threads, self._stores.slots.read_many, slots)

    def _record(
        self, grant: Grant, principal: bytes, mailbox: bytes, bodies: Sequence[bytes], category: Category
    ) -> asyncio.Task[int]:
        return begin_record(self._trail, grant, principal, mailbox, bodies, category)


def _choose(ranges: Sequence[api.Range], rows: dict[int, Record]) -> list[tuple[Record, Location]]:
    """Pick what fits in one answer, in the order asked; only a first part larger than that is cut short."""
    wanted: list[tuple[Record, Location]] = []
    left = CONTENT_BYTES_MAX
    for part in ranges:
        row = rows.get(part.uid)
        if row is None:
            continue
        pack, begin, total = row[5], row[6], row[7]
        offset = min(part.offset, total)
        length = min(part.length or total, total - offset)
        if wanted and (length > left or left <= 0):
            break
        length = min(length, left)
        left -= length
        wanted.append((row, Location(pack, begin + offset, length)))
    return wanted
