"""A throw-away PostgreSQL cluster for each test worker, and a fresh database for each test."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest

_START_SECONDS_MAX = 60.0
_ROLE = "postkeep"
_numbers = count(1)


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    path = shutil.which("initdb")
    if path is None:
        pytest.fail("no PostgreSQL binaries: install the postgresql package")
    return Path(path).parent


def _unprivileged() -> tuple[int, int] | None:
    """PostgreSQL refuses to run as root: then it runs as the system's own `postgres`, or nobody."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _wait_until_ready(data: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            if (data / "postmaster.pid").read_text().rstrip().endswith("ready"):
                return
        except OSError:
            pass  # not written yet
        time.sleep(0.01)
    pytest.fail("PostgreSQL did not start: " + (data.parent / "log").read_text()[-2000:])


@pytest.fixture(scope="session")
def cluster_dir() -> Iterator[Path]:
    """The directory of this worker's running cluster: `data/` and the socket."""
    # Short, because a Unix socket's path has at most 107 octets.
    root = Path(tempfile.mkdtemp(prefix="pk-pg-", dir="/tmp"))
    owner = _unprivileged()
    user, group = owner or (None, None)
    if owner is not None:
        os.chown(root, *owner)
    data, binaries = root / "data", _binaries()
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    options = "fsync=off full_page_writes=off max_connections=60 shared_buffers=32MB listen_addresses="
    initdb: list[str | Path] = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        _ROLE,
        "-A",
        "trust",
        "-E",
        "UTF8",
        "-N",
    ]
    try:
        subprocess.run(
            [*initdb, "--locale=C.UTF-8"],
            check=True,
            capture_output=True,
            env=environment,
            cwd=root,
            user=user,
            group=group,
            extra_groups=None if user is None else [],
        )
        postgres: list[str | Path] = [binaries / "postgres", "-D", data, "-k", root]
        with (root / "log").open("wb") as log:
            server = subprocess.Popen(
                [*postgres, *(f"--{option}" for option in options.split())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=root,
                user=user,
                group=group,
                extra_groups=None if user is None else [],
            )
        try:
            _wait_until_ready(data, server)
            yield root
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown
            server.wait()
    finally:
        shutil.rmtree(root, ignore_errors=True)


async def _administer(root: Path, statement: str) -> None:
    connection = await asyncpg.connect(host=str(root), user=_ROLE, database="postgres")
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def dsn(cluster_dir: Path) -> Iterator[str]:
    """The DSN of an empty database that this test alone uses."""
    name = f"test_{next(_numbers)}"
    asyncio.run(_administer(cluster_dir, f"CREATE DATABASE {name}"))
    yield f"postgresql://{_ROLE}@/{name}?host={cluster_dir}"
    asyncio.run(_administer(cluster_dir, f"DROP DATABASE {name} WITH (FORCE)"))
