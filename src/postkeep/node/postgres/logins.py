"""The keepers' logins: made once, and given a fresh password for every start of a keeper.

This runs in a short-lived child of the supervisor, so that the supervisor itself never holds a password.
"""

import base64
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import asyncpg

from postkeep.base.errors import UnavailableError
from postkeep.node.postgres.cluster import PORT
from postkeep.node.postgres.settings import ADMINISTRATOR, KEEPERS

_SCRAM_ITERATIONS: Final = 4096  # RFC 7677 section 4; the password is 256 random bits
_CONNECTIONS_MAX: Final = 10
"""Per keeper: its pool and one for listening."""
_START_SECONDS_MAX: Final = 60.0
"""A server that replays its log after a crash answers late."""
_ONE_AT_A_TIME: Final = 0x706F73746B656570
"""The lock under which databases and roles are made: keepers may be started side by side."""
_POLL_SECONDS: Final = 0.05


def dsn(keeper: str, password: str, socket_directory: Path) -> str:
    """Return the DSN of a keeper's own database."""
    return f"postgresql://{keeper}:{password}@/{keeper}?host={socket_directory}&port={PORT}"


async def give_passwords(socket_directory: Path, keepers: Iterable[str]) -> dict[str, str]:
    """Make what is missing, give each of `keepers` a new password, and return their DSNs."""
    connection = await connect_as_administrator(socket_directory)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _ONE_AT_A_TIME)  # ends with the connection
        await _ensure_databases(connection)
        dsns = {}
        for keeper in keepers:
            password = secrets.token_urlsafe(32)
            # The server gets the verifier, never the password; names are ours, nothing is quoted by hand.
            await connection.execute(f"ALTER ROLE {keeper} PASSWORD '{_verifier(password)}'")
            dsns[keeper] = dsn(keeper, password, socket_directory)
        return dsns
    finally:
        await connection.close()


async def connect_as_administrator(
    socket_directory: Path, database: str = "postgres", patience_seconds: float = _START_SECONDS_MAX
) -> "asyncpg.Connection":
    """Connect as the cluster's superuser, once the server answers; only the supervisor's user can."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            return await asyncpg.connect(
                host=str(socket_directory), port=PORT, user=ADMINISTRATOR, database=database, timeout=5
            )
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError) as exc:
            if time.monotonic() > deadline:
                raise UnavailableError("the database does not answer") from exc
            time.sleep(_POLL_SECONDS)  # noqa: ASYNC251 - nothing else runs in this process


async def _ensure_databases(connection: "asyncpg.Connection") -> None:
    present = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
    roles = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    if present.issuperset(KEEPERS):
        return
    for shared in ("postgres", "template1"):
        await connection.execute(f"REVOKE ALL ON DATABASE {shared} FROM PUBLIC")
    for keeper in KEEPERS:
        if keeper not in roles:
            await connection.execute(
                f"CREATE ROLE {keeper} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS "
                f"CONNECTION LIMIT {_CONNECTIONS_MAX}"
            )
        if keeper not in present:
            await connection.execute(f"CREATE DATABASE {keeper} OWNER {keeper}")
        await connection.execute(f"REVOKE ALL ON DATABASE {keeper} FROM PUBLIC")


def _verifier(password: str) -> str:
    """Return the SCRAM-SHA-256 verifier that PostgreSQL stores (RFC 5803 form)."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client_key).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    texts = [base64.b64encode(value).decode() for value in (salt, stored, server)]
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{texts[0]}${texts[1]}:{texts[2]}"
