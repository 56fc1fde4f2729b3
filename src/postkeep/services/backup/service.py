"""The backup worker's methods, and what it does by itself: ship the log, tell tombstones, end keys, back
up."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
import structlog

from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, InvalidInputError, NotFoundError, PostkeepError
from postkeep.base.ids import parse_id
from postkeep.model.audit import EventName
from postkeep.services.backup import api
from postkeep.services.backup.catalogue import list_backups
from postkeep.services.backup.creating import Creation, Place, Progress, check_destroys, write_parents
from postkeep.services.backup.pruning import drop, end_weeks, list_weeks
from postkeep.services.kms.backing_api import BackupOpened
from postkeep.services.ledger.trail import Trail
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

TICK_SECONDS: Final = 2.0
"""How often the log's directory is looked at: the server closes a segment every few minutes."""
WEEKS_SECONDS: Final = 600.0
"""How often weekly keys are looked through for those that are over."""
FAILED_SECONDS: Final = 10.0
"""After something that the worker does by itself has failed: a target may be away for hours."""
RETRY_SECONDS: Final = 300.0
"""After a scheduled backup that failed."""

_log = structlog.get_logger(__name__)


class Schedule(msgspec.Struct, frozen=True):
    """What the worker does by itself."""

    every_seconds: int = 0
    """Between backups; 0: only on command."""
    keep: int = 0
    """How many backups stay; 0: all, until somebody prunes."""
    tombstone_seconds: int = 60


