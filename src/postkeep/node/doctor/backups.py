"""Checks of backups: is there a target, is the last one young enough and proved, do keys end in time."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postkeep.base.errors import PostkeepError
from postkeep.node.backups.verified import Verified, last_verified
from postkeep.node.config import BackupConfig, Config
from postkeep.node.doctor.finding import Finding, bad, ok, warn
from postkeep.node.supervisor.layout import Layout

if TYPE_CHECKING:
    from postkeep.services.backup.catalogue import Listed

AGE_SECONDS_MAX: Final = 2 * 86400
"""A last backup older than this is told, where no schedule says otherwise."""
LATE_FACTOR: Final = 2
"""With a schedule: this many times its interval."""
SPOOLED_MAX: Final = 64
"""Files of the database's log (16 MiB each) that wait to be shipped: a gigabyte."""
VERIFIED_SECONDS_MAX: Final = 30 * 86400
"""How long ago the last verification may be: as long as the keys of a backup live."""
OVERDUE_SECONDS: Final = 3600
"""A weekly key may outlive its end by this: the node looks every ten minutes."""


@dataclass(frozen=True)
class Seen:
    """What was found at the target, and here."""

    backups: "list[Listed]"
    weeks: dict[str, tuple[int, int]]
    """Weekly keys whose objects are there: made, to be destroyed at (ms)."""
    keeps_versions: bool = False
    waiting: int = 0
    """Files of the database's log that have not been shipped."""
    verified: Verified | None = None


def check_backups(layout: Layout, config: Config) -> Iterator[Finding]:
    """Examine what the target has, and what waits to go there."""
    if not config.backup.target:
        yield warn("backups", "backups.none")
        return
    try:
        seen = asyncio.run(_look(config, layout))
    except (PostkeepError, OSError) as error:
        text = error.public_text if isinstance(error, PostkeepError) else str(error.strerror)
        yield bad("backups", "backups.away", target=config.backup.target, problem=text)
        return
    yield from judge(seen, config.backup, layout.wal_spool, time.time())


def judge(seen: Seen, settings: BackupConfig, spool: Path, now: float) -> Iterator[Finding]:
    """Say what is wrong, by what was seen at a moment (seconds since 1970)."""
    if seen.waiting > SPOOLED_MAX:
        yield bad("backups", "backups.behind", count=seen.waiting, path=spool)
    if seen.keeps_versions:
        yield bad("backups", "backups.versions", target=settings.target)
    overdue = sum(1 for _, until in seen.weeks.values() if until and until / 1000 + OVERDUE_SECONDS < now)
    if overdue:
        yield bad("backups", "backups.overdue", count=overdue, target=settings.target)
    if not seen.backups:
        yield warn("backups", "backups.no_first", target=settings.target)
        return
    last = max(seen.backups, key=lambda listed: listed.finished_ms)
    if seen.weeks.get(last.week, (0, 0))[1] / 1000 <= now:
        yield bad("backups", "backups.no_keys")
        return
    yield _age(settings, last.finished_ms / 1000, now)
    yield from _proof(seen, now)


def _age(settings: BackupConfig, finished: float, now: float) -> Finding:
    every = settings.every_seconds
    hours = round((now - finished) / 3600, 1)
    if now - finished > (LATE_FACTOR * every if every else AGE_SECONDS_MAX):
        return warn("backups", "backups.old", hours=hours)
    if not every:
        return warn("backups", "backups.unscheduled", hours=hours)
    return ok("backups", "backups.ok", hours=hours, target=settings.target)


def _proof(seen: Seen, now: float) -> Iterator[Finding]:
    if seen.verified is None:
        yield warn("backups", "backups.unverified")
        return
    days = int((now - seen.verified.time_ms / 1000) / 86400)
    if now - seen.verified.time_ms / 1000 > VERIFIED_SECONDS_MAX:
        yield warn("backups", "backups.verified_long_ago", days=days)
    else:
        yield ok("backups", "backups.verified", days=days, id=seen.verified.backup)


async def _look(config: Config, layout: Layout) -> Seen:
    from postkeep.node.backups.opening import target_of
    from postkeep.services.backup.catalogue import list_backups
    from postkeep.services.backup.pruning import list_weeks

    target = target_of(config, config.backup.target)
    waiting = sum(1 for _ in layout.wal_spool.iterdir()) if layout.wal_spool.is_dir() else 0
    return Seen(
        await list_backups(target),
        await list_weeks(target),
        await target.keeps_versions(),
        waiting,
        last_verified(layout.data),
    )
