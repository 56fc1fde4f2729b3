"""The outbound queue's methods. The vault serves them, because its rows are the vault's."""

import asyncio
import secrets
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from asyncpg import Record

from postkeep.base.clock import Clock
from postkeep.base.errors import InvalidInputError, LimitError, NotFoundError, UnavailableError
from postkeep.base.ids import ID_BYTES
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.services.ledger.trail import Trail
from postkeep.services.queue import api
from postkeep.services.vault.dropping import drop_queued, note_queue_events
from postkeep.services.vault.erasing import erase
from postkeep.services.vault.events import event_fields
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.validation import ENVELOPE_BYTES_MAX, TIME_MS_MAX
from postkeep.services.vault.watching import Watching
from postkeep.stores.packs import Location
from postkeep.stores.postgres import Connection, database_errors, in_transaction
from postkeep.stores.vault_queue import (
    ACTS,
    Again,
    LeaseTerms,
    act_on_items,
    lease_items,
    list_items,
    lock_items,
    lock_leased,
    next_due_ms,
    read_leased,
    renew_leases,
    try_again,
)
from postkeep.tickets.clear import Grant

LEASE_ITEMS_MAX: Final = 1000  # items in one claim
LEASE_SECONDS_MAX: Final = 3600  # the longest that a claim of a relay that died blocks an item
BUSY_MAX: Final = 10_000  # destinations that a relay may leave out
OUTCOMES_MAX: Final = 1000  # outcomes in one call
CONTENT_BYTES_MAX: Final = 16 * 1024 * 1024  # octets of a body in one answer
REASON_CHARS_MAX: Final = 500  # of the reason shown to the administrator
LIST_ITEMS_MAX: Final = 10_000  # items shown at once
WAIT_SECONDS_MAX: Final = 300.0  # the longest that a call waits
MOVED_TRIES_MAX: Final = 5  # a body that compaction moves under the reader is looked up again


