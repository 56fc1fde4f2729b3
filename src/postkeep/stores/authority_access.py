"""Rows of access: credentials, sessions, revocations, known networks."""

# ruff: noqa: S608 - column names and conditions come from constants of this file

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from postkeep.base.errors import NotFoundError, RefusedError
from postkeep.stores.authority_directory import INSERT_CREDENTIAL
from postkeep.stores.postgres import Pool, database_errors


class CredentialRow(NamedTuple):
    """A password (kind `password`), an app password (`app`) or an access token (`token`), sealed."""

    tenant: bytes
    principal: bytes
    id: bytes
    kind: str
    sealed: bytes
    created_ms: int
    last_used_ms: int | None = None


class SessionRow(NamedTuple):
    """A session and the one key that may renew or end it."""

    session: bytes
    tenant: bytes
    principal: bytes
    credential: bytes
    module: str
    instance: str
    holder: str
    level: int
    opened_ms: int
    renewed_ms: int
    expires_ms: int | None = None
    """When it ends whoever renews it; None: it has no such end."""


class RevocationRow(NamedTuple):
    """One revocation as the feed tells it."""

    position: int
    scope: str
    subject: str
    before_ms: int


_CREDENTIAL: Final = ", ".join(CredentialRow._fields)
_SESSION: Final = ", ".join(SessionRow._fields)
_SESSIONS_OF: Final = {
    "session": "session = $1",
    "user": "principal = $1",
    "tenant": "tenant = $1",
    "instance": "instance = convert_from($1, 'UTF8')",
    "credential": "credential = $1",
}
_OPEN_SESSION: Final = f"""
WITH active AS (
    SELECT principal FROM principals WHERE principal = $3 AND status = 'active' FOR NO KEY UPDATE
), used AS (
    UPDATE credentials SET last_used_ms = $9
    WHERE principal = (SELECT principal FROM active) AND id = $4
    RETURNING principal
), signed_in AS (
    UPDATE principals SET last_sign_in_ms = $9 WHERE principal = (SELECT principal FROM used)
), remembered AS (
    INSERT INTO known_networks (tenant, principal, network, used_ms)
    SELECT $2, principal, $12, $9 FROM used WHERE $12::bytea IS NOT NULL
    ON CONFLICT (tenant, principal, network) DO UPDATE SET used_ms = $9
)
INSERT INTO sessions ({_SESSION})
SELECT $1, $2, principal, $4, $5, $6, $7, $8, $9, $10, $11 FROM used
RETURNING session
"""
"""One statement, as thousands may come at once. It locks in the order of those who change what it reads."""
_LISTED_MAX: Final = 100_000  # revocations that the feed may still have to tell; ten minutes' worth


