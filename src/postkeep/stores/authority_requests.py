"""Rows of governance: staff, requests, and the settings' one row. Sealed values stay sealed here."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import asyncpg

from postkeep.base.errors import ConflictError
from postkeep.stores.postgres import Connection, Pool, database_errors

LISTED_MAX: Final = 500
"""Requests in one answer, the newest first."""


class StaffRow(NamedTuple):
    """A staff member."""

    staff: bytes
    lookup: bytes
    sealed: bytes


class RequestRow(NamedTuple):
    """A request; `live` while it may still lead to a grant."""

    request: bytes
    kind: str
    digest: bytes
    requester: bytes
    live: bool
    sealed: bytes


_REQUEST: Final = "request, kind, digest, requester, live, sealed"


class GovernanceRows:
    """Reads, and `locked`: one change at a time, in one transaction, over all of governance."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def locked(self) -> AsyncIterator["Governing"]:
        """Give the rows to one who reads, decides and writes; what is written is durable at the end."""
        with database_errors():
            async with self._pool.acquire() as connection:
                try:
                    async with connection.transaction():
                        settings = await connection.fetchval("SELECT sealed FROM governance FOR UPDATE")
                        yield Governing(connection, settings)
                except asyncpg.UniqueViolationError as exc:
                    raise ConflictError(
                        "the name is taken", public_text="There is a staff member of this name already."
                    ) from exc

    async def settings(self) -> bytes:
        """Return the sealed settings; empty: those of a fresh installation."""
        value = await self._fetch("SELECT sealed FROM governance")
        return bytes(value[0][0])

    async def staff(self) -> list[StaffRow]:
        """Return everybody."""
        return [StaffRow(*row) for row in await self._fetch("SELECT staff, lookup, sealed FROM staff")]

    async def staff_named(self, lookup: bytes) -> StaffRow | None:
        """Find a staff member by the keyed hash of the name."""
        rows = await self._fetch("SELECT staff, lookup, sealed FROM staff WHERE lookup = $1", lookup)
        return StaffRow(*rows[0]) if rows else None

    async def requests(self, *, live_only: bool) -> list[RequestRow]:
        """Return requests, the newest first."""
        query = f"SELECT {_REQUEST} FROM requests WHERE live OR NOT $1 ORDER BY request DESC LIMIT $2"  # noqa: S608 - a constant
        return [RequestRow(*row) for row in await self._fetch(query, live_only, LISTED_MAX)]

    async def request(self, request: bytes) -> RequestRow | None:
        """Find a request."""
        rows = await self._fetch(f"SELECT {_REQUEST} FROM requests WHERE request = $1", request)  # noqa: S608 - a constant
        return RequestRow(*rows[0]) if rows else None

    async def _fetch(self, query: str, *arguments: Any) -> list[Any]:
        with database_errors():
            return await self._pool.fetch(query, *arguments)


class Governing:
    """One change of governance under way; nobody else changes anything meanwhile."""

    def __init__(self, connection: Connection, settings: bytes) -> None:
        self._connection = connection
        self.settings: Final = settings

    async def staff(self) -> list[StaffRow]:
        """Return everybody."""
        rows = await self._connection.fetch("SELECT staff, lookup, sealed FROM staff")
        return [StaffRow(*row) for row in rows]

    async def put_staff(self, row: StaffRow) -> None:
        """Add a staff member, or replace what is known of one."""
        await self._connection.execute(
            "INSERT INTO staff (staff, lookup, sealed) VALUES ($1, $2, $3) "
            "ON CONFLICT (staff) DO UPDATE SET lookup = $2, sealed = $3",
            *row,
        )

    async def remove_staff(self, staff: bytes) -> None:
        """Remove a staff member."""
        await self._connection.execute("DELETE FROM staff WHERE staff = $1", staff)

    async def put_settings(self, sealed: bytes) -> None:
        """Replace the settings."""
        await self._connection.execute("UPDATE governance SET sealed = $1", sealed)

    async def request(self, request: bytes) -> RequestRow | None:
        """Find a request."""
        row = await self._connection.fetchrow(
            f"SELECT {_REQUEST} FROM requests WHERE request = $1",  # noqa: S608 - a constant
            request,
        )
        return RequestRow(*row) if row else None

    async def live_request(self, kind: str, digest: bytes, requester: bytes) -> RequestRow | None:
        """Find the request for this very act by this requester that may still lead to a grant."""
        row = await self._connection.fetchrow(
            f"SELECT {_REQUEST} FROM requests "  # noqa: S608 - a constant
            "WHERE kind = $1 AND digest = $2 AND requester = $3 AND live",
            kind,
            digest,
            requester,
        )
        return RequestRow(*row) if row else None

    async def live_count(self) -> int:
        """Return how many requests may still lead to a grant."""
        return int(await self._connection.fetchval("SELECT count(*) FROM requests WHERE live"))

    async def put_request(self, row: RequestRow) -> None:
        """Add a request, or replace what is known of one."""
        values: Sequence[Any] = row
        await self._connection.execute(
            f"INSERT INTO requests ({_REQUEST}) VALUES ($1, $2, $3, $4, $5, $6) "  # noqa: S608 - a constant
            "ON CONFLICT (request) DO UPDATE SET live = $5, sealed = $6",
            *values,
        )
