"""Group commit: deposits of all connections that come while one group is being stored form the next.

The order of writes: bodies into a pack and wraps into slots, both durable; then one transaction with the
rows; then the answers. A crash in between leaves bytes without a row, which upkeep finds, never a row
without its bytes.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Final, NamedTuple

import structlog

from postkeep.base.errors import PostkeepError, UnavailableError
from postkeep.services.vault.api import DepositResult
from postkeep.services.vault.placing import DepositRequest
from postkeep.services.vault.storing import RowStore
from postkeep.services.vault.writes import Writes
from postkeep.stores.kept_connections import KeptConnections
from postkeep.stores.packs import Body, Location, Packs
from postkeep.stores.postgres import Pool
from postkeep.stores.slots import ErasableSlots

GROUPS_AT_ONCE_MAX: Final = 2  # one group's bytes reach the disk while another's rows do
SECOND_GROUP_REQUESTS: Final = 32  # so many must wait before a second one starts: large groups cost less
GROUP_DEPOSITS_MAX: Final = 512  # deposits in one transaction: keeps its locks below some 50 ms
GROUP_BYTES_MAX: Final = 32 * 1024 * 1024  # octets in one write to a pack
WAITING_BYTES_MAX: Final = 512 * 1024 * 1024  # octets of deposits in memory before callers are turned away

_log = structlog.get_logger(__name__)


class Stores(NamedTuple):
    """Where the vault keeps things."""

    pool: Pool
    kept: KeptConnections
    packs: Packs
    slots: ErasableSlots
    threads: Executor


class _Waiting(NamedTuple):
    request: DepositRequest
    octets: int
    answer: asyncio.Future[list[DepositResult]]


class DepositGroups:
    """The one way by which messages come into the vault."""

    def __init__(self, stores: Stores, rows: RowStore, writes: Writes) -> None:
        self._stores = stores
        self._writes = writes
        self._rows = rows
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._running: set[asyncio.Task[None]] = set()
        self._in_flight: dict[tuple[bytes, bytes], asyncio.Future[list[DepositResult]]] = {}

    async def deposit(self, request: DepositRequest) -> list[DepositResult]:
        """Store a request with the next group; return once it is durable and visible.

        Raise UnavailableError if a disk or the database does not serve; repeating the request is harmless.
        """
        keys = [(deposit.tenant, deposit.body) for deposit in request.deposits]
        octets = sum(
            len(deposit.content) + len(deposit.text) + len(deposit.summary) for deposit in request.deposits
        )
        while twins := [self._in_flight[key] for key in keys if key in self._in_flight]:
            await asyncio.wait(twins)  # the same deposit over another connection: its answer will be ours
        if self._waiting_bytes + octets > WAITING_BYTES_MAX:
            raise UnavailableError(f"{self._waiting_bytes} octets of deposits are waiting")
        answer: asyncio.Future[list[DepositResult]] = asyncio.get_running_loop().create_future()
        self._in_flight.update(dict.fromkeys(keys, answer))
        self._waiting.append(_Waiting(request, octets, answer))
        self._waiting_bytes += octets
        self._start_groups()
        try:
            return await asyncio.shield(answer)  # who hangs up does not undo what others wait for
        finally:
            if answer.done():
                self._forget(keys, answer)
            else:
                answer.add_done_callback(lambda done: self._forget(keys, done))

    def _forget(
        self, keys: Sequence[tuple[bytes, bytes]], answer: asyncio.Future[list[DepositResult]]
    ) -> None:
        for key in keys:
            if self._in_flight.get(key) is answer:
                del self._in_flight[key]

    def _start_groups(self) -> None:
        while self._waiting and len(self._running) < GROUPS_AT_ONCE_MAX:
            if self._running and len(self._waiting) < SECOND_GROUP_REQUESTS:
                return
            group: list[_Waiting] = []
            deposits = octets = 0
            for item in self._waiting:
                deposits += len(item.request.deposits)
                octets += item.octets
                if group and (deposits > GROUP_DEPOSITS_MAX or octets > GROUP_BYTES_MAX):
                    break
                group.append(item)
            del self._waiting[: len(group)]
            task = asyncio.create_task(self._run(group), name="vault deposits")
            self._running.add(task)
            task.add_done_callback(self._group_done)

    def _group_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start_groups()

    async def _run(self, group: Sequence[_Waiting]) -> None:
        outcomes: Sequence[list[DepositResult] | Exception]
        try:
            with self._writes.writing():
                outcomes = await self._store([item.request for item in group])
        except Exception as exc:  # noqa: BLE001 - whatever it is, everyone who waits must hear of it
            outcomes = [exc] * len(group)
        self._waiting_bytes -= sum(item.octets for item in group)
        for item, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Exception):
                item.answer.set_exception(_shown(outcome))
                item.answer.exception()  # the caller may have hung up: then nobody else reads it
            else:
                item.answer.set_result(outcome)

    async def _store(self, requests: Sequence[DepositRequest]) -> Sequence[list[DepositResult] | Exception]:
        await self.write_bytes(requests)
        try:
            return await self._rows.store(requests)
        except UnavailableError:
            raise
        except Exception as exc:
            if len(requests) == 1:
                raise
            _log.warning("vault_group_split", requests=len(requests), error=type(exc).__name__)
        # Something is wrong with one of them: nobody else shall suffer for it.
        outcomes: list[list[DepositResult] | Exception] = []
        for request in requests:
            try:
                outcomes += await self._rows.store([request])
            except Exception as exc:  # noqa: BLE001 - it is told to the one who caused it
                outcomes.append(exc)
        return outcomes

    async def write_bytes(self, requests: Sequence[DepositRequest]) -> None:
        """Make bodies and wraps durable, and note in the requests where they are."""
        bodies: list[Body] = []
        wraps: list[bytes] = []
        for request in requests:
            for deposit in request.deposits:
                bodies.append(Body(deposit.tenant, deposit.body, deposit.content, deposit.text))
                wraps += [placement.wraps for placement in deposit.placements]
                wraps += [item.wraps for item in deposit.queue]
        packs, records = self._stores.packs, self._stores.slots

        def write() -> tuple[Sequence[Location], Sequence[int]]:
            # Both are written before either is synced: the second sync then has next to nothing left to do,
            # and one thread is as fast as two, for less.
            slots = records.put_many(wraps)
            locations = packs.append_many(bodies)
            records.sync()
            return locations, slots

        loop = asyncio.get_running_loop()
        locations, slots = await loop.run_in_executor(self._stores.threads, write)
        body = slot = 0
        for request in requests:
            request.locations = locations[body : body + len(request.deposits)]
            body += len(request.deposits)
            count = sum(len(deposit.placements) + len(deposit.queue) for deposit in request.deposits)
            request.slots = slots[slot : slot + count]
            slot += count


def _shown(exc: Exception) -> PostkeepError:
    return exc if isinstance(exc, PostkeepError) else PostkeepError(f"{type(exc).__name__}: {exc}")
