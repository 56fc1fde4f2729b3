"""Stage 8: into the vault. Messages that arrive together travel together: one call, one durable write.

While a call is under way the next batch gathers, so that batches grow with the load and a lone message
waits for nobody. What the vault has answered is durable and visible; only then is a message accepted.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

from postkeep.base.errors import PostkeepError, RefusedError, UnavailableError
from postkeep.services.delivery.seal import SealedDeposit
from postkeep.services.vault.api import DepositBatch, DepositResult, DepositResults, NewEpoch

CALLS_MAX: Final = 2
"""Deposit calls under way at once: while one is being made durable, another is being read."""

BATCH_DEPOSITS_MAX: Final = 256
"""Deposits in one call: keeps one transaction of the vault in the low tens of milliseconds."""

BATCH_OCTETS_MAX: Final = 4 * 1024 * 1024
"""Sealed octets in one call, unless a single message is larger: keeps the channel answering to others."""

PENDING_MAX: Final = 20_000
"""Deposits that wait. More than this says that the vault does not keep up: senders are told to come back."""


class DepositTarget(Protocol):
    """The vault, as far as this needs it."""

    async def deposit(self, request: DepositBatch, *, ticket: bytes) -> DepositResults:
        """Store a batch."""


class TicketSource(Protocol):
    """Where the operation ticket comes from."""

    async def get(self) -> bytes:
        """Return a ticket in force."""

    def discard(self) -> None:
        """Drop a ticket that was refused."""


_Waiting = tuple[SealedDeposit, "asyncio.Future[DepositResult]"]


class Depositor:
    """Merges deposits into batches. Use it from one event loop."""

    def __init__(self, vault: DepositTarget, tickets: TicketSource) -> None:
        self._vault = vault
        self._tickets = tickets
        self._pending: deque[_Waiting] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._scheduled = False

    def put(self, sealed: SealedDeposit) -> "asyncio.Future[DepositResult]":
        """Hand in a deposit; the future holds the vault's result, or what kept it from the vault."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[DepositResult] = loop.create_future()
        if len(self._pending) >= PENDING_MAX:
            future.set_exception(UnavailableError("too many deposits wait for the vault"))
            return future
        self._pending.append((sealed, future))
        if not self._scheduled and len(self._calls) < CALLS_MAX:
            self._scheduled = True
            loop.call_soon(self._pump)
        return future

    async def close(self) -> None:
        """Wait until everything handed in is settled."""
        while self._pending or self._calls:
            self._pump()
            await asyncio.wait(self._calls)

    def _pump(self) -> None:
        self._scheduled = False
        while self._pending and len(self._calls) < CALLS_MAX:
            task = asyncio.ensure_future(self._send(self._gather()))
            self._calls.add(task)
            task.add_done_callback(self._sent)

    def _sent(self, task: "asyncio.Task[None]") -> None:
        self._calls.discard(task)
        self._pump()

    def _gather(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        octets = 0
        while self._pending and len(batch) < BATCH_DEPOSITS_MAX:
            deposit = self._pending[0][0].deposit
            octets += len(deposit.content) + len(deposit.text) + len(deposit.summary)
            if batch and octets > BATCH_OCTETS_MAX:
                break
            batch.append(self._pending.popleft())
        return batch

    async def _send(self, batch: list[_Waiting]) -> None:
        try:
            results = await self._call(batch)
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            failure = error if isinstance(error, PostkeepError) else UnavailableError(repr(error))
            for _, future in batch:
                if not future.done():
                    future.set_exception(failure)
            return
        for (sealed, future), result in zip(batch, results, strict=True):
            if not result.error:
                for epoch in sealed.epochs:
                    epoch.acknowledged = True
            if not future.done():
                future.set_result(result)

    async def _call(self, batch: list[_Waiting]) -> list[DepositResult]:
        """Call the vault; once more, with the same bodies, after a broken connection or a refused ticket."""
        epochs: dict[bytes, NewEpoch] = {}
        for sealed, _ in batch:
            for epoch in sealed.epochs:
                if not epoch.acknowledged:
                    epochs[epoch.writer.epoch] = epoch.announcement
        request = DepositBatch([sealed.deposit for sealed, _ in batch], list(epochs.values()))
        try:
            answer = await self._vault.deposit(request, ticket=await self._tickets.get())
        except (UnavailableError, RefusedError) as error:
            if isinstance(error, RefusedError):
                self._tickets.discard()
            answer = await self._vault.deposit(request, ticket=await self._tickets.get())
        if len(answer.results) != len(batch):
            raise UnavailableError("the vault answered for another number of deposits")
        return answer.results
