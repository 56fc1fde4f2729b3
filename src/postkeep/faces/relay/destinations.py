"""Work by destination: items wait in line, a few sessions serve each line, each of them many items."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import structlog

from postkeep.base.errors import PostkeepError
from postkeep.faces.relay.budget import OctetBudget
from postkeep.faces.relay.finish import Finisher
from postkeep.faces.relay.leases import Lease, LeaseLostError, Leases
from postkeep.faces.relay.opened import OpenItem
from postkeep.faces.relay.results import CONNECTION_LOST, Ending, Failure, all_alike
from postkeep.faces.relay.route import RouteError
from postkeep.faces.relay.session import Connector, Session

IDLE_SECONDS: Final = 2.0
"""A session without work waits so long for more: connecting again costs both sides more than waiting."""
ATTEMPT_SECONDS_MAX: Final = 300.0
"""One attempt at one message: a server that takes longer keeps a session from everybody else."""
_REQUIRES_TLS: Final = "TLS"

_log = structlog.get_logger(__name__)


class Work(NamedTuple):
    """An opened item and the claim on it."""

    opened: OpenItem
    lease: Lease


class Limits(NamedTuple):
    """How many sessions there may be."""

    sessions_max: int
    destination_sessions_max: int


class Line(NamedTuple):
    """What a session is for: items of one line can share a connection."""

    destination: str
    tls_required: bool


class Destinations:
    """All lines. Use it from one event loop."""

    def __init__(
        self,
        *,
        connector: Connector,
        fetch: Callable[[OpenItem], Awaitable[bytes]],
        finisher: Finisher,
        limits: Limits,
        leases: Leases,
        single_line: bool,
    ) -> None:
        self.connector = connector
        self.fetch = fetch
        self.finisher = finisher
        self.leases = leases
        self.limits = limits
        self.slots = asyncio.Semaphore(limits.sessions_max)
        self.budget = OctetBudget()
        self.freed = asyncio.Event()
        """Set whenever an item is settled."""
        self.waiting: Counter[str] = Counter()
        """Items here, by destination, those being sent included."""
        self._single_line = single_line
        self._lines: dict[Line, _Sessions] = {}
        self.stopping = False

    def put(self, work: Work) -> None:
        """Take in an item."""
        opened = work.opened
        destination = opened.item.destination
        self.waiting[destination] += 1
        required = _REQUIRES_TLS in opened.envelope.requires
        # With a smarthost every message takes the same way, whatever its destination.
        line = Line("" if self._single_line else destination, required)
        sessions = self._lines.get(line)
        if sessions is None:
            sessions = self._lines[line] = _Sessions(line, self)
        sessions.put(work)

    def settled(self, work: Work) -> None:
        """Note that an item has left."""
        self.leases.release(work.lease)
        destination = work.opened.item.destination
        self.waiting[destination] -= 1
        if self.waiting[destination] <= 0:
            del self.waiting[destination]
        self.freed.set()

    def forget(self, line: Line) -> None:
        """Drop a line that has nothing left to do."""
        self._lines.pop(line, None)

    async def close(self, seconds: float) -> None:
        """Give back what waits, and let sessions finish what they are sending for so long."""
        self.stopping = True
        tasks: set[asyncio.Task[None]] = set()
        for sessions in list(self._lines.values()):
            tasks |= {asyncio.create_task(self._give_back(work)) for work in sessions.drain()}
            sessions.wake.set()
            tasks |= sessions.tasks
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def _give_back(self, work: Work) -> None:
        await self.finisher.give_back(work.opened.item)
        self.settled(work)


class _Sessions:
    """One line and the sessions that serve it."""

    def __init__(self, line: Line, owner: Destinations) -> None:
        self._line = line
        self._owner = owner
        self._queue: deque[Work] = deque()
        self._idle = 0
        self.wake = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    def put(self, work: Work) -> None:
        self._queue.append(work)
        self.wake.set()
        self._start()

    def drain(self) -> list[Work]:
        """Take everything out of the line that has not been begun."""
        works = list(self._queue)
        self._queue.clear()
        return works

    def _start(self) -> None:
        if len(self._queue) > self._idle and len(self.tasks) < self._owner.limits.destination_sessions_max:
            task = asyncio.create_task(self._serve())
            self.tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("session_failed", exc_info=task.exception())
        if self._queue and not self._owner.stopping:
            self._start()
        elif not self.tasks:
            self._owner.forget(self._line)

    async def _next(self, *, may_idle: bool) -> Work | None:
        """Return the next item; None: there is none, and the session has waited long enough."""
        owner = self._owner
        if may_idle and not self._queue and not owner.stopping and not owner.slots.locked():
            self._idle += 1
            self.wake.clear()
            try:
                await asyncio.wait_for(self.wake.wait(), IDLE_SECONDS)
            except TimeoutError:
                pass
            finally:
                self._idle -= 1
        return self._queue.popleft() if self._queue else None

    async def _serve(self) -> None:
        async with self._owner.slots:
            session: Session | None = None
            try:
                while (work := await self._next(may_idle=session is not None)) is not None:
                    session = await self._attempt(session, work)
            finally:
                if session is not None:
                    await session.quit()

    async def _attempt(self, session: Session | None, work: Work) -> Session | None:
        """Try one item; return the session if it can take another."""
        owner = self._owner
        try:
            if owner.stopping:
                await owner.finisher.give_back(work.opened.item)
                return session
            session = await self._fit(session, work)
            if session is None:
                return None
            async with owner.budget.hold(2 * work.opened.item.size):
                await self._send(session, work)
        except LeaseLostError:
            # Nothing is recorded: the item is another's now, or gone.
            _log.info("attempt_left", item=work.opened.item.id.hex())
            if session is not None:
                session.abandon()
        except Exception as error:  # noqa: BLE001 - one item must not take the others' session with it
            _log.exception("attempt_failed", item=work.opened.item.id.hex())
            if session is not None:
                session.abandon()
            await owner.finisher.give_back(work.opened.item, PostkeepError(repr(error)))
        except asyncio.CancelledError:
            if session is not None:
                session.abandon()
            raise
        finally:
            owner.settled(work)
        return None if session is None or session.broken else session

    async def _fit(self, session: Session | None, work: Work) -> Session | None:
        """Return a session that can send: the one there is, unless the server has hung up, or a new one."""
        if session is not None and not session.broken:
            return session
        if session is not None:
            await session.quit()
        return await self._connect(work)

    async def _connect(self, work: Work) -> Session | None:
        line = self._line
        destination = line.destination or work.opened.item.destination
        try:
            async with work.lease.held(ATTEMPT_SECONDS_MAX):
                return await self._owner.connector.connect(destination, tls_required=line.tls_required)
        except RouteError as error:
            failure = error.failure
        except TimeoutError:
            failure = Failure(Ending.TEMPORARY, CONNECTION_LOST, detail="connecting took too long")
        _log.info("no_session", status=failure.status, remote=failure.remote, detail=failure.detail)
        await self._fail(work.opened, failure)
        while self._queue:
            # The others in line would find the same closed door.
            other = self._queue.popleft()
            try:
                await self._fail(other.opened, failure)
            finally:
                self._owner.settled(other)
        return None

    async def _fail(self, opened: OpenItem, failure: Failure) -> None:
        results = all_alike(opened.envelope.recipients, failure)
        await self._owner.finisher.finish(opened, results, lambda: self._owner.fetch(opened))

    async def _send(self, session: Session, work: Work) -> None:
        owner, opened = self._owner, work.opened
        try:
            content = await owner.fetch(opened)
        except PostkeepError as error:
            await owner.finisher.give_back(opened.item, error)
            return
        try:
            async with work.lease.held(ATTEMPT_SECONDS_MAX):
                results = await session.send(opened.envelope, content)
        except TimeoutError:
            session.abandon()
            failure = Failure(Ending.TEMPORARY, CONNECTION_LOST, remote=session.remote)
            results = all_alike(opened.envelope.recipients, failure)

        async def same() -> bytes:
            return content

        await owner.finisher.finish(opened, results, same)
