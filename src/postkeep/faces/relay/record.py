"""Recording outcomes in the queue: those that come together go together, and none is given up."""

import asyncio
from typing import Final, Protocol

import structlog

from postkeep.base.errors import PostkeepError, RefusedError
from postkeep.services.delivery.deposit import TicketSource
from postkeep.services.queue.api import Done, QueueOutcome, QueueUpdate

BATCH_OUTCOMES_MAX: Final = 200
"""Outcomes in one call."""
RETRY_SECONDS_MIN: Final = 0.1
RETRY_SECONDS_MAX: Final = 5.0
"""Between calls while the vault is away: what is not recorded is sent twice."""

_log = structlog.get_logger(__name__)
_Waiting = tuple[QueueOutcome, "asyncio.Future[None]"]


class QueueWriter(Protocol):
    """The vault, as far as this needs it."""

    async def queue_update(self, request: QueueUpdate, *, ticket: bytes) -> Done:
        """Settle items."""


class Recorder:
    """Records outcomes. Use it from one event loop."""

    def __init__(self, vault: QueueWriter, tickets: TicketSource) -> None:
        self._vault = vault
        self._tickets = tickets
        self._pending: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def record(self, outcome: QueueOutcome) -> None:
        """Return when the outcome is durable. Cancelling the caller does not cancel the recording."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((outcome, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        await future

    async def close(self) -> None:
        """Wait for what is under way, for as long as the caller lets it."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def stop(self) -> None:
        """Give up: leases end, and the items come up again."""
        if self._task is not None:
            self._task.cancel()

    async def _drain(self) -> None:
        while self._pending:
            batch = self._pending[:BATCH_OUTCOMES_MAX]
            del self._pending[:BATCH_OUTCOMES_MAX]
            try:
                await self._send(QueueUpdate([outcome for outcome, _ in batch]))
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for _, future in batch:
                if not future.done():
                    future.set_result(None)

    async def _send(self, update: QueueUpdate) -> None:
        pause = RETRY_SECONDS_MIN
        while True:
            try:
                await self._vault.queue_update(update, ticket=await self._tickets.get())
            except PostkeepError as error:
                if isinstance(error, RefusedError):
                    self._tickets.discard()
                _log.warning("queue_update_retry", code=error.code, outcomes=len(update.outcomes))
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_SECONDS_MAX)
            else:
                return
