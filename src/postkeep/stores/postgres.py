"""PostgreSQL as every keeper uses it: a pool of connections, and forward migrations from numbered files."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Final, NamedTuple, TypeAlias, TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from postkeep.base.errors import ConflictError, IntegrityError, UnavailableError

CONNECT_TIMEOUT_SECONDS: Final = 10.0  # a database on the same host answers in milliseconds
COMMAND_TIMEOUT_SECONDS: Final = 60.0  # the longest statement on purpose (a large removal) takes seconds
IDLE_TRANSACTION_MS_MAX: Final = 60_000  # a caller that hangs must not hold back vacuum
LOCK_TIMEOUT_MS: Final = 30_000  # locks are taken in one order; a wait this long is a fault
TRANSACTION_TRIES_MAX: Final = 5  # a transaction that lost a race is run again; five losses are a fault
STATEMENTS_CACHED_MAX: Final = 256  # every statement of a keeper, prepared once per connection
MIGRATION_LOCK: Final = 0x706B_6D69  # advisory lock: one migrating process at a time in a database

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Source: TypeAlias = "asyncpg.Pool[asyncpg.Record] | Connection"
"""Where a single statement can run."""
T = TypeVar("T")

_RACES_LOST = (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql\Z")
_VERSIONS = """
CREATE TABLE IF NOT EXISTS schema_versions (
    family   text NOT NULL,
    version  integer NOT NULL,
    name     text NOT NULL,
    checksum bytea NOT NULL,
    applied  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (family, version)
)"""


class Migration(NamedTuple):
    """One step forward of a table family: its number, its name and its statements."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> bytes:
        """SHA-256 of the statements: a file that changes after it was applied is found out."""
        return hashlib.sha256(self.sql.encode()).digest()


def load_migrations(package: str) -> tuple[Migration, ...]:
    """Read `0001_name.sql` ... shipped in a package, as `postkeep.stores.sql.vault`, in order.

    Raise ValueError if a number is missing or given twice, or a file has another kind of name.
    """
    found: list[Migration] = []
    for entry in resources.files(package).iterdir():
        match = _FILE_NAME.match(entry.name)
        if match is not None:
            found.append(Migration(int(match.group(1)), match.group(2), entry.read_text("utf-8")))
        elif entry.name.endswith(".sql"):
            raise ValueError(f"{entry.name} is not named like 0001_name.sql")
    found.sort()
    if [step.version for step in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations of {package} are not numbered 1, 2, 3 ...")
    return tuple(found)


async def migrate(connection: Connection, schema_name: str, migrations: Sequence[Migration]) -> None:
    """Bring the family of tables `schema_name` up to the last migration; each is a transaction of its own.

    Safe to run from several processes and after a crash at any point. Raise IntegrityError if a migration
    that was applied has changed since, ConflictError if the database is of a later release than we are.
    """
    await connection.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
    try:
        await connection.execute(_VERSIONS)
        rows = await connection.fetch(
            "SELECT version, checksum FROM schema_versions WHERE family = $1 ORDER BY version", schema_name
        )
        applied = {row["version"]: row["checksum"] for row in rows}
        newest = migrations[-1].version if migrations else 0
        if applied and max(applied) > newest:
            raise ConflictError(f"{schema_name} is at version {max(applied)}, this release knows {newest}")
        for step in migrations:
            if step.version in applied:
                if applied[step.version] != step.checksum:
                    raise IntegrityError(f"{schema_name} {step.version} has changed since it was applied")
                continue
            async with connection.transaction():
                await connection.execute(step.sql)
                await connection.execute(
                    "INSERT INTO schema_versions (family, version, name, checksum) VALUES ($1, $2, $3, $4)",
                    schema_name,
                    step.version,
                    step.name,
                    step.checksum,
                )
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", MIGRATION_LOCK)


async def _keep_session(_connection: Connection) -> None:
    """Let a connection go back to the pool as it is: keepers change no session state, so the round trip
    that would reset it on every release buys nothing. asyncpg itself has rolled back before it calls this
    if a transaction was cut short."""


async def open_pool(
    dsn: str, *, size_min: int = 1, size_max: int = 4, settings: Mapping[str, str] | None = None
) -> Pool:
    """Open a pool of connections; raise UnavailableError if the database does not answer in time.

    `settings` are further server settings for its sessions.
    """
    with database_errors():
        return await asyncpg.create_pool(
            dsn,
            min_size=size_min,
            max_size=size_max,
            max_inactive_connection_lifetime=0,
            reset=_keep_session,
            statement_cache_size=STATEMENTS_CACHED_MAX,
            max_cached_statement_lifetime=0,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            server_settings={
                "application_name": "postkeep",
                "timezone": "UTC",
                "jit": "off",  # our statements are short; compiling them costs more than running them
                "lock_timeout": str(LOCK_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_MS_MAX),
                **(settings or {}),
            },
        )


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn what a database that is away, full or stopping raises into UnavailableError."""
    try:
        yield
    except _UNAVAILABLE as exc:
        raise UnavailableError(f"the database does not serve us: {type(exc).__name__}: {exc}") from exc


async def in_transaction(pool: Pool, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Run `work` in a transaction that is durable when this returns, again if it lost a race.

    Raise ConflictError if a key is taken however often it is tried, UnavailableError if the database is
    away; whether the transaction stands is then unknown, so work must be harmless to repeat.
    """
    tries = 1
    while True:
        try:
            with database_errors():
                async with pool.acquire() as connection, connection.transaction():
                    return await work(connection)
        except _RACES_LOST as exc:
            if tries == TRANSACTION_TRIES_MAX:
                if isinstance(exc, asyncpg.UniqueViolationError):
                    raise ConflictError(f"a key is taken: {exc.constraint_name}") from exc
                raise UnavailableError(f"lost {tries} races: {exc}") from exc
            tries += 1
