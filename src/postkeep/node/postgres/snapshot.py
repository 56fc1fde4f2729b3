"""Copying the running cluster, file by file, onto a socket: an errand with the rights for that and no others.

Source: PostgreSQL 15, "Making a base backup using the low level API". The files are read while the server
writes them; the write-ahead log from the start segment on makes them whole. What is left out is what that
chapter says may be left out.
"""

import asyncio
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from postkeep.node.postgres.logins import connect_as_administrator
from postkeep.stores import backup_stream

_POINT: Final = re.compile(r"[0-9a-f]{32}\Z", re.ASCII)
_LABEL_START: Final = re.compile(r"^START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)$", re.MULTILINE)
_EMPTY: Final = frozenset(
    {
        *("pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans", "pg_wal"),
        *("pg_replslot",),
    }
)
"""Directories whose contents the server makes anew."""
_LEFT_OUT: Final = frozenset(
    {
        *("postmaster.pid", "postmaster.opts", "backup_label", "backup_label.old", "tablespace_map"),
        *("postgresql.auto.conf.tmp", "current_logfiles.tmp", "pg_internal.init", "recovery.signal"),
        *("postgresql.conf", "pg_hba.conf", "pg_ident.conf"),
    }
)
_LEFT_OUT_START: Final = ("pgsql_tmp", "pg_internal.init.")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is copied, and as whom the files are read."""

    directory: Path
    socket_directory: Path
    uid: int | None
    major: int


def send_snapshot(snapshot: Snapshot, link: socket.socket, point: str) -> int:
    """Copy the cluster to a socket, up to a restore point of this name; return the exit code."""
    link.setblocking(True)
    try:
        asyncio.run(_send(snapshot, link, point))
    except Exception as error:  # noqa: BLE001 - whoever waits for the copy is told why there is none
        backup_stream.send(link, backup_stream.Failed(f"{type(error).__name__}: {error}"[:500]))
        return 1
    finally:
        link.close()
    return 0


async def _send(snapshot: Snapshot, link: socket.socket, point: str) -> None:
    if _POINT.match(point) is None:
        raise ValueError("not the name of a restore point")
    connection = await connect_as_administrator(snapshot.socket_directory)
    try:
        if (
            snapshot.uid is not None
        ):  # connected as the administrator; from now on only a reader of these files
            os.setgroups([])
            os.setresgid(snapshot.uid, snapshot.uid, snapshot.uid)
            os.setresuid(snapshot.uid, snapshot.uid, snapshot.uid)
        await connection.execute("SELECT pg_backup_start($1, true)", f"postkeep {point}")
        for frame in _frames(snapshot.directory):
            backup_stream.send(link, frame)
        backup_stream.send(link, await _finish(connection, snapshot.major, point))
    finally:
        await connection.close()


async def _finish(connection: asyncpg.Connection, major: int, point: str) -> backup_stream.Finished:
    stopped = await connection.fetchrow("SELECT labelfile FROM pg_backup_stop(false)")
    assert stopped is not None
    label = str(stopped["labelfile"])
    start = _LABEL_START.search(label)
    if start is None:
        raise ValueError("the server's backup label names no start")
    end = await connection.fetchval("SELECT pg_walfile_name(pg_create_restore_point($1))", point)
    await connection.execute("SELECT pg_switch_wal()")
    return backup_stream.Finished(major, label, point, start[1], str(end))


def _frames(directory: Path) -> Iterator[backup_stream.Frame]:
    """Walk the cluster; `pg_control` comes last, as the server has it then."""
    control = directory / "global" / "pg_control"
    for parent, directories, names in os.walk(directory):
        directories.sort()
        place = Path(parent).relative_to(directory)
        if str(place) != ".":
            yield backup_stream.Directory(place.as_posix())
        if place.parts and place.parts[0] in _EMPTY:
            continue
        for name in sorted(names):
            path = Path(parent) / name
            if name in _LEFT_OUT or name.startswith(_LEFT_OUT_START) or path == control:
                continue
            yield from _file(path, (place / name).as_posix())
    yield from _file(control, "global/pg_control")


def _file(path: Path, name: str) -> Iterator[backup_stream.Frame]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return  # dropped since the directory was read: the log knows of it
    with file:
        yield backup_stream.Begin(name)
        while octets := file.read(backup_stream.DATA_BYTES_MAX):
            yield backup_stream.Data(octets)
    yield backup_stream.End()