class QueueService:
    """Claims, contents, outcomes, and the administrator's view."""

    def __init__(self, stores: Stores, watching: Watching, trail: Trail, clock: Clock) -> None:
        self._stores = stores
        self._watching = watching
        self._trail = trail
        self._clock = clock

    async def lease(self, grant: Grant, request: api.Lease) -> api.LeasedItems:
        """Answer `vault.queue_lease`. The claim stands in the ledger before it is given."""
        if not 0 < request.limit <= LEASE_ITEMS_MAX or not 0 < request.seconds <= LEASE_SECONDS_MAX:
            raise LimitError(f"a lease of {request.limit} items for {request.seconds} seconds")
        if len(request.busy) > BUSY_MAX:
            raise LimitError(f"{len(request.busy)} destinations left out")
        now_ms = self._clock.now_ms()
        terms = LeaseTerms(secrets.token_bytes(ID_BYTES), now_ms, now_ms + request.seconds * 1000)
        pool, loop = self._stores.pool, asyncio.get_running_loop()
        with database_errors():
            rows = await lease_items(pool, terms, request.busy, request.limit)
            due_ms = await next_due_ms(pool, request.busy)
        if not rows:
            return api.LeasedItems([], due_ms)
        fields = event_fields(grant, grant.tenant, [row["item"] for row in rows])
        recorded = asyncio.create_task(self._trail.record(EventName.QUEUE, **fields))
        try:
            slots = [row["slot"] for row in rows]
            wraps = await loop.run_in_executor(self._stores.threads, self._stores.slots.read_many, slots)
        finally:
            await recorded
        items = [
            _leased(row, terms.lease, wrapped)
            for row, wrapped in zip(rows, wraps, strict=True)
            if wrapped is not None
        ]
        return api.LeasedItems(items, due_ms)

    async def renew(self, _grant: Grant, request: api.Renew) -> api.Renewed:
        """Answer `vault.queue_renew`. A claim that has ended holds again if nobody has taken the item."""
        if len(request.claims) > LEASE_ITEMS_MAX or not 0 < request.seconds <= LEASE_SECONDS_MAX:
            raise LimitError(f"{len(request.claims)} claims for {request.seconds} seconds")
        claims = sorted({(claim.id, claim.lease) for claim in request.claims})
        end_ms = self._clock.now_ms() + request.seconds * 1000

        async def work(connection: Connection) -> set[bytes]:
            return await renew_leases(connection, claims, end_ms)

        held = await in_transaction(self._stores.pool, work)
        return api.Renewed([item for item, _ in claims if item not in held])

    async def content(self, grant: Grant, request: api.QueueContent) -> api.QueueBytes:
        """Answer `vault.queue_content`."""
        if request.offset < 0 or request.length < 0:
            raise InvalidInputError("a range begins and ends after the start")
        loop = asyncio.get_running_loop()
        for _ in range(MOVED_TRIES_MAX):
            with database_errors():
                row = await read_leased(self._stores.pool, request.id, request.lease, self._clock.now_ms())
            if row is None:
                raise NotFoundError("no such item, or its lease is over")
            offset = min(request.offset, row["length"])
            length = min(request.length or CONTENT_BYTES_MAX, CONTENT_BYTES_MAX, row["length"] - offset)
            part = Location(row["pack"], row["offset"] + offset, length)
            fields = event_fields(grant, row["tenant"], [row["body"]], category=Category.CONTENT)
            recorded = asyncio.create_task(self._trail.record(EventName.READ, **fields))
            try:
                data = await loop.run_in_executor(self._stores.threads, self._stores.packs.read_many, [part])
            except FileNotFoundError:
                continue  # compaction has moved it between the look-up and the read
            finally:
                await recorded
            return api.QueueBytes(data[0])
        raise UnavailableError("a body keeps moving")

    async def update(self, grant: Grant, request: api.QueueUpdate) -> api.Done:
        """Answer `vault.queue_update`."""
        _check_outcomes(request.outcomes)
        now_ms = self._clock.now_ms()
        outcomes = {outcome.id: outcome for outcome in request.outcomes}

        async def work(connection: Connection) -> list[Record]:
            rows = await lock_leased(
                connection,
                list(outcomes),
                [outcome.lease for outcome in outcomes.values()],
            )
            done = [row for row in rows if outcomes[row["item"]].done]
            await try_again(
                connection, [_again(row, outcomes[row["item"]]) for row in rows if row not in done]
            )
            await drop_queued(connection, grant, done, now_ms)
            return done

        done = await in_transaction(self._stores.pool, work)
        await self._erase(done)
        self._watching.queue_changed()
        return api.Done()

    async def wait(self, _grant: Grant, request: api.QueueWait) -> api.Done:
        """Answer `vault.queue_wait`."""
        wait_ms = min(max(0.0, request.wait_seconds), WAIT_SECONDS_MAX) * 1000
        with database_errors():
            due_ms = await next_due_ms(self._stores.pool, [])
        if due_ms:
            wait_ms = min(wait_ms, max(0.0, due_ms - self._clock.now_ms()))
        if wait_ms > 0:
            await self._watching.queue_wait(wait_ms / 1000)
        return api.Done()

    async def list(self, _grant: Grant, request: api.QueueList) -> api.QueueRows:
        """Answer `vault.queue_list`."""
        limit = min(max(1, request.limit), LIST_ITEMS_MAX)
        with database_errors():
            rows = await list_items(self._stores.pool, request.tenant, limit, self._clock.now_ms())
        return api.QueueRows([api.QueueRow(*row) for row in rows])

    async def act(self, grant: Grant, request: api.QueueAct) -> api.QueueActed:
        """Answer `vault.queue_act`."""
        if len(request.ids) > LIST_ITEMS_MAX:
            raise LimitError(f"{len(request.ids)} items")
        if request.act == "delete":

            async def work(connection: Connection) -> Sequence[Record]:
                rows = await lock_items(connection, request.ids)
                await drop_queued(connection, grant, rows, self._clock.now_ms(), note="delete")
                return rows

            dropped = await in_transaction(self._stores.pool, work)
            await self._erase(dropped)
            return api.QueueActed(len(dropped))
        if request.act not in ACTS:
            raise InvalidInputError(f"no such act: {request.act[:20]!r}")

        async def act(connection: Connection) -> int:
            rows = await act_on_items(connection, request.act, request.ids, self._clock.now_ms())
            await note_queue_events(connection, grant, rows, note=request.act)
            return len(rows)

        count = await in_transaction(self._stores.pool, act)
        self._watching.queue_changed()
        return api.QueueActed(count)

    async def _erase(self, rows: Sequence[Record]) -> None:
        for tenant, group in groupby(rows, key=lambda row: row["tenant"]):
            await erase(self._stores, tenant, [row["slot"] for row in group])


def _leased(row: Record, lease: bytes, wraps: bytes) -> api.LeasedItem:
    return api.LeasedItem(
        id=row["item"],
        lease=lease,
        tenant=row["tenant"],
        body=row["body"],
        principal=row["principal"],
        epoch=row["epoch"],
        sealed_epoch=row["sealed"],
        index=row["epoch_index"],
        wraps=wraps,
        envelope=row["envelope"],
        destination=row["destination"],
        attempts=row["attempts"],
        created_ms=row["created_ms"],
        size=row["size"],
        content_length=row["length"],
        delay_notified=row["delay_notified"],
    )


def _again(row: Record, outcome: api.QueueOutcome) -> Again:
    return Again(
        row["tenant"],
        row["item"],
        outcome.not_before_ms,
        outcome.envelope,
        outcome.recipients,
        outcome.reason[:REASON_CHARS_MAX].replace("\x00", ""),
        outcome.delay_notified,
    )


def _check_outcomes(outcomes: Sequence[api.QueueOutcome]) -> None:
    if not 0 < len(outcomes) <= OUTCOMES_MAX:
        raise LimitError(f"{len(outcomes)} outcomes")
    if len({outcome.id for outcome in outcomes}) != len(outcomes):
        raise InvalidInputError("two outcomes for one item")
    for outcome in outcomes:
        if len(outcome.envelope) > ENVELOPE_BYTES_MAX or outcome.recipients < 0:
            raise InvalidInputError("an envelope of an impossible size")
        if not 0 <= outcome.not_before_ms <= TIME_MS_MAX:
            raise InvalidInputError("a date before 1970 or after everything")
