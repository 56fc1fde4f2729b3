"""One log per tenant, and the index of who is concerned: both follow the installation's log.

Reads what has become durable there, in pieces, in a thread of its own; the append path does not wait for it.
Every so often the tenants' logs that have grown are settled on disk and their heads anchored in the
installation's log, an event for each. A restart goes on where the last anchors left off.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import msgspec
import structlog

from postkeep.base.errors import IntegrityError, PostkeepError
from postkeep.base.files import write_file
from postkeep.model.audit import AuditEvent, EventName
from postkeep.services.ledger.journal import Journal
from postkeep.stores.ledger_index import PeopleIndex, Posting
from postkeep.stores.ledger_log import LedgerLog
from postkeep.stores.ledger_tenants import (
    TENANTS,
    Anchor,
    TenantLog,
    note_anchor,
    read_anchors,
    read_head,
    signed_size,
)
from postkeep.stores.ledger_tiles import DIRECTORY_MODE

PULL_ENTRIES_MAX: Final = 256  # entries taken in one piece: 1 ms of work, which whoever appends may wait for
AHEAD_ENTRIES: Final = 512  # entries of one tenant whose full bundles are written before its log is settled
REST_FACTOR: Final = 2.0
"""How much longer than a piece took is the rest after it: appending needs interpreter and disk too."""
PULL_SECONDS: Final = 0.5  # seconds between looks at the installation's log
PENDING_ENTRIES_MAX: Final = 65_536  # entries in memory that no tenant's log has yet: some 30 MB
ANCHOR_SECONDS: Final = 30.0  # seconds until a log that has grown is anchored, at most
ANCHORS_PER_WRITE_MAX: Final = 512  # events of one group
OPEN_LOGS_MAX: Final = PENDING_ENTRIES_MAX // AHEAD_ENTRIES
"""Tenants' logs in memory, with up to 255 entries each: some 12 MB. So many can be ahead at once."""
FAREWELL_TENANTS_MAX: Final = 256  # tenants anchored when the ledger stops: half a second
CURSOR: Final = "cursor"

_IDENTIFIER: Final = re.compile(r"[0-9a-f]{32}\Z", re.ASCII)
_NOT_COPIED: Final = frozenset({EventName.LEDGER_ANCHOR.value})
"""An anchor in a tenant's own log would make it grow and need another."""

P = ParamSpec("P")
T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Concerned(msgspec.Struct, frozen=True):
    """What of an entry says whom it concerns."""

    event: str = ""
    time_ms: int = 0
    tenant: str = ""
    principal: str = ""


class Settled(msgspec.Struct, frozen=True):
    """A tenant's log as it stands on disk."""

    tenant: str
    size: int
    root: bytes


concerned_decoder: Final = msgspec.json.Decoder(Concerned)


def belongs(event: str, tenant: str) -> bool:
    """Say whether an entry of this name about this tenant stands in the tenant's own log."""
    return bool(event not in _NOT_COPIED and _IDENTIFIER.match(tenant))


