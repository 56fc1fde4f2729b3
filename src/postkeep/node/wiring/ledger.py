"""Builds the ledger module: the log on disk, its one writer, its handlers on the channel. It calls nobody."""

import asyncio
import contextlib
import re
import secrets
import socket
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import Gauge

from postkeep.base.clock import SystemClock
from postkeep.base.errors import PostkeepError
from postkeep.model.audit import AuditEvent, EventName
from postkeep.model.categories import Category
from postkeep.node.context import ModuleContext
from postkeep.services.ledger.journal import Journal
from postkeep.services.ledger.service import LedgerService
from postkeep.services.ledger.tenants import TenantBook
from postkeep.services.ledger.trail import FAREWELL, refusal_fields
from postkeep.services.ledger.watch import LifeWatch
from postkeep.stores.ledger_log import LedgerLog
from postkeep.tickets.channel import Refusal, Server
from postkeep.tickets.revocations import RevocationView

REFUSALS_PENDING_MAX: Final = 1_024  # own events being written; a flood of refusals is counted beyond it

_UNFIT = re.compile(r"[^A-Za-z0-9.-]")
_silent_modules = Gauge(
    "postkeep_ledger_silent_modules", "Processes that stopped speaking to the ledger and were not replaced"
)
_log = structlog.get_logger(__name__)


class _Refusals:
    """Records what the ledger's own channel turns away; a flood is bounded, and told by its count."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._pending: set[asyncio.Task[int]] = set()
        self._untold = 0

    def __call__(self, refusal: Refusal) -> None:
        if len(self._pending) >= REFUSALS_PENDING_MAX:
            self._untold += 1 + refusal.untold
            return
        told = replace(refusal, untold=refusal.untold + self._untold)
        event = AuditEvent(EventName.ACCESS_REFUSE, 0, "", 0, **refusal_fields(told))
        self._untold = 0
        task = asyncio.create_task(self._journal.append_own(event))
        self._pending.add(task)
        task.add_done_callback(self._settle)

    def _settle(self, task: asyncio.Task[int]) -> None:
        self._pending.discard(task)
        if not task.cancelled() and (trouble := task.exception()) is not None:
            code = trouble.code if isinstance(trouble, PostkeepError) else type(trouble).__name__
            _log.error("ledger_refusal_not_recorded", code=code)

    async def close(self) -> None:
        """Wait until what was told is written."""
        if self._pending:
            await asyncio.wait(self._pending)


def log_directory(context: ModuleContext) -> Path:
    """Return where the log lies: the audit category's own place, or the module's state directory."""
    return context.config.place_of(Category.AUDIT, context.state_dir)


def new_origin(hostname: str) -> str:
    """Make the name of a new log: the host's name and a random part, as no two logs may share one."""
    host = _UNFIT.sub("-", hostname or socket.gethostname()) or "localhost"
    return f"{host}/ledger/{secrets.token_hex(8)}"


async def run(context: ModuleContext) -> None:
    """Serve the ledger until told to stop."""
    clock = SystemClock()
    log = LedgerLog(log_directory(context))
    heartbeat_seconds = context.config.ledger.heartbeat_seconds
    watch = LifeWatch(heartbeat_seconds)
    journal = Journal(log, context.instance, clock, watch)
    await journal.open()
    origin = await journal.run(log.origin, new_origin(context.config.node.hostname))
    tenants = TenantBook(log_directory(context), log, journal, context.config.ledger.anchor_seconds)
    await tenants.open()
    service = LedgerService(log, journal, origin, context.anchors, tenants)
    refusals = _Refusals(journal)
    server = Server(
        context.identity, context.anchors, "ledger", service.handlers(), RevocationView(), refusals, clock
    )
    beating = asyncio.create_task(_beat(journal, watch, heartbeat_seconds))
    following = asyncio.create_task(tenants.run(), name="ledger tenants")
    following.add_done_callback(lambda done: None if done.cancelled() else context.stop.set())
    try:
        await server.serve_unix(context.run_dir / "ledger.sock")
        context.ready()
        await context.stop.wait()
    finally:
        await server.close()
        await refusals.close()
        for task in (following, beating):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await tenants.close()
        if heartbeat_seconds > 0:
            await _tell(journal, AuditEvent(EventName.HEARTBEAT, 0, "", 0, code=FAREWELL))
        await journal.close()


async def _beat(journal: Journal, watch: LifeWatch, seconds: float) -> None:
    """Have the ledger show that it lives, as the modules do, and tell of those that do so no more."""
    while seconds > 0:
        await _tell(journal, AuditEvent(EventName.HEARTBEAT, 0, "", 0))
        for event in watch.news():
            _log.error("module_silent", source=event.actor, replaced_by=event.note)
            await _tell(journal, event)
        _silent_modules.set(watch.silent_count)
        await asyncio.sleep(seconds)


async def _tell(journal: Journal, event: AuditEvent) -> None:
    try:
        await journal.append_own(event)
    except PostkeepError as error:
        _log.warning("ledger_own_event_not_recorded", event_name=event.event, code=error.code)
