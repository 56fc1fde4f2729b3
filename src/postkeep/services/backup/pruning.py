"""Ending backups: by number, by name, and key streams by time. What nothing needs any more is deleted."""

from postkeep.base.clock import Clock
from postkeep.base.errors import IntegrityError, NotFoundError
from postkeep.model.backup import (
    Manifest,
    WeekKey,
    backup_name,
    decode,
    piece_path,
    predecessor_name,
    wal_path,
    week_path,
)
from postkeep.services.backup.catalogue import list_backups, read_manifest, read_predecessors
from postkeep.services.backup.wal import SEGMENT
from postkeep.stores.backup_target import BackupTarget


async def list_weeks(target: BackupTarget) -> dict[str, tuple[int, int]]:
    """Return the weekly keys whose objects are there: when each was made, and when it is to be destroyed."""
    found = {}
    async for name, _ in target.list("weeks"):
        parts = name.split("/")
        if parts[2:] == ["key"]:
            try:
                week = decode(await target.get(name), WeekKey)
            except (IntegrityError, NotFoundError):
                found[parts[1]] = (0, 0)  # overwritten, and not deleted yet: it is over
            else:
                found[parts[1]] = (week.created_ms, week.expires_ms)
        else:
            found.setdefault(parts[1], (0, 0))
    return found


async def end_weeks(target: BackupTarget, clock: Clock, named: set[str]) -> list[str]:
    """Destroy the weekly keys that are over, and those named, with all that they sealed; return which.

    Former root keys whose time is over go with them.
    """
    now = clock.now_ms()
    over = [week for week, (_, until) in (await list_weeks(target)).items() if until <= now or week in named]
    for week in over:
        await target.destroy(week_path(week))
    if over:
        await target.settle()
    for week in over:
        for name in [name async for name, _ in target.list(f"weeks/{week}")]:
            await target.delete(name)
    for name, former in (await read_predecessors(target)).items():
        if former.expires_ms <= now:
            await target.destroy(predecessor_name(name))
    return over


async def drop(target: BackupTarget, backups: list[str], data_key: bytes, signer: bytes) -> int:
    """Delete backups and whatever no other one needs; return how many objects that were.

    IntegrityError if a backup that stays can't be read: then it is not known what it needs.
    """
    for backup in backups:
        await target.delete(backup_name(backup))
    kept = [await read_manifest(target, listed.id, data_key, signer) for listed in await list_backups(target)]
    removed = len(backups)
    needed = {
        extent.piece.hex() for m in kept for tree in m.trees for f in tree.files for extent in f.extents
    }
    for name in [name async for name, _ in target.list("data")]:
        piece = name.rpartition("/")[2]
        if piece not in needed and name == piece_path(piece):
            await target.delete(name)
            removed += 1
    return removed + await _drop_keys(target, kept) + await _drop_wal(target, kept)


async def _drop_keys(target: BackupTarget, kept: list[Manifest]) -> int:
    removed = 0
    needed = {(m.keys.week, e.piece.hex()) for m in kept for f in m.keys.wraps.files for e in f.extents}
    backups = {manifest.id for manifest in kept}
    for name in [name async for name, _ in target.list("weeks")]:
        parts = name.split("/")
        stale_wraps = parts[2] == "wraps" and (parts[1], parts[3]) not in needed
        stale_slots = parts[2] == "kms" and parts[3].partition(".")[0] not in backups
        if stale_wraps or stale_slots:
            await target.destroy(name)
            removed += 1
    return removed


async def _drop_wal(target: BackupTarget, kept: list[Manifest]) -> int:
    first: dict[str, str] = {}
    for manifest in kept:
        start = manifest.database.start_segment
        first[manifest.line] = min(first.get(manifest.line, start), start)
    removed = 0
    for name in [name async for name, _ in target.list("wal")]:
        _, line, segment = name.split("/")
        old = SEGMENT.match(segment) and (line not in first or _position(segment) < _position(first[line]))
        if old and name == wal_path(line, segment):
            await target.delete(name)
            removed += 1
    return removed


def _position(segment: str) -> str:
    """Return where a segment lies, whatever its timeline."""
    return segment[8:]