class TenantBook:
    """The tenants' logs and the index of people of one ledger. Use it from one event loop."""

    def __init__(
        self, directory: Path, log: LedgerLog, journal: Journal, anchor_seconds: float = ANCHOR_SECONDS
    ) -> None:
        self._directory = directory / TENANTS
        self._log = log
        self._journal = journal
        self._anchor_seconds = anchor_seconds
        self._index = PeopleIndex(directory)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-tenants")
        self._pulling = asyncio.Lock()
        self._anchoring = asyncio.Lock()
        self._rest = REST_FACTOR
        self._position = 0
        self._indexed = 0
        self._copied = 0
        self._pending: dict[str, list[tuple[int, bytes]]] = {}
        self._pending_entries = 0
        self._ahead: dict[str, int] = {}
        """How many of a tenant's pending entries its log has been given already."""
        self._open: OrderedDict[str, TenantLog] = OrderedDict()
        self._unanchored: dict[str, Settled] = {}
        self._unsigned: OrderedDict[str, Anchor] = OrderedDict()

    # --- Life ---

    async def open(self) -> None:
        """Learn how far the tenants' logs and the index have come."""
        await self._run(self._recover)

    async def run(self) -> None:
        """Follow the installation's log until cancelled."""
        clock = asyncio.get_running_loop().time
        due = clock() + self._anchor_seconds
        while True:
            try:
                await self.catch_up()
                if clock() >= due or self._pending_entries > PENDING_ENTRIES_MAX:
                    due = clock() + self._anchor_seconds
                    await self.anchor()
            except (PostkeepError, OSError) as error:
                _log.error("ledger_tenants_delayed", reason=str(error))
            await asyncio.sleep(PULL_SECONDS)

    async def close(self) -> None:
        """Settle and anchor what can be in a moment, and close the files."""
        self._rest = 0.0
        try:
            await self.catch_up()
            if len(self._pending) <= FAREWELL_TENANTS_MAX:
                await self.anchor()
        except (PostkeepError, OSError) as error:
            _log.warning("ledger_tenants_unanchored", reason=str(error))
        await self._run(self._index.close)
        self._thread.shutdown()

    # --- Following ---

    async def catch_up(self) -> None:
        """Take everything that is durable in the installation's log by now, in pieces with rests between."""
        clock = asyncio.get_running_loop().time
        async with self._pulling:
            goal = self._log.size
            while self._position < goal:
                began = clock()
                entries = await self._journal.run(self._log.read, self._position, PULL_ENTRIES_MAX)
                await self._run(self._take, self._position, entries)
                self._position += len(entries)
                if self._pending_entries > PENDING_ENTRIES_MAX:
                    await self.anchor()
                if self._position < goal:
                    await asyncio.sleep(self._rest * (clock() - began))

    async def anchor(self) -> None:
        """Settle the tenants' logs that have grown, and anchor their heads in the installation's log."""
        async with self._anchoring:
            reached = self._position
            clock = asyncio.get_running_loop().time
            for tenant in list(self._pending):
                began = clock()
                await self._run(self._settle, tenant)
                await asyncio.sleep(self._rest * (clock() - began))
            heads = list(self._unanchored.values())
            for start in range(0, len(heads), ANCHORS_PER_WRITE_MAX):
                part = heads[start : start + ANCHORS_PER_WRITE_MAX]
                events = [
                    AuditEvent(
                        EventName.LEDGER_ANCHOR,
                        0,
                        "",
                        0,
                        tenant=head.tenant,
                        count=head.size,
                        digest=head.root.hex(),
                    )
                    for head in part
                ]
                first = await self._journal.append("", events)
                await self._run(self._note_anchors, part, first)
            if not self._pending and reached > self._copied:
                await self._run(self._save_cursor, reached)

    # --- Asking ---

    async def about(
        self, person: bytes, *, before: int, since_ms: int, until_ms: int, count: int
    ) -> list[int]:
        """Return the indexes of entries about a person (tenant and principal), newest first."""
        await self.catch_up()
        return await self._run(self._index.page, person, before, since_ms, until_ms, count)

    def unsigned(self, size: int, count: int) -> list[tuple[str, Anchor]]:
        """Return tenants whose last anchor, below `size` of the installation's log, is not signed yet."""
        waiting = [item for item in self._unsigned.items() if item[1].entry < size]
        return waiting[:count]

    async def publish(self, tenant: str, size: int, note: bytes) -> None:
        """Store a signed checkpoint of a tenant's log, unless another head was anchored since."""
        anchor = self._unsigned.get(tenant)
        if anchor is None or anchor.size != size:
            return
        stored = await self._run(self._publish, tenant, size, note)
        if stored and self._unsigned.get(tenant) == anchor:
            del self._unsigned[tenant]

    # --- In the thread ---

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))

    def _recover(self) -> None:
        self._directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        cursor = self._directory / CURSOR
        self._copied = int(cursor.read_text("ascii")) if cursor.exists() else 0
        if self._copied > self._log.size:
            raise IntegrityError(f"ledger entries from {self._log.size} on are missing")
        self._index.open(self._log.size)
        self._indexed = self._index.reached
        self._position = min(self._copied, self._indexed)
        for directory in self._directory.iterdir():
            if _IDENTIFIER.match(directory.name):
                anchors = read_anchors(directory, 1)
                if anchors and anchors[-1].size > signed_size(directory):
                    self._unsigned[directory.name] = anchors[-1]

    def _take(self, start: int, entries: list[bytes]) -> None:
        postings = []
        touched = set()
        for index, entry in enumerate(entries, start):
            told = concerned_decoder.decode(entry)
            if not told.tenant or not belongs(told.event, told.tenant):
                continue
            if index >= self._copied:
                self._pending.setdefault(told.tenant, []).append((index, entry))
                self._pending_entries += 1
                touched.add(told.tenant)
            if index >= self._indexed and _IDENTIFIER.match(told.principal):
                postings.append(Posting(bytes.fromhex(told.tenant + told.principal), index, told.time_ms))
        reached = start + len(entries)
        if reached > self._indexed:
            self._index.add(postings, reached)
            self._indexed = reached
        for tenant in touched:
            pending = self._pending[tenant]
            if len(pending) - self._ahead.get(tenant, 0) >= AHEAD_ENTRIES:
                self._write_ahead(tenant, pending)

    def _write_ahead(self, tenant: str, pending: list[tuple[int, bytes]]) -> None:
        """Write a busy tenant's full bundles already, so that settling is never much work at once.

        The entries stay pending: until the log is settled its head does not count them.
        """
        self._ahead[tenant] = len(pending)
        try:
            self._tenant_log(tenant).add(pending)
        except (OSError, IntegrityError) as error:
            _log.warning("ledger_tenant_not_written_ahead", tenant=tenant, reason=str(error))
            self._open.pop(tenant, None)

    def _settle(self, tenant: str) -> None:
        """Bring pending entries into a tenant's log; raises OSError with those left pending."""
        try:
            log = self._tenant_log(tenant)
            log.add(self._pending[tenant])
            root = log.settle()
        except OSError:
            self._open.pop(tenant, None)  # what it has in memory is not what is on disk
            raise
        except IntegrityError as error:
            # Its files are damaged. It stays as it is, for whoever looks; the others go on.
            _log.critical("ledger_tenant_damaged", tenant=tenant, reason=error.detail)
            self._open.pop(tenant, None)
        else:
            self._unanchored[tenant] = Settled(tenant, log.size, root)
        self._pending_entries -= len(self._pending.pop(tenant))
        self._ahead.pop(tenant, None)

    def _tenant_log(self, tenant: str) -> TenantLog:
        log = self._open.get(tenant)
        if log is None:
            log = TenantLog(self._directory / tenant)
            log.open()
            self._open[tenant] = log
            if len(self._open) > OPEN_LOGS_MAX:
                self._open.popitem(last=False)
        self._open.move_to_end(tenant)
        return log

    def _note_anchors(self, heads: list[Settled], first: int) -> None:
        for index, head in enumerate(heads, first):
            anchor = Anchor(index, head.size)
            note_anchor(self._directory / head.tenant, anchor)
            del self._unanchored[head.tenant]
            self._unsigned.pop(head.tenant, None)
            self._unsigned[head.tenant] = anchor

    def _publish(self, tenant: str, size: int, note: bytes) -> bool:
        """Store a checkpoint, unless the log was settled anew: its incomplete tiles are gone then."""
        directory = self._directory / tenant
        current = read_head(directory).size == size
        if current:
            TenantLog(directory).publish(note)
        return current

    def _save_cursor(self, reached: int) -> None:
        write_file(self._directory / CURSOR, str(reached).encode())
        self._copied = reached
