"""The database's write-ahead log in the target: which files a copy needs, and fetching them."""

import asyncio
import os
from pathlib import Path
from typing import Final

from postkeep.base.errors import IntegrityError
from postkeep.crypto.backup import open_object
from postkeep.model.backup import wal_path
from postkeep.services.backup.wal import NAME, SEGMENT
from postkeep.stores.backup_target import BackupTarget

_SEGMENTS_PER_FILE_ID: Final = 256
"""Segments of 16 MiB in one 4 GiB logical file."""
SEGMENTS_MAX: Final = 1_000_000
"""Sixteen terabytes of log between two backups: more is a damaged name."""


def segments(start: str, end: str) -> list[str]:
    """Name every segment from one to another; IntegrityError if they can't be of one timeline."""
    if not SEGMENT.match(start) or not SEGMENT.match(end) or start[:8] != end[:8]:
        raise IntegrityError("the log of the backup is not of one timeline")
    first, last = _number(start), _number(end)
    if not 0 <= last - first < SEGMENTS_MAX:
        raise IntegrityError("the log of the backup ends before it begins")
    return [
        f"{start[:8]}{number // _SEGMENTS_PER_FILE_ID:08X}{number % _SEGMENTS_PER_FILE_ID:08X}"
        for number in range(first, last + 1)
    ]


async def missing_segments(target: BackupTarget, line: str, start: str, end: str) -> list[str]:
    """Return which segments of a range are not in the target."""
    there = {name.rpartition("/")[2] async for name, _ in target.list(f"wal/{line}")}
    return [segment for segment in segments(start, end) if segment not in there]


async def fetch_log(
    target: BackupTarget,
    line: str,
    data_key: bytes,
    ends: tuple[str, str],
    *,
    directory: Path,
    owner: int | None,
) -> None:
    """Write the log from the first to the last segment into a directory of the server's user."""
    wanted = set(segments(*ends))
    await asyncio.to_thread(_make, directory, owner)
    async for name, _ in target.list(f"wal/{line}"):
        segment = name.rpartition("/")[2]
        if not NAME.match(segment) or not (segment in wanted or segment.endswith(".history")):
            continue
        octets = open_object(data_key, "wal", wal_path(line, segment), await target.get(name))
        path = directory / segment
        path.write_bytes(octets)
        if owner is not None:
            os.chown(path, owner, owner)
        wanted.discard(segment)
    if wanted:
        raise IntegrityError(
            f"segments missing: {sorted(wanted)[:3]}",
            code="backup_wal",
            public_text=f"The backup is not whole: {len(wanted)} files of the database's log are missing.",
        )


def _make(directory: Path, owner: int | None) -> None:
    directory.mkdir(mode=0o700)
    if owner is not None:
        os.chown(directory, owner, owner)


def _number(segment: str) -> int:
    return int(segment[8:16], 16) * _SEGMENTS_PER_FILE_ID + int(segment[16:], 16)
