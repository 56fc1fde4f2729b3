"""The one writer of the log: gathers batches that wait into groups, and writes a group with one sync.

All work on the log runs in one thread; the event loop only hands over batches and takes answers.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

import msgspec
import structlog

from postkeep.base.clock import Clock
from postkeep.base.errors import PostkeepError, UnavailableError
from postkeep.model.audit import AuditEvent, EventName
from postkeep.services.ledger.api import KeyState
from postkeep.services.ledger.sources import Sources
from postkeep.services.ledger.watch import LifeWatch
from postkeep.stores.ledger_log import BACKLOG_MAX, LedgerLog
from postkeep.stores.ledger_tree import READ_ENTRIES_MAX

GROUP_EVENTS_MAX: Final = 4_096  # events written with one sync: 2 MB, some 20 ms of work
WAITING_EVENTS_MAX: Final = 65_536  # events waiting to be written; further batches are refused for now

P = ParamSpec("P")
T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Waiting:
    source: str
    """Empty: the ledger's own events, which are numbered when they are written."""
    events: list[AuditEvent]
    future: asyncio.Future[int]


class Journal:
    """Appends to a log on behalf of many sources. Use it from one event loop."""

    def __init__(self, log: LedgerLog, own_source: str, clock: Clock, watch: LifeWatch | None = None) -> None:
        self._log = log
        self._watch = watch
        self._clock = clock
        self._sources = Sources(own_source)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-log")
        self._waiting: deque[_Waiting] = deque()
        self._waiting_events = 0
        self._writer: asyncio.Task[None] | None = None
        self._closing = False

    async def open(self) -> None:
        """Open the log and learn its sources; raise IntegrityError if the log is not whole."""
        torn_bytes = await self.run(self._recover)
        if torn_bytes:
            await self.append_own(AuditEvent(EventName.NODE, 0, "", 0, code="torn_end_cut", count=torn_bytes))

    async def append(self, source: str, events: list[AuditEvent]) -> int:
        """Return the index of the first event once all are durable."""
        if self._closing or self._waiting_events + len(events) > WAITING_EVENTS_MAX:
            raise UnavailableError("too many events wait to be written, or the ledger is stopping")
        waiting = _Waiting(source, events, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._waiting_events += len(events)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all(), name="ledger writer")
        first = await waiting.future
        if source and self._watch is not None:
            self._watch.hear(source, events)
        return first

    async def append_own(self, event: AuditEvent) -> int:
        """Append an event of the ledger's own; it is given source, number and time here."""
        return await self.append("", [event])

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run work on the log in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))

    async def close(self) -> None:
        """Write what waits, and close the log."""
        self._closing = True
        if self._writer is not None:
            await self._writer
        await self.run(self._log.close)
        self._thread.shutdown()

    async def _write_all(self) -> None:
        """Write until nothing waits; then use the quiet to write bundles, one at a time."""
        try:
            while True:
                if self._waiting:
                    await self._write_group()
                    continue
                derived = not self._closing and await self.run(self._derive)
                if not derived and not self._waiting:
                    return
        finally:
            self._writer = None

    async def _write_group(self) -> None:
        group: list[_Waiting] = []
        count = 0
        while self._waiting and (not group or count + len(self._waiting[0].events) <= GROUP_EVENTS_MAX):
            group.append(self._waiting.popleft())
            count += len(group[-1].events)
        try:
            outcomes = await self.run(self._commit, group)
        except Exception:
            _fail_all(group, UnavailableError("the writer of the ledger has failed"))
            raise
        finally:
            self._waiting_events -= count
        for waiting, outcome in zip(group, outcomes, strict=True):
            if waiting.future.done():
                continue
            if isinstance(outcome, int):
                waiting.future.set_result(outcome)
            else:
                waiting.future.set_exception(outcome)

    def _commit(self, group: list[_Waiting]) -> list[int | PostkeepError]:
        """In the log's thread: judge the batches, write those admitted with one sync."""
        while self._log.backlog > BACKLOG_MAX and self._derive():
            pass
        now_ms = self._clock.now_ms()
        entries: list[bytes] = []
        outcomes: list[int | PostkeepError] = []
        for waiting in group:
            try:
                outcomes.append(self._admit(waiting, entries, now_ms))
            except PostkeepError as refusal:
                outcomes.append(refusal)
        if not entries:
            return outcomes
        try:
            self._log.append(entries)
        except OSError as error:
            self._sources.withdraw()
            _log.error("ledger_write_failed", errno=error.errno)
            trouble = UnavailableError("the ledger can not write")
            return [o if isinstance(o, PostkeepError) else trouble for o in outcomes]
        self._sources.confirm()
        return outcomes

    def _admit(self, waiting: _Waiting, entries: list[bytes], now_ms: int) -> int:
        first = self._log.size + len(entries)
        if not waiting.source:
            for event in waiting.events:
                timed = msgspec.structs.replace(event, time_ms=now_ms)
                entries.append(self._sources.own_event(timed, self._log.size + len(entries)))
            return first
        admitted = self._sources.admit(waiting.source, waiting.events, first, now_ms)
        if isinstance(admitted, int):
            return admitted
        entries += admitted.entries
        return first + admitted.preface

    def standing(self) -> KeyState:
        """In the log's thread: what the log tells kms at its start."""
        return self._sources.standing

    def _derive(self) -> bool:
        """In the log's thread: write one bundle if one is due, and drop segments no longer needed."""
        try:
            derived = self._log.derive()
            self._log.retire(lambda: self._sources.save(self._log.size))
        except OSError as error:
            _log.error("ledger_tiles_failed", errno=error.errno)
            return False
        return derived

    def _recover(self) -> int:
        self._log.open()
        position = self._sources.load(self._log.snapshot(), self._log.size)
        while position < self._log.size:
            entries = self._log.read(position, READ_ENTRIES_MAX)
            self._sources.replay(position, entries)
            position += len(entries)
        return self._log.torn_bytes


def _fail_all(group: list[_Waiting], error: PostkeepError) -> None:
    for waiting in group:
        if not waiting.future.done():
            waiting.future.set_exception(error)
