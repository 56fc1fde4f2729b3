"""A module's way into the ledger: events are numbered per source, batched, and kept until durable.

`note` is for what may be recorded a moment later, `record` for what must not happen unless it stands in the
ledger. One append is under way at a time; what comes meanwhile forms the next batch. A batch whose answer
was lost is sent again unchanged, and the ledger recognises it by its numbers, so nothing is doubled.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Final, TypedDict, Unpack

import structlog

from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, InvalidInputError, LimitError, PostkeepError, UnavailableError
from postkeep.base.trouble import Trouble
from postkeep.model.audit import AuditEvent, EventName
from postkeep.services.ledger.api import Append
from postkeep.services.ledger.client import Caller, LedgerClient
from postkeep.tickets.channel import Refusal

SPOOL_EVENTS_MAX: Final = 65_536  # events, about 30 MB: what a module holds while the ledger is away
BATCH_EVENTS_MAX: Final = 512  # events in one append: some 150 KB on the channel
EVENT_CHARS_MAX: Final = 8_000  # characters in all fields: 48 KB of JSON at worst, below the ledger's 64 KiB
RECORD_SECONDS_MAX: Final = 1.0  # seconds until `record` gives up: who waits for it must refuse in time
LINGER_SECONDS: Final = 0.01  # seconds that notes wait for company; a `record` sends everything at once
CALL_SECONDS_MAX: Final = 10.0  # seconds until an append that got no answer is sent again
RETRY_SECONDS_MIN: Final = 0.05  # seconds before the first new attempt; doubles
RETRY_SECONDS_MAX: Final = 1.0  # seconds between attempts at most: a ledger that is back is soon used
HEARTBEAT_SECONDS: Final = 60.0  # seconds between signs of life: silence shows within some minutes
FAREWELL: Final = "farewell"
"""The code of the last heartbeat of a module that stops in order."""
CLOSE_SECONDS_MAX: Final = 3.0  # seconds that closing waits for the spool to drain

# Answers that would be the same next time: what is wrong is wrong with the batch.
_FINAL: Final = (InvalidInputError, LimitError, ConflictError)

_log = structlog.get_logger(__name__)


class EventFields(TypedDict, total=False):
    """What an event may say; the fields of `AuditEvent` that the reporter fills in."""

    outcome: str
    code: str
    tenant: str
    principal: str
    actor: str
    module: str
    instance: str
    session: str
    ticket: str
    method: str
    mailbox: str
    category: str
    count: int
    digest: str
    rule: str
    policy: str
    state: int
    note: str
    sealed: str


def refusal_fields(refusal: Refusal) -> EventFields:
    """Say of a refusal what every keeper records of it; `count` includes those that were not told singly."""
    return {
        "outcome": "refused",
        "code": refusal.code,
        "module": refusal.module,
        "instance": refusal.instance,
        "method": refusal.method,
        "tenant": refusal.tenant,
        "principal": refusal.principal,
        "session": refusal.session,
        "ticket": refusal.ticket,
        "rule": refusal.rule,
        "count": 1 + refusal.untold,
    }


class Trail:
    """The events of one module instance on their way to the ledger. Use it from one event loop."""

    def __init__(self, source: str, link: Caller, clock: Clock) -> None:
        self._source = source
        self._ledger = LedgerClient(link)
        self._clock = clock
        self._spool: deque[tuple[AuditEvent, asyncio.Future[int] | None]] = deque()
        self._number = 0
        self._sender: asyncio.Task[None] | None = None
        self._waiting = asyncio.Event()
        self._urgent = asyncio.Event()
        self._closing = False
        self._beating: asyncio.Task[None] | None = None
        self.dropped = 0
        """Events that could not be kept. Each leaves a gap in the numbers, which the ledger records."""

    @property
    def pending(self) -> int:
        """How many events are not yet known to be durable."""
        return len(self._spool)

    def check_open(self) -> None:
        """Raise UnavailableError while what is to be recorded does not get through within a second."""
        oldest = self._spool[0][0].time_ms if self._spool else None
        if oldest is not None and self._clock.now_ms() - oldest > RECORD_SECONDS_MAX * 1000:
            raise UnavailableError("events do not reach the ledger", code="unavailable.ledger")

    def start_heartbeat(self, seconds: float = HEARTBEAT_SECONDS) -> None:
        """Tell the ledger from now on that this module lives, and in `close` that it stops in order."""
        if seconds > 0 and self._beating is None:
            self._beating = asyncio.create_task(self._beat(seconds), name=f"heartbeat {self._source}")

    async def _beat(self, seconds: float) -> None:
        while True:
            self.note(EventName.HEARTBEAT)
            await asyncio.sleep(seconds)

    def note(
        self,
        event: EventName,
        personal: Callable[[str, int], str] | None = None,
        **fields: Unpack[EventFields],
    ) -> None:
        """Queue an event; it is sent in the background and sent again until the ledger has it.

        `personal` is given the event's source and number, and seals values for it (the field `sealed`).
        With the spool full the event is dropped: counted, logged, and visible in the ledger as a gap.
        """
        entry = self._number_event(event, fields, personal)
        if self._closing or len(self._spool) >= SPOOL_EVENTS_MAX:
            self._drop(1, "closed" if self._closing else "spool_full")
            return
        self._enqueue(entry, None)

    async def record(
        self,
        event: EventName,
        personal: Callable[[str, int], str] | None = None,
        **fields: Unpack[EventFields],
    ) -> int:
        """Return the event's ledger index once it is durable. `personal`: as in `note`.

        Raises UnavailableError if it is not durable within a second. The event may then still reach the
        ledger later: the ledger shows rather an act that was refused in the end than none that was done.
        """
        if self._closing or len(self._spool) >= SPOOL_EVENTS_MAX:
            raise UnavailableError("the spool for the ledger is full or closed")
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._enqueue(self._number_event(event, fields, personal), future)
        self._urgent.set()
        try:
            return await asyncio.wait_for(future, RECORD_SECONDS_MAX)
        except TimeoutError:
            raise UnavailableError("the ledger did not confirm an event in time") from None

    async def close(self) -> None:
        """Send what is left, for a few seconds at most, and stop. The link stays open."""
        if self._beating is not None:
            self._beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beating
            self._beating = None
            self.note(EventName.HEARTBEAT, code=FAREWELL)
        self._closing = True
        self._waiting.set()
        self._urgent.set()
        if self._sender is not None:
            done, _ = await asyncio.wait({self._sender}, timeout=CLOSE_SECONDS_MAX)
            if not done:
                self._sender.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._sender
        if self._spool:
            self._drop(len(self._spool), "closed")
            self._settle(len(self._spool), UnavailableError("the trail was closed"))

    def _number_event(
        self, event: EventName, fields: EventFields, personal: Callable[[str, int], str] | None = None
    ) -> AuditEvent:
        if personal is not None:
            fields = fields | EventFields(sealed=personal(self._source, self._number + 1))
        if sum(len(value) for value in fields.values() if isinstance(value, str)) > EVENT_CHARS_MAX:
            raise InvalidInputError("an event is too long for the ledger")
        self._number += 1
        return AuditEvent(
            event=event, time_ms=self._clock.now_ms(), source=self._source, number=self._number, **fields
        )

    def _enqueue(self, event: AuditEvent, future: asyncio.Future[int] | None) -> None:
        self._spool.append((event, future))
        self._waiting.set()
        if len(self._spool) >= BATCH_EVENTS_MAX:
            self._urgent.set()
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all(), name=f"trail {self._source}")

    async def _send_all(self) -> None:
        while self._spool or not self._closing:
            if not self._spool:
                self._waiting.clear()
                await self._waiting.wait()
                continue
            if len(self._spool) < BATCH_EVENTS_MAX:
                await self._linger()
            count = min(len(self._spool), BATCH_EVENTS_MAX)
            await self._send_batch([self._spool[i][0] for i in range(count)])

    async def _linger(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self._urgent.wait()
        self._urgent.clear()

    async def _send_batch(self, batch: list[AuditEvent]) -> None:
        pause = RETRY_SECONDS_MIN
        trouble: Trouble | None = None
        while True:
            try:
                appended = await self._ledger.append(Append(batch), timeout_seconds=CALL_SECONDS_MAX)
            except PostkeepError as error:
                if isinstance(error, _FINAL) and not error.temporary:
                    self._drop(len(batch), error.code)
                    self._settle(len(batch), UnavailableError("the ledger does not take the event"))
                    return
                now = asyncio.get_running_loop().time()
                trouble = trouble or Trouble(now)
                log = _log.warning if trouble.is_due(now) else _log.debug
                pending, seconds = len(self._spool), trouble.seconds(now)
                log("ledger_append_retry", code=error.code, pending=pending, seconds=seconds)
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_SECONDS_MAX)
            else:
                self._settle(len(batch), appended.first)
                return

    def _settle(self, count: int, outcome: int | PostkeepError) -> None:
        for position in range(count):
            _, future = self._spool.popleft()
            if future is None or future.done():
                continue
            if isinstance(outcome, int):
                future.set_result(outcome + position)
            else:
                future.set_exception(outcome)

    def _drop(self, count: int, reason: str) -> None:
        self.dropped += count
        _log.error("ledger_events_dropped", count=count, total=self.dropped, reason=reason)