class AccessRows:
    """Credentials, sessions, revocations."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def credentials(self, principal: bytes) -> list[CredentialRow]:
        """Return a user's credentials, oldest first."""
        query = f"SELECT {_CREDENTIAL} FROM credentials WHERE principal = $1 ORDER BY id"
        return [CredentialRow(*row) for row in await self._fetch(query, principal)]

    async def add_credential(self, row: CredentialRow) -> None:
        """Add an app password or a token."""
        await self._execute(INSERT_CREDENTIAL, *row[:6])

    async def replace_password(
        self, row: CredentialRow, *, revocation: tuple[str, str, Callable[[], int]]
    ) -> RevocationRow:
        """Replace the password and end every session of the user, in one transaction."""
        with database_errors():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    "DELETE FROM credentials WHERE principal = $1 AND kind = 'password'", row.principal
                )
                await connection.execute(INSERT_CREDENTIAL, *row[:6])
                return await _revoke(connection, *revocation, row.principal)

    async def remove_credential(self, principal: bytes, credential: bytes, kind: str) -> list[bytes]:
        """Remove an app password or a token; return the sessions that it had opened. NotFoundError if there
        is none of this kind."""
        with database_errors():
            async with self._pool.acquire() as connection, connection.transaction():
                gone = await connection.fetchval(
                    "DELETE FROM credentials WHERE principal = $1 AND id = $2 AND kind = $3 RETURNING id",
                    principal,
                    credential,
                    kind,
                )
                if gone is None:
                    raise NotFoundError("no such credential")
                rows = await connection.fetch(
                    "SELECT session FROM sessions WHERE credential = $1", credential
                )
        return [row[0] for row in rows]

    async def open_session(self, row: SessionRow, network: bytes | None) -> None:
        """Record a session and the use of its credential; `network` is one not known yet.

        RefusedError if the account was disabled or the credential replaced since it was checked: whoever
        changes them ends the sessions in the same or a later transaction, so none is forgotten.
        """
        if not await self._fetch(_OPEN_SESSION, *row, network):
            raise RefusedError("the account has changed meanwhile", code="refused.credentials")

    async def session(self, session: bytes) -> SessionRow:
        """Return a session; raise NotFoundError if it has ended."""
        rows = await self._fetch(f"SELECT {_SESSION} FROM sessions WHERE session = $1", session)
        if not rows:
            raise NotFoundError("no such session")
        return SessionRow(*rows[0])

    async def renew_session(self, session: bytes, now_ms: int) -> None:
        """Note that a session lives; RefusedError if it has been ended meanwhile."""
        query = "UPDATE sessions SET renewed_ms = $2 WHERE session = $1 RETURNING session"
        if not await self._fetch(query, session, now_ms):
            raise RefusedError("the session has ended", code="refused.session")

    async def keep_sessions(self, sessions: Sequence[bytes], holder: str, now_ms: int) -> set[bytes]:
        """Note that a holder's sessions live; return those that do."""
        query = (
            "UPDATE sessions SET renewed_ms = $3 WHERE session = ANY($1::bytea[]) AND holder = $2 "
            "AND (expires_ms IS NULL OR expires_ms > $3) RETURNING session"
        )
        return {row[0] for row in await self._fetch(query, sessions, holder, now_ms)}

    async def end_sessions(self, sessions: Sequence[bytes], holder: str) -> list[tuple[bytes, bytes, bytes]]:
        """End a holder's sessions that their users have left: their tickets are not revoked, the holder
        throws them away. Return session, tenant and principal of each that was there."""
        query = (
            "DELETE FROM sessions WHERE session = ANY($1::bytea[]) AND holder = $2 "
            "RETURNING session, tenant, principal"
        )
        return [tuple(row) for row in await self._fetch(query, sessions, holder)]

    async def sweep(self, renewed_before_ms: int, revoked_before_ms: int, networks_before_ms: int) -> None:
        """Forget sessions that nobody renews, revocations that no ticket is old enough for, old networks."""
        await self._execute("DELETE FROM sessions WHERE renewed_ms < $1", renewed_before_ms)
        await self._execute("DELETE FROM revocations WHERE before_ms < $1", revoked_before_ms)
        await self._execute("DELETE FROM known_networks WHERE used_ms < $1", networks_before_ms)

    async def knows_network(self, principal: bytes, network: bytes) -> bool:
        """Whether the user has signed in from this network before."""
        query = "SELECT 1 FROM known_networks WHERE principal = $1 AND network = $2"
        return bool(await self._fetch(query, principal, network))

    async def revoke(self, scope: str, subject: str, now_ms: Callable[[], int]) -> RevocationRow:
        """Void everything issued to a subject until now: its sessions go in the same transaction."""
        raw = subject.encode() if scope == "instance" else bytes.fromhex(subject)
        with database_errors():
            async with self._pool.acquire() as connection, connection.transaction():
                return await _revoke(connection, scope, subject, now_ms, raw)

    async def revocations(self) -> list[RevocationRow]:
        """Return the revocations that are kept, oldest first."""
        query = "SELECT position, scope, subject, before_ms FROM revocations ORDER BY position DESC LIMIT $1"
        return [RevocationRow(*row) for row in reversed(await self._fetch(query, _LISTED_MAX))]

    async def _fetch(self, query: str, *arguments: Any) -> list[Any]:
        with database_errors():
            return await self._pool.fetch(query, *arguments)

    async def _execute(self, query: str, *arguments: Any) -> None:
        with database_errors():
            await self._pool.execute(query, *arguments)


async def _revoke(
    connection: Any, scope: str, subject: str, now_ms: Callable[[], int], raw: bytes
) -> RevocationRow:
    await connection.execute(f"DELETE FROM sessions WHERE {_SESSIONS_OF[scope]}", raw)
    # The time is taken after the sessions have gone: the ticket of each of them is older than this.
    before_ms = now_ms() + 1
    row: Sequence[Any] = await connection.fetchrow(
        "INSERT INTO revocations (scope, subject, before_ms) VALUES ($1, $2, $3) "
        "RETURNING position, scope, subject, before_ms",
        scope,
        subject,
        before_ms,
    )
    return RevocationRow(*row)
