"""Rows of the directory: tenants, domains, principals, addresses, members. Sealed values stay sealed here."""

# ruff: noqa: S608 - column names and conditions come from constants of this file

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from postkeep.base.errors import ConflictError, NotFoundError
from postkeep.stores.postgres import Connection, Pool, database_errors


class TenantRow(NamedTuple):
    """A company."""

    tenant: bytes
    status: str
    sealed: bytes
    queue_principal: bytes
    queue_generation: int
    queue_key: bytes
    queue_signature: bytes
    created_ms: int


class PrincipalRow(NamedTuple):
    """A user or a group. A group has a key of its own if it has a mailbox."""

    tenant: bytes
    principal: bytes
    kind: str
    status: str
    sealed: bytes
    quota_bytes: int | None
    generation: int | None
    public_key: bytes | None
    signature: bytes | None
    created_ms: int
    last_sign_in_ms: int | None = None


class AddressRow(NamedTuple):
    """An address of a principal, of whichever kind."""

    lookup: bytes
    tenant: bytes
    principal: bytes
    is_primary: bool
    domain: str
    sealed: bytes


class SealedAddress(NamedTuple):
    """An address that is no principal's own here: a group's member, or one that a user may send as."""

    principal: bytes
    lookup: bytes
    sealed: bytes


_TENANT: Final = ", ".join(TenantRow._fields)
_PRINCIPAL: Final = ", ".join(PrincipalRow._fields)
_OF_PRINCIPAL: Final = ", ".join(f"p.{name}" for name in PrincipalRow._fields)
_ADDRESS: Final = ", ".join(AddressRow._fields)


