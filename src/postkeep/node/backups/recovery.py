"""A restored cluster brought to its moment: the server replays the log, ends recovery, and is ours alone."""

import asyncio
import contextlib
import datetime as dt
import os
import signal
import subprocess
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import asyncpg

from postkeep.base.errors import UnavailableError
from postkeep.model.backup import Database
from postkeep.node.postgres.cluster import Cluster
from postkeep.node.postgres.logins import connect_as_administrator
from postkeep.node.postgres.settings import recovery_settings

RECOVERY_SECONDS_MAX: Final = 6 * 3600.0
"""The log between two backups of a large, busy node."""
_POLL_SECONDS: Final = 0.05
_TOO_SHORT: Final = b"recovery ended before configured recovery target was reached"


class Recovery:
    """One cluster on its way to one moment."""

    def __init__(self, cluster: Cluster, log: Path, database: Database, until: Database, to_ms: int) -> None:
        """`database`: of the base; `until`: whose restore point ends it, unless `to_ms` does before."""
        self._cluster = cluster
        self._log = log
        self._database = database
        self._until = until
        self._to_ms = to_ms
        self._said = bytearray()

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[Cluster]:
        """Yield the cluster once it takes changes; stop the server afterwards."""
        directory = self._cluster.directory
        for name, text in (("backup_label", self._database.label), ("recovery.signal", "")):
            self._write(directory / name, text)
        server = await self._reach()
        try:
            yield self._cluster
        finally:
            server.send_signal(signal.SIGINT)
            await asyncio.to_thread(server.wait)

    async def _reach(self) -> "subprocess.Popen[bytes]":
        if self._to_ms:
            moment = dt.datetime.fromtimestamp(self._to_ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
            server = await self._start("time", moment)
            if server is not None:
                return server
            # Nothing was committed between that moment and the next backup: its restore point is the same.
        server = await self._start("name", self._until.point)
        if server is None:
            raise UnavailableError(
                "the log ends before the restore point",
                code="backup_wal",
                public_text="The database's log does not reach the moment of the backup.",
            )
        return server

    async def _start(self, target: str, value: str) -> "subprocess.Popen[bytes] | None":
        """Start the server towards a target; None if the log ends before it."""
        self._said.clear()
        settings = recovery_settings(self._log, target, value)
        server = self._cluster.start(self._cluster.binaries(), settings)
        threading.Thread(target=self._listen, args=(server,), daemon=True).start()
        deadline = time.monotonic() + RECOVERY_SECONDS_MAX
        while True:
            if server.poll() is not None:
                await asyncio.sleep(_POLL_SECONDS)  # its last words
                if _TOO_SHORT in self._said:
                    return None
                raise UnavailableError(
                    f"the server ended: {self._said[-500:].decode('utf-8', 'replace')}",
                    code="backup_database",
                    public_text="The restored database does not start: "
                    + self._said[-300:].decode("utf-8", "replace").strip(),
                )
            if await self._promoted():
                return server
            if time.monotonic() > deadline:
                server.kill()
                raise UnavailableError("the restored database does not come up", code="backup_database")
            await asyncio.sleep(_POLL_SECONDS)

    async def _promoted(self) -> bool:
        if not (self._cluster.socket_directory / ".s.PGSQL.5432").exists():
            return False
        try:
            connection = await asyncio.wait_for(
                connect_as_administrator(self._cluster.socket_directory, patience_seconds=0.0), 5
            )
        except (UnavailableError, TimeoutError, asyncpg.PostgresError, OSError):
            return False
        try:
            return not await connection.fetchval("SELECT pg_is_in_recovery()")
        finally:
            await connection.close()

    def _listen(self, server: "subprocess.Popen[bytes]") -> None:
        assert server.stderr is not None
        with server.stderr as stream:
            while data := stream.read1(65_536):  # type: ignore[attr-defined]
                self._said += data
                del self._said[:-65_536]

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, "utf-8")
        path.chmod(0o600)
        if self._cluster.uid is not None:
            os.chown(path, self._cluster.uid, self._cluster.uid)
