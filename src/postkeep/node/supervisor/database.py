"""The database beside the modules: started first, stopped last, and the logins that keepers get."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from postkeep.node.config import Config
from postkeep.node.postgres.cluster import Cluster
from postkeep.node.postgres.logins import give_passwords
from postkeep.node.postgres.refusals import refusal_in
from postkeep.node.postgres.settings import KEEPERS
from postkeep.node.postgres.snapshot import Snapshot, send_snapshot
from postkeep.node.sandbox.process import die_with_parent
from postkeep.node.supervisor import frames
from postkeep.node.supervisor.layout import Layout
from postkeep.node.supervisor.plan import MODULES
from postkeep.node.supervisor.spawn import Process, fork
from postkeep.stores.backup_stream import Failed, send

_LOG_BYTES_MAX: Final = 65_536
_USUAL: Final = ("the database system is", "terminating connection due to administrator command")
"""What it says to those who come before it is up, or stay until it stops."""


class Database:
    """The node's own cluster; does nothing where every keeper's category has a DSN of its own."""

    def __init__(self, layout: Layout, config: Config) -> None:
        archive = layout.wal_spool if config.backup.target else None
        self._cluster = Cluster(layout.postgres, layout.postgres_run, layout.postgres_uid, archive)
        self._given = {
            module.name: config.categories[module.database].dsn
            for module in MODULES
            if module.database in config.categories and config.categories[module.database].dsn
        }
        self._server: subprocess.Popen[bytes] | None = None
        self._log = structlog.get_logger()
        self.on_refusal: Callable[[str], None] = lambda _name: None
        """Hears of logins that the server refused."""

    @property
    def needed(self) -> bool:
        """Whether any keeper uses the node's own cluster."""
        return not set(KEEPERS) <= self._given.keys()

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return None if self._server is None else self._server.pid

    @property
    def log_descriptor(self) -> int | None:
        """Where the server's log lines come from."""
        stream = None if self._server is None else self._server.stderr
        return None if stream is None else stream.fileno()

    def create(self) -> None:
        """Make the cluster where there is none."""
        if self.needed:
            self._cluster.create(self._cluster.binaries())

    def start(self) -> None:
        """Start the server; it may take a moment until it answers."""
        if self.needed:
            self._server = self._cluster.start(self._cluster.binaries())
            assert self._server.stderr is not None
            os.set_blocking(self._server.stderr.fileno(), False)

    def ended(self, status: int) -> None:
        """Forget the server: it has been reaped."""
        if self._server is not None:
            self._server.returncode = os.waitstatus_to_exitcode(status)
            if self._server.stderr is not None:
                self._server.stderr.close()
            self._server = None

    def signal(self, number: signal.Signals) -> None:
        """Send the server a signal: SIGINT ends it in order, SIGQUIT at once."""
        if self._server is not None:
            os.kill(self._server.pid, number)

    def read_log(self) -> bool:
        """Pass on what the server logged; False at the end of the stream."""
        descriptor = self.log_descriptor
        if descriptor is None:
            return False
        try:
            data = os.read(descriptor, _LOG_BYTES_MAX)
        except BlockingIOError:
            return True
        for line in data.decode("utf-8", "replace").splitlines():
            level, _, text = line.partition(":")
            usual = level.strip() == "LOG" or text.strip().startswith(_USUAL)
            write = self._log.debug if usual else self._log.warning
            write("postgres", severity=level.strip(), text=text.strip())
            refused = refusal_in(line)
            if refused is not None:
                self.on_refusal(refused)
        return bool(data)

    def give_logins(self, processes: Sequence[Process]) -> int:
        """Give each of these keepers its login, from a process of its own; return its pid.

        The passwords go straight to the keepers: the supervisor never sees them.
        """
        parent = os.getpid()
        targets = {process.slot.module.name: process for process in processes}
        links = [process.link.fileno() for process in processes]
        return fork(lambda: self._errand(targets, parent), links)

    def send_copy(self, link: socket.socket, point: str) -> int:
        """Copy the running cluster to a socket, from a process of its own; return its pid."""
        parent = os.getpid()
        return fork(lambda: self._copy(link, point, parent), [link.fileno()])

    def _copy(self, link: socket.socket, point: str, parent: int) -> int:
        die_with_parent(parent)
        cluster = self._cluster
        if self._given or cluster.archive is None:
            send(
                link,
                Failed(
                    "Databases that the configuration names by DSN are not backed up: use their own tools"
                ),
            )
            return 1
        snapshot = Snapshot(
            cluster.directory, cluster.socket_directory, cluster.uid, cluster.binaries().major
        )
        return send_snapshot(snapshot, link, point)

    def _errand(self, targets: Mapping[str, Process], parent: int) -> int:
        die_with_parent(parent)
        own = [name for name in targets if name not in self._given]
        dsns = dict(self._given)
        if own:
            dsns |= asyncio.run(give_passwords(self._cluster.socket_directory, own))
        for name, process in targets.items():
            process.send(frames.Login(dsns[name]))
        return 0
