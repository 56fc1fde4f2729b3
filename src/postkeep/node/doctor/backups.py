"""Checks of backups: is there a target, is the last one young enough, does the log get there."""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

from postkeep.base.errors import PostkeepError
from postkeep.node.config import Config
from postkeep.node.doctor.finding import Finding, bad, ok, warn
from postkeep.node.supervisor.layout import Layout

AGE_SECONDS_MAX: Final = 2 * 86400
"""A last backup older than this is told, where no schedule says otherwise."""
LATE_FACTOR: Final = 2
"""With a schedule: this many times its interval."""
SPOOLED_MAX: Final = 64
"""Files of the database's log (16 MiB each) that wait to be shipped: a gigabyte."""


def check_backups(layout: Layout, config: Config) -> Iterator[Finding]:
    """Examine what the target has, and what waits to go there."""
    if not config.backup.target:
        yield warn("backups", "backups.none")
        return
    try:
        last, versions = asyncio.run(_look(config))
    except (PostkeepError, OSError) as error:
        text = error.public_text if isinstance(error, PostkeepError) else str(error.strerror)
        yield bad("backups", "backups.away", target=config.backup.target, problem=text)
        return
    waiting = sum(1 for _ in layout.wal_spool.iterdir()) if layout.wal_spool.is_dir() else 0
    if waiting > SPOOLED_MAX:
        yield bad("backups", "backups.behind", count=waiting, path=layout.wal_spool)
    if versions:
        yield bad("backups", "backups.versions", target=config.backup.target)
    yield _age(config, last)


def _age(config: Config, last_ms: int) -> Finding:
    if not last_ms:
        return warn("backups", "backups.no_first", target=config.backup.target)
    every = config.backup.every_seconds
    allowed = LATE_FACTOR * every if every else AGE_SECONDS_MAX
    hours = round((time.time() - last_ms / 1000) / 3600, 1)
    if hours * 3600 > allowed:
        return warn("backups", "backups.old", hours=hours)
    if not every:
        return warn("backups", "backups.unscheduled", hours=hours)
    return ok("backups", "backups.ok", hours=hours, target=config.backup.target)


async def _look(config: Config) -> tuple[int, bool]:
    from postkeep.node.backups.opening import target_of
    from postkeep.services.backup.catalogue import list_backups

    target = target_of(config, config.backup.target)
    listed = await list_backups(target)
    return max((found.finished_ms for found in listed), default=0), await target.keeps_versions()
