"""The loop: lease what is due, open it, put it in line, wait for more."""

import asyncio
import contextlib
from typing import Final, Protocol

import structlog

from postkeep.base.errors import PostkeepError, RefusedError
from postkeep.base.trouble import QUIET_SECONDS, Trouble
from postkeep.faces.relay.destinations import Destinations, Work
from postkeep.faces.relay.finish import Finisher
from postkeep.faces.relay.leases import Leases
from postkeep.faces.relay.opened import Opener
from postkeep.faces.relay.schedule import schedule
from postkeep.services.delivery.deposit import TicketSource
from postkeep.services.queue.api import Done, Lease, LeasedItems, QueueWait

BACKLOG_MAX: Final = 20
"""Items of one destination held here: the rest stays in the queue, where others may take it."""
ITEMS_MAX: Final = 400
"""Items held here in all."""
WAIT_SECONDS: Final = 30.0
"""One wait for work at the vault."""
PAUSE_SECONDS: Final = 1.0
"""After an error of a keeper, and while every line is full."""
DRAIN_SECONDS: Final = 6.0
"""For sessions to finish what they are sending when the node stops."""

_log = structlog.get_logger(__name__)


class Queue(Protocol):
    """The vault, as far as this needs it."""

    async def queue_lease(self, request: Lease, *, ticket: bytes) -> LeasedItems:
        """Claim due items."""

    async def queue_wait(self, request: QueueWait, *, ticket: bytes) -> Done:
        """Wait until something may be due."""


class Worker:
    """Runs until it is told to stop."""

    def __init__(
        self,
        *,
        queue: Queue,
        tickets: TicketSource,
        opener: Opener,
        destinations: Destinations,
        finisher: Finisher,
        leases: Leases,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        self._queue = queue
        self._tickets = tickets
        self._opener = opener
        self._destinations = destinations
        self._finisher = finisher
        self._leases = leases
        self._drain_seconds = drain_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Relay mail until `stop` is set; then finish what is being sent and give back the rest."""
        loop = asyncio.create_task(self._loop())
        renewal = asyncio.create_task(self._leases.keep())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({loop, renewal, stopped}, return_when=asyncio.FIRST_COMPLETED)
            for task in (loop, renewal):
                if task.done():
                    task.result()
        finally:
            await _end(loop, stopped)
            await self._destinations.close(self._drain_seconds)
            await _end(renewal)

    async def _loop(self) -> None:
        trouble: Trouble | None = None
        while True:
            try:
                await self._round()
                trouble = None
            except PostkeepError as error:
                if isinstance(error, RefusedError):
                    self._tickets.discard()
                now = asyncio.get_running_loop().time()
                trouble = trouble or Trouble(now, QUIET_SECONDS if error.temporary else 0.0)
                log = _log.warning if trouble.is_due(now) else _log.debug
                log("queue_trouble", code=error.code, detail=error.detail, seconds=trouble.seconds(now))
                await asyncio.sleep(PAUSE_SECONDS)

    async def _round(self) -> None:
        destinations = self._destinations
        destinations.freed.clear()
        demand = schedule(destinations.waiting, BACKLOG_MAX, ITEMS_MAX)
        if not demand.limit:
            await self._wait_for_room(PAUSE_SECONDS)
            return
        asked = asyncio.get_running_loop().time()
        ticket = await self._tickets.get()
        leased = await self._queue.queue_lease(
            Lease(demand.limit, self._leases.seconds, demand.busy), ticket=ticket
        )
        if leased.items:
            await self._take(leased, asked)
        elif demand.busy:
            await self._wait_for_room(PAUSE_SECONDS)
        else:
            await self._queue.queue_wait(QueueWait(WAIT_SECONDS), ticket=ticket)

    async def _take(self, leased: LeasedItems, asked: float) -> None:
        leases = [self._leases.take(item, asked) for item in leased.items]
        opened = await self._opener.open(leased.items)
        for item, lease, found in zip(leased.items, leases, opened, strict=True):
            if isinstance(found, PostkeepError):
                self._leases.release(lease)
                await self._finisher.give_back(item, found)
            else:
                self._destinations.put(Work(found, lease))

    async def _wait_for_room(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._destinations.freed.wait(), seconds)


async def _end(*tasks: "asyncio.Task[None] | asyncio.Task[bool]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
