"""One supervisor per data directory, and how others see whether there is one. Light: every command asks."""

import fcntl
import grp
import os
import socket
import time
from pathlib import Path
from typing import Final

import msgspec

from postkeep.base.errors import ConflictError, InvalidInputError
from postkeep.node.config import Config

LOCK_FILE: Final = "supervisor.lock"
_LOCK_SECONDS_MAX: Final = 1.0
"""How long to wait for the lock: a command that only looks holds it for an instant."""
_POLL_SECONDS: Final = 0.05


class RunningState(msgspec.Struct, frozen=True):
    """What the lock file says of the supervisor that holds it."""

    pid: int
    run: str
    """The directory of the sockets."""
    base_port: int
    address: str


def running(data: Path) -> RunningState | None:
    """Return the state of the node in `data`, or None where none runs."""
    try:
        with (data / "run" / LOCK_FILE).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return msgspec.json.decode(file.read(), type=RunningState)
    except (OSError, msgspec.MsgspecError):
        return None
    return None


def probe(address: str, port: int, seconds: float = 1.0) -> bool:
    """Whether something accepts connections at a port."""
    try:
        with socket.create_connection((address, port), seconds):
            return True
    except OSError:
        return False


class Lock:
    """Held by the supervisor of a data directory; raises ConflictError where another one holds it."""

    def __init__(self, run: Path, config: Config) -> None:
        self._path = run / LOCK_FILE
        self._group = config.node.staff_group
        self._state = RunningState(os.getpid(), str(run), config.listen.base_port, config.listen.address)

    def __enter__(self) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "r+b")
        self._share(descriptor)
        deadline = time.monotonic() + _LOCK_SECONDS_MAX
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if time.monotonic() > deadline:
                    self._file.close()
                    raise ConflictError(
                        public_text=f"A node is running in {self._path.parents[1]} already."
                    ) from exc
                time.sleep(_POLL_SECONDS)
        self._file.truncate(0)
        self._file.write(msgspec.json.encode(self._state))
        self._file.flush()

    def _share(self, descriptor: int) -> None:
        """Let the staff's group find the node: it reads this file, and nothing else, more than others."""
        if not self._group:
            os.fchmod(descriptor, 0o600)
            return
        try:
            os.fchown(descriptor, -1, grp.getgrnam(self._group).gr_gid)
        except (KeyError, OSError) as exc:
            self._file.close()
            raise InvalidInputError(
                public_text=f"node.staff_group: there is no group {self._group} that this user may give."
            ) from exc
        os.fchmod(descriptor, 0o640)

    def __exit__(self, *_: object) -> None:
        self._file.close()
