"""Make, start and stop the cluster. Everything here is synchronous: the supervisor has no event loop."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postkeep.base.errors import PostkeepError
from postkeep.node.postgres.binaries import Binaries, find_binaries
from postkeep.node.postgres.settings import ADMINISTRATOR, access_rules, server_settings, user_map
from postkeep.node.rootfiles import replace_file
from postkeep.node.sandbox.libc import sync_file_system
from postkeep.node.sandbox.process import die_with_parent

PORT: Final = 5432
"""Only part of the socket's name: nothing listens on the network."""
_BUILTIN_LOCALE_SINCE: Final = 17
_INITDB_SECONDS_MAX: Final = 120.0
_OLD_SERVER_SECONDS_MAX: Final = 15.0
"""How long a server left behind by a killed supervisor may take to go."""
_POLL_SECONDS: Final = 0.02


class ClusterError(PostkeepError):
    """The database could not be made or started."""

    code = "database"
    public_text = "The database could not be started."


@dataclass(frozen=True, slots=True)
class Cluster:
    """One PostgreSQL cluster: where it lies, where its socket goes, and the user it runs as."""

    directory: Path
    socket_directory: Path
    uid: int | None
    """None: the supervisor's own user."""
    archive: Path | None = None
    """Where the server leaves its write-ahead log for backups; None: it does not."""

    @property
    def exists(self) -> bool:
        """Whether the cluster has been made, completely."""
        return (self.directory / "PG_VERSION").exists()

    def binaries(self) -> Binaries:
        """Find the programs that fit this cluster."""
        if not self.exists:
            return find_binaries()
        return find_binaries(int((self.directory / "PG_VERSION").read_text("ascii").split(".")[0]))

    def create(self, binaries: Binaries) -> None:
        """Make the cluster, in a directory beside its own that is renamed at the end; twice is harmless."""
        if self.exists:
            return
        unfinished = self.directory.with_name(self.directory.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        maker = _maker(self.uid)
        if maker is not None:
            os.chown(unfinished, maker, maker)
        locale = ["--locale=C.UTF-8"]
        if binaries.major >= _BUILTIN_LOCALE_SINCE:
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        result = subprocess.run(
            [
                *(str(binaries.initdb), "-D", str(unfinished), f"--username={ADMINISTRATOR}"),
                *("--encoding=UTF8", *locale, "--data-checksums", "--auth=reject", "--no-instructions"),
                "--no-sync",  # below, at once instead of for each of a thousand files
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=_INITDB_SECONDS_MAX,
            env=_environment(),
            cwd="/",
            user=maker,
            group=maker,
            extra_groups=None if maker is None else [],
        )
        if result.returncode != 0:
            raise ClusterError(f"initdb: {result.stderr.strip()[-500:]}")
        if self.uid is not None:
            _give_to(unfinished, self.uid)
        _sync(unfinished)
        unfinished.rename(self.directory)

    def start(self, binaries: Binaries, recovery: str = "") -> "subprocess.Popen[bytes]":
        """Start the server; it answers a little later. It ends when this process does.

        `recovery`: settings that bring a restored copy to its moment first.
        """
        self._end_old_server()
        self._write("postgresql.conf", server_settings(self.socket_directory, self.archive) + recovery)
        self._write("pg_hba.conf", access_rules())
        self._write("pg_ident.conf", user_map(pwd.getpwuid(os.geteuid()).pw_name))
        parent = os.getpid()
        return subprocess.Popen(
            [str(binaries.postgres), "-D", str(self.directory), "-p", str(PORT)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(),
            cwd="/",
            start_new_session=True,
            umask=0o077,
            preexec_fn=lambda: die_with_parent(parent, signal.SIGQUIT),  # noqa: PLW1509 - no threads here
            user=self.uid,
            group=self.uid,
            extra_groups=None if self.uid is None else [],
        )

    def _write(self, name: str, text: str) -> None:
        replace_file(self.directory / name, text.encode(), mode=0o600, owner=self.uid)

    def _end_old_server(self) -> None:
        """End the server of a supervisor that was killed; drop a pid file that nobody stands behind."""
        pid_file = self.directory / "postmaster.pid"
        deadline = time.monotonic() + _OLD_SERVER_SECONDS_MAX
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int(pid_file.read_text("ascii").split("\n", 1)[0])
            while self._serves_here(pid):
                if time.monotonic() > deadline:
                    raise ClusterError(f"an old server (process {pid}) does not end")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGQUIT)
                time.sleep(_POLL_SECONDS)
            pid_file.unlink()

    def _serves_here(self, pid: int) -> bool:
        """Whether process `pid` is a server of this very directory: numbers are used again."""
        try:
            return (
                Path(f"/proc/{pid}/cwd").samefile(self.directory)
                and b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()
            )
        except OSError:
            return False


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _maker(uid: int | None) -> int | None:
    """Return the user that `initdb` runs as: it insists on a user with a name, and ours have none.

    So `nobody` makes the cluster, before there is anything in it, and it is given to its user afterwards:
    no login is added to the system. The server itself runs under a bare number.
    """
    return None if uid is None else pwd.getpwnam("nobody").pw_uid


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_file_system(descriptor)
    finally:
        os.close(descriptor)


def _give_to(directory: Path, uid: int) -> None:
    for parent, _, files in os.walk(directory):  # from the top: whoever made it is shut out first
        os.chown(parent, uid, uid, follow_symlinks=False)
        for name in files:
            os.chown(Path(parent) / name, uid, uid, follow_symlinks=False)