class BackupService:
    """One job at a time; `place` is None where no target is configured."""

    def __init__(self, place: Place | None, schedule: Schedule, trail: Trail, clock: Clock) -> None:
        self._place = place
        self._schedule = schedule
        self._trail = trail
        self._clock = clock
        self._turn = asyncio.Lock()
        """Held by whatever writes to the target, but for the log."""
        self._job: asyncio.Task[None] | None = None
        self._progress = Progress("")
        self._state = api.Job("none")
        self._opened: BackupOpened | None = None

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the methods for the channel's server."""
        return {
            "backup.create": (api.Create, self.create),
            "backup.rekey": (api.Rekey, self.rekey),
            "backup.prune": (api.Prune, self.prune),
            "backup.status": (api.Status, self.status),
            "backup.still_holding": (api.StillHolding, self.still_holding),
            "backup.find": (api.Find, self.find),
            "backup.destroy": (api.Destroy, self.destroy),
        }

    async def close(self) -> None:
        """End the job under way: what it has shipped serves the next one."""
        if self._job is not None:
            self._job.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._job

    # --- methods ---

    async def create(self, grant: Grant, request: api.Create) -> api.Job:
        """Begin a backup."""
        return await self._begin(grant, "create", lambda: self._create(full=request.full))

    async def rekey(self, grant: Grant, _request: api.Rekey) -> api.Job:
        """Begin a backup under a new weekly key that ends the others."""
        return await self._begin(grant, "rekey", self._rekey)

    async def prune(self, grant: Grant, request: api.Prune) -> api.Job:
        """Begin to remove old backups."""
        keep = request.keep or self._schedule.keep
        if keep < 1:
            raise InvalidInputError(
                code="backup_keep", public_text="Say how many backups are to stay: --keep 14."
            )
        return await self._begin(grant, "prune", lambda: self._prune(keep))

    async def status(self, _grant: Grant, _request: api.Status) -> api.Job:
        """Say how the job does."""
        if self._job is not None and not self._job.done():
            return self._seen(self._state)
        told = self._place.tombstones.told_ms if self._place is not None else 0
        return msgspec.structs.replace(self._state, told_ms=told)

    async def still_holding(self, _grant: Grant, request: api.StillHolding) -> api.BackupsLeft:
        """Say which backups' keys can still open what was destroyed.

        ConflictError (`backup_versions`) where the target keeps what was destroyed in it: then nobody knows.
        """
        if self._place is None:
            return api.BackupsLeft([], 0)
        await check_destroys(self._place.target)
        await self._tell()
        weeks = {
            week: until
            for week, (made, until) in (await list_weeks(self._place.target)).items()
            if made < request.before_ms and until > self._clock.now_ms()
        }
        ids = [
            listed.id
            for listed in await list_backups(self._place.target)
            if listed.week in weeks and listed.finished_ms < request.before_ms
        ]
        if not ids:
            return api.BackupsLeft([], 0)
        return api.BackupsLeft(ids, max(weeks.values()))

    async def find(self, _grant: Grant, request: api.Find) -> api.Done:
        """Say that a backup is there."""
        place = self._configured()
        _check_name(request.id)
        if all(listed.id != request.id for listed in await list_backups(place.target)):
            raise _no_backup()
        return api.Done()

    async def destroy(self, _grant: Grant, request: api.Destroy) -> api.Done:
        """Remove one backup."""
        place, backup = self._configured(), request.warrant.backup
        _check_name(backup)
        async with self._turn:
            await check_destroys(place.target)
            opened = await self._open()
            there = {listed.id: listed.week for listed in await list_backups(place.target)}
            week = there.pop(backup, "")
            await self._trail.record(EventName.BACKUP_DESTROY, note=backup)
            await self._drop(opened, [backup])
            if week and week not in there.values() and week != opened.week.hex():
                await place.keepers.expire([parse_id(week)])
                await end_weeks(place.target, self._clock, {week})
        return api.Done()

    # --- jobs ---

    async def _begin(self, grant: Grant, act: str, work: Callable[[], Awaitable[None]]) -> api.Job:
        self._configured()
        if self._job is not None and not self._job.done():
            raise ConflictError(
                code="backup_busy", public_text="A backup or its like is under way; look at its status."
            )
        await self._trail.record(
            EventName.ADMIN, note=f"backup_{act}", session=grant.session.hex(), ticket=grant.root_ticket_id,
            module=grant.peer_module,
        )  # fmt: skip
        return self._start(act, work)

    def _start(self, act: str, work: Callable[[], Awaitable[None]]) -> api.Job:
        self._progress = Progress()
        self._state = api.Job("running", act)
        self._job = asyncio.create_task(self._run(act, work), name=f"backup {act}")
        return self._seen(self._state)

    async def _run(self, act: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            async with self._turn:
                await work()
        except PostkeepError as error:
            _log.error("backup_failed", act=act, code=error.code, detail=error.detail)
            self._state = self._seen(api.Job("failed", act, code=error.code, text=error.public_text))
        except Exception as error:  # noqa: BLE001 - the end of the job, whatever it was
            _log.exception("backup_failed", act=act)
            self._state = self._seen(api.Job("failed", act, code="internal", text=type(error).__name__))
        else:
            self._state = self._seen(api.Job("done", act))
            _log.info("backup_job_done", act=act, backup=self._progress.backup)

    def _seen(self, state: api.Job) -> api.Job:
        progress = self._progress
        return msgspec.structs.replace(
            state,
            step=progress.step,
            backup=progress.backup,
            bytes_total=progress.bytes_total,
            bytes_shipped=progress.bytes_shipped,
            objects_shipped=progress.objects_shipped,
            incremental=progress.incremental,
            removed=progress.removed,
            seconds=round(time.monotonic() - progress.started, 2),
        )

    async def _create(self, *, full: bool, new_week: bool = False) -> None:
        place = self._configured()
        manifest = await Creation(place, self._progress, full=full).run(new_week=new_week)
        await self._trail.record(
            EventName.BACKUP_CREATE,
            note=f"{manifest.id} {'incremental' if manifest.incremental else 'full'}",
            count=manifest.objects_shipped,
        )
        self._opened = await place.keepers.open()

    async def _rekey(self) -> None:
        place = self._configured()
        await self._create(full=False, new_week=True)
        opened = await self._open()
        self._progress.step = "weeks"
        old = {week for week in await list_weeks(place.target) if week != opened.week.hex()}
        await place.keepers.expire([parse_id(week) for week in old])
        self._progress.removed = len(await end_weeks(place.target, self._clock, old))
        self._progress.step = "done"

    async def _prune(self, keep: int) -> None:
        place = self._configured()
        self._progress.step = "prune"
        opened = await self._open()
        listed = await list_backups(place.target)
        gone = [backup.id for backup in listed[:-keep]]
        for backup in gone:
            await self._trail.record(EventName.BACKUP_DESTROY, note=backup)
        self._progress.removed = await self._drop(opened, gone)
        self._progress.step = "done"

    async def _drop(self, opened: BackupOpened, backups: list[str]) -> int:
        place = self._configured()
        signer = (await place.keepers.sign_tombstone(opened.line, 0, b"")).public_key
        return await drop(place.target, backups, opened.data_key, signer)

    # --- by itself ---

    async def run(self) -> None:
        """Do what is due, until cancelled. What fails is tried again later: the node goes on without it."""
        place = self._place
        if place is None:
            return
        due = dict.fromkeys(("tell", "weeks"), 0.0)
        due["create"] = time.monotonic() + await self._first_wait()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                if place.spool.waiting():
                    opened = await self._open()
                    await place.spool.ship(opened.line.hex(), opened.data_key)
                now = time.monotonic()
                if now >= due["tell"]:
                    await self._tell()
                    due["tell"] = time.monotonic() + self._schedule.tombstone_seconds
                if now >= due["weeks"]:
                    await self._end_weeks()
                    due["weeks"] = time.monotonic() + WEEKS_SECONDS
                if self._schedule.every_seconds and now >= due["create"]:
                    due["create"] = time.monotonic() + await self._scheduled()
            except PostkeepError as error:
                _log.warning("backup_upkeep_failed", code=error.code, detail=error.detail)
                await asyncio.sleep(FAILED_SECONDS)
            except OSError as error:
                _log.warning("backup_upkeep_failed", code=type(error).__name__, errno=error.errno)

    async def _first_wait(self) -> float:
        """Return the seconds until the next scheduled backup is due, from when the last was made."""
        assert self._place is not None
        try:
            listed = await list_backups(self._place.target)
        except PostkeepError:
            return 0.0
        if not listed:
            return 0.0
        return max(0.0, listed[-1].finished_ms / 1000 + self._schedule.every_seconds - time.time())

    async def _scheduled(self) -> float:
        if self._job is not None and not self._job.done():
            return TICK_SECONDS
        self._start("create", lambda: self._create(full=False))
        assert self._job is not None
        await self._job
        if self._state.state != "done":
            return min(RETRY_SECONDS, float(self._schedule.every_seconds))
        if self._schedule.keep:
            self._start("prune", lambda: self._prune(self._schedule.keep))
            await self._job
        return float(self._schedule.every_seconds)

    async def _tell(self) -> None:
        place = self._configured()
        async with self._turn:
            opened = await self._open()
            await place.tombstones.tell(opened)

    async def _end_weeks(self) -> None:
        place = self._configured()
        async with self._turn:
            await place.keepers.expire([])
            await write_parents(place.target, await place.keepers.open())  # the root key may be another
            for week in await end_weeks(place.target, self._clock, set()):
                _log.info("backup_week_ended", week=week)

    async def _open(self) -> BackupOpened:
        """Return the keys, asked for once; the first time also puts their parents into the target."""
        place = self._configured()
        opened = self._opened
        if opened is None or opened.week_expires_ms <= self._clock.now_ms():
            opened = await place.keepers.open()
            await write_parents(place.target, opened)
            self._opened = opened
        return opened

    def _configured(self) -> Place:
        if self._place is None:
            raise InvalidInputError(
                code="no_backup_target",
                public_text="No target for backups is configured: set target in the section [backup] of "
                "postkeep.toml, and restart.",
            )
        return self._place


def _check_name(backup: str) -> None:
    """Raise NotFoundError for what can't be a backup's id: it becomes part of paths."""
    try:
        parse_id(backup)
    except ValueError as exc:
        raise _no_backup() from exc


def _no_backup() -> NotFoundError:
    return NotFoundError(code="not_found.backup", public_text="There is no such backup: postkeep backup list")