class DirectoryRows:
    """Reads of the directory, and its changes, each of which takes the directory one version on."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    # --- reading ---

    async def version(self) -> int:
        """Return the directory's version."""
        with database_errors():
            value = await self._pool.fetchval("SELECT version FROM directory_state")
        assert isinstance(value, int)
        return value

    async def tenants(self) -> list[TenantRow]:
        """Return all tenants."""
        return [TenantRow(*row) for row in await self._fetch(f"SELECT {_TENANT} FROM tenants")]

    async def tenant(self, tenant: bytes) -> TenantRow:
        """Return a tenant; raise NotFoundError if it is none."""
        rows = await self._fetch(f"SELECT {_TENANT} FROM tenants WHERE tenant = $1", tenant)
        if not rows:
            raise NotFoundError("no such tenant")
        return TenantRow(*rows[0])

    async def domains(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the tenants that own these domains."""
        return dict(await self._fetch("SELECT domain, tenant FROM domains WHERE domain = ANY($1)", names))

    async def domains_of(self, tenants: Sequence[bytes]) -> list[tuple[bytes, str]]:
        """Return (tenant, domain) of these tenants, by name."""
        rows = await self._fetch(
            "SELECT tenant, domain FROM domains WHERE tenant = ANY($1) ORDER BY domain", tenants
        )
        return [(row[0], row[1]) for row in rows]

    async def user_counts(self) -> dict[bytes, int]:
        """Return how many users each tenant has."""
        return dict(
            await self._fetch("SELECT tenant, count(*) FROM principals WHERE kind = 'user' GROUP BY tenant")
        )

    async def principal(self, principal: bytes) -> PrincipalRow:
        """Return a principal; raise NotFoundError if it is none."""
        rows = await self._fetch(f"SELECT {_PRINCIPAL} FROM principals WHERE principal = $1", principal)
        if not rows:
            raise NotFoundError("no such principal")
        return PrincipalRow(*rows[0])

    async def principals(self, tenant: bytes, kind: str) -> list[PrincipalRow]:
        """Return a tenant's users or groups."""
        query = f"SELECT {_PRINCIPAL} FROM principals WHERE tenant = $1 AND kind = $2"
        return [PrincipalRow(*row) for row in await self._fetch(query, tenant, kind)]

    async def principals_named(self, tenant: bytes, principals: Sequence[bytes]) -> list[PrincipalRow]:
        """Return those of these users and groups that are a tenant's."""
        if not principals:
            return []
        query = f"SELECT {_PRINCIPAL} FROM principals WHERE tenant = $1 AND principal = ANY($2)"
        return [PrincipalRow(*row) for row in await self._fetch(query, tenant, principals)]

    async def owners(self, lookups: Sequence[bytes]) -> dict[bytes, PrincipalRow]:
        """Return the principals that own these addresses."""
        query = (
            f"SELECT a.lookup, {_OF_PRINCIPAL} FROM addresses a JOIN principals p USING (tenant, principal) "
            "WHERE a.lookup = ANY($1)"
        )
        return {row[0]: PrincipalRow(*row[1:]) for row in await self._fetch(query, lookups)}

    async def addresses_of(self, principals: Sequence[bytes]) -> list[AddressRow]:
        """Return the addresses of these principals, the primary ones first."""
        query = f"SELECT {_ADDRESS} FROM addresses WHERE principal = ANY($1) ORDER BY is_primary DESC, lookup"
        return [AddressRow(*row) for row in await self._fetch(query, principals)]

    async def members_of(self, principals: Sequence[bytes]) -> list[SealedAddress]:
        """Return the members of these groups."""
        query = "SELECT principal, lookup, sealed FROM members WHERE principal = ANY($1) ORDER BY lookup"
        return [SealedAddress(*row) for row in await self._fetch(query, principals)]

    async def granted_to(self, principal: bytes) -> list[SealedAddress]:
        """Return the addresses that a user may send as beside the user's own."""
        query = "SELECT principal, lookup, sealed FROM sender_grants WHERE principal = $1 ORDER BY lookup"
        return [SealedAddress(*row) for row in await self._fetch(query, principal)]

    # --- changing ---

    async def add_tenant(self, row: TenantRow, domain: str) -> int:
        """Add a tenant with its first domain."""
        return await self._change(
            "the tenant or its domain exists already",
            (
                f"INSERT INTO tenants ({_TENANT}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                row,
            ),
            ("INSERT INTO domains (domain, tenant) VALUES ($1, $2)", (domain, row.tenant)),
        )

    async def add_domain(self, domain: str, tenant: bytes) -> int:
        """Add a domain to a tenant."""
        return await self._change(
            "the domain exists already, or the tenant does not",
            ("INSERT INTO domains (domain, tenant) VALUES ($1, $2)", (domain, tenant)),
        )

    async def remove_domain(self, domain: str) -> int:
        """Remove a domain; ConflictError while addresses use it."""
        return await self._change(
            "addresses use the domain", ("DELETE FROM domains WHERE domain = $1", (domain,))
        )

    async def add_principal(
        self,
        row: PrincipalRow,
        address: AddressRow,
        credential: tuple[Any, ...] | None,
        members: Sequence[SealedAddress] = (),
    ) -> int:
        """Add a user with an optional first credential, or a group with its members."""
        statements: list[tuple[str, Sequence[Any]]] = [
            (
                _INSERT_PRINCIPAL,
                row,
            ),
            (f"INSERT INTO addresses ({_ADDRESS}) VALUES ($1, $2, $3, $4, $5, $6)", address),
        ]
        if credential is not None:
            statements.append((INSERT_CREDENTIAL, credential))
        statements += _member_statements(row.tenant, members)
        return await self._change("the address or the principal exists already", *statements)

    async def add_alias(self, address: AddressRow) -> int:
        """Add one more address."""
        return await self._change(
            "the address exists already",
            (f"INSERT INTO addresses ({_ADDRESS}) VALUES ($1, $2, $3, $4, $5, $6)", address),
        )

    async def remove_alias(self, lookup: bytes) -> int:
        """Remove an alias; a primary address stays."""
        return await self._change(
            "", ("DELETE FROM addresses WHERE lookup = $1 AND NOT is_primary", (lookup,))
        )

    async def set_members(self, tenant: bytes, group: bytes, members: Sequence[SealedAddress]) -> int:
        """Replace a group's members."""
        return await self._change(
            "",
            ("DELETE FROM members WHERE tenant = $1 AND principal = $2", (tenant, group)),
            *_member_statements(tenant, members),
        )

    async def add_sender_grant(self, tenant: bytes, grant: SealedAddress) -> int:
        """Let a user send as one more address."""
        return await self._change(
            "",
            (
                _INSERT_GRANT,
                (tenant, *grant),
            ),
        )

    async def set_status(self, principal: bytes, status: str) -> int:
        """Enable or disable a principal."""
        return await self._change(
            "", ("UPDATE principals SET status = $2 WHERE principal = $1", (principal, status))
        )

    async def set_quota(self, principal: bytes, quota_bytes: int | None) -> int:
        """Set or lift a quota."""
        return await self._change(
            "", ("UPDATE principals SET quota_bytes = $2 WHERE principal = $1", (principal, quota_bytes))
        )

    async def set_key(self, principal: bytes, generation: int, public_key: bytes, signature: bytes) -> int:
        """Publish a newer key of a user, or of a tenant's queue; an older one changes nothing."""
        values = (principal, generation, public_key, signature)
        return await self._change(
            "",
            (
                (
                    "UPDATE principals SET generation = $2, public_key = $3, signature = $4"
                    " WHERE principal = $1 AND generation < $2"
                ),
                values,
            ),
            (
                (
                    "UPDATE tenants SET queue_generation = $2, queue_key = $3, queue_signature = $4"
                    " WHERE queue_principal = $1 AND queue_generation < $2"
                ),
                values,
            ),
        )

    async def give_key(self, group: bytes, generation: int, public_key: bytes, signature: bytes) -> int:
        """Give a group its first key."""
        query = (
            "UPDATE principals SET generation = $2, public_key = $3, signature = $4"
            " WHERE principal = $1 AND kind = 'group' AND generation IS NULL"
        )
        return await self._change("", (query, (group, generation, public_key, signature)))

    async def key_generation(self, tenant: bytes, principal: bytes) -> int | None:
        """Return the generation of the key that is published for a user or a tenant's queue."""
        rows = await self._fetch(
            "SELECT generation FROM principals WHERE tenant = $1 AND principal = $2"
            " UNION ALL SELECT queue_generation FROM tenants WHERE tenant = $1 AND queue_principal = $2",
            tenant,
            principal,
        )
        return rows[0][0] if rows else None

    async def remove_principal(self, principal: bytes) -> int:
        """Remove a principal with its addresses, members, credentials and sessions."""
        return await self._change("", ("DELETE FROM principals WHERE principal = $1", (principal,)))

    async def remove_tenant(self, tenant: bytes) -> int:
        """Remove a tenant and everything under it."""
        return await self._change(
            "",
            ("DELETE FROM principals WHERE tenant = $1", (tenant,)),
            ("DELETE FROM tenants WHERE tenant = $1", (tenant,)),
        )

    async def _fetch(self, query: str, *arguments: Any) -> list[Any]:
        with database_errors():
            return await self._pool.fetch(query, *arguments)

    async def _change(self, conflict: str, *statements: tuple[str, Sequence[Any]]) -> int:
        """Run statements in one transaction and return the directory's new version."""
        with database_errors():
            async with self._pool.acquire() as connection:
                try:
                    async with connection.transaction():
                        for query, arguments in statements:
                            await connection.execute(query, *arguments)
                        return await _next_version(connection)
                except (asyncpg.UniqueViolationError, asyncpg.ForeignKeyViolationError) as exc:
                    raise ConflictError(conflict or type(exc).__name__) from exc


_INSERT_PRINCIPAL: Final = (
    f"INSERT INTO principals ({_PRINCIPAL}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
)
_INSERT_GRANT: Final = (
    "INSERT INTO sender_grants (tenant, principal, lookup, sealed) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT DO NOTHING"
)
INSERT_CREDENTIAL: Final = (
    "INSERT INTO credentials (tenant, principal, id, kind, sealed, created_ms) "
    "VALUES ($1, $2, $3, $4, $5, $6)"
)


def _member_statements(tenant: bytes, members: Sequence[SealedAddress]) -> list[tuple[str, Sequence[Any]]]:
    query = (
        "INSERT INTO members (tenant, principal, lookup, sealed) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT DO NOTHING"
    )
    return [(query, (tenant, *member)) for member in members]


async def _next_version(connection: Connection) -> int:
    value = await connection.fetchval("UPDATE directory_state SET version = version + 1 RETURNING version")
    assert isinstance(value, int)
    return value
