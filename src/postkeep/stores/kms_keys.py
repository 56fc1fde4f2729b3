"""Rows of the key hierarchy: wrapped keys of tenants, categories and principals, and what was shredded."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from postkeep.base.errors import ConflictError
from postkeep.stores.kms_rows import KmsRows
from postkeep.stores.postgres import Source, database_errors


class TenantKeyRow(NamedTuple):
    """A tenant's key: wrapped under the root key and the secret in its slot."""

    tenant: bytes
    slot: int
    wrapped: bytes
    custody: str
    """Empty, or the custodian under whose key it was wrapped first."""
    generation: int = 1
    root: int = 1
    """The generation of the root key that wraps it."""


class CategoryKeyRow(NamedTuple):
    """One generation of a category's key, wrapped under the tenant's key and the secret in its slot."""

    category: str
    generation: int
    slot: int | None
    """None: made before generations had slots."""
    wrapped: bytes


class PrincipalKeyRow(NamedTuple):
    """One generation of a principal's key pair, the private half wrapped."""

    tenant: bytes
    principal: bytes
    generation: int
    queue: bool
    slot: int
    wrapped: bytes
    public_key: bytes
    signature: bytes
    parent: int = 1
    """The generation of the tenant's `secret` key that wraps it."""
    created_ms: int = 0


class PersonKeyRow(NamedTuple):
    """A person's own key, wrapped like a private half."""

    tenant: bytes
    principal: bytes
    slot: int
    parent: int
    wrapped: bytes


class HoldRow(NamedTuple):
    """A legal hold on keys."""

    tenant: bytes
    hold: bytes
    principal: bytes
    """Empty: the whole tenant."""
    kind: str
    until_ms: int | None


_PRINCIPAL = (
    "SELECT k.tenant, k.principal, k.generation, k.queue, k.slot, w.wrapped, k.public_key,"
    " k.signature, w.parent,"
    " k.created_ms FROM principal_keys k JOIN principal_wraps w USING (tenant, principal, generation)"
)


class KmsKeyRows(KmsRows):
    """The tables of the key hierarchy in the database of kms."""

    async def tenant(self, tenant: bytes) -> TenantKeyRow | None:
        """Return a tenant's key."""
        row = await self._one(
            "SELECT tenant, slot, wrapped, custody, generation, root FROM tenant_keys WHERE tenant = $1",
            tenant,
        )
        return None if row is None else TenantKeyRow(*row)

    async def add_tenant(self, row: TenantKeyRow, categories: Sequence[CategoryKeyRow], now_ms: int) -> None:
        """Add a tenant with its category keys, wrapped. ConflictError if it is there already."""
        try:
            await self._run(
                "WITH made AS (INSERT INTO tenant_keys (tenant, slot, wrapped, custody, generation, root,"
                " created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING tenant)"
                " INSERT INTO category_keys (tenant, category, generation, slot, wrapped, created_ms)"
                " SELECT made.tenant, c.category, c.generation, c.slot, c.wrapped, $7 FROM made,"
                " unnest($8::text[], $9::integer[], $10::bigint[], $11::bytea[])"
                " AS c (category, generation, slot, wrapped)",
                *row,
                now_ms,
                *(list(column) for column in zip(*categories, strict=True)),
            )
        except asyncpg.UniqueViolationError as exc:
            raise ConflictError("the tenant has keys already") from exc

    async def categories(self, tenant: bytes) -> list[CategoryKeyRow]:
        """Return all generations of a tenant's category keys."""
        rows = await self._all(
            "SELECT category, generation, slot, wrapped FROM category_keys WHERE tenant = $1", tenant
        )
        return [CategoryKeyRow(*row) for row in rows]

    async def data_key(self, tenant: bytes, category: str) -> tuple[int, bytes] | None:
        """Return (generation of the category's key, wrapped data key) where it is kept as a row."""
        row = await self._one(
            "SELECT parent, wrapped FROM data_keys WHERE tenant = $1 AND category = $2", tenant, category
        )
        return None if row is None else (row[0], row[1])

    async def principal(self, principal: bytes) -> list[PrincipalKeyRow]:
        """Return all generations of a principal's key pair, the newest first."""
        rows = await self._all(f"{_PRINCIPAL} WHERE k.principal = $1 ORDER BY generation DESC", principal)
        return [PrincipalKeyRow(*row) for row in rows]

    async def add_principal(self, row: PrincipalKeyRow) -> None:
        """Add a generation of a key pair. ConflictError if it is there already."""
        await add_principal(self._pool, row)

    async def person(self, tenant: bytes, principal: bytes) -> PersonKeyRow | None:
        """Return a person's own key."""
        row = await self._one(
            "SELECT tenant, principal, slot, parent, wrapped FROM person_keys"
            " WHERE tenant = $1 AND principal = $2",
            tenant,
            principal,
        )
        return None if row is None else PersonKeyRow(*row)

    async def add_person(self, row: PersonKeyRow) -> None:
        """Add a person's own key."""
        await self._run(
            "INSERT INTO person_keys (tenant, principal, slot, parent, wrapped) VALUES ($1, $2, $3, $4, $5)",
            *row,
        )

    async def principals_older(self, before_ms: int, limit: int) -> list[tuple[bytes, bytes]]:
        """Return (tenant, principal) whose newest key pair was made before a moment, the oldest first."""
        rows = await self._all(
            "SELECT k.tenant, k.principal FROM principal_keys k WHERE k.created_ms < $1 AND NOT EXISTS"
            " (SELECT FROM principal_keys n WHERE n.principal = k.principal AND n.generation > k.generation)"
            " ORDER BY k.created_ms LIMIT $2",
            before_ms,
            limit,
        )
        return [(row[0], row[1]) for row in rows]

    async def was_shredded(self, tenant: bytes, principal: bytes) -> bool:
        """Whether the keys of this principal, or of its whole tenant, were destroyed."""
        found: bool = await self._value(
            "SELECT EXISTS (SELECT FROM shredded_keys WHERE tenant = $1 AND principal IN ($2, ''))",
            tenant,
            principal,
        )
        return found

    async def shredded_since(self, since_ms: int, limit: int) -> list[tuple[bytes, bytes, int]]:
        """Return (tenant, principal, when) of keys destroyed at or after a moment, oldest first."""
        rows = await self._all(
            "SELECT tenant, principal, shredded_ms FROM shredded_keys WHERE shredded_ms >= $1"
            " ORDER BY shredded_ms, tenant, principal LIMIT $2",
            since_ms,
            limit,
        )
        return [(row[0], row[1], row[2]) for row in rows]

    async def slots_of(self, tenant: bytes, principal: bytes) -> list[int]:
        """Return the slots that a principal's keys depend on, or (empty principal) all of a tenant's."""
        if principal:
            query = (
                "SELECT slot FROM principal_keys WHERE tenant = $1 AND principal = $2"
                " UNION ALL SELECT slot FROM person_keys WHERE tenant = $1 AND principal = $2"
                " UNION ALL SELECT slot FROM share_wraps WHERE tenant = $1 AND $2 IN (owner, reader)"
            )
            arguments: tuple[Any, ...] = (tenant, principal)
        else:
            query = (
                "SELECT slot FROM tenant_keys WHERE tenant = $1"
                " UNION ALL SELECT slot FROM category_keys WHERE tenant = $1 AND slot IS NOT NULL"
                " UNION ALL SELECT slot FROM principal_keys WHERE tenant = $1"
                " UNION ALL SELECT slot FROM person_keys WHERE tenant = $1"
                " UNION ALL SELECT slot FROM share_wraps WHERE tenant = $1"
            )
            arguments = (tenant,)
        return [row["slot"] for row in await self._all(query, *arguments)]

    async def mark_shredded(self, tenant: bytes, principal: bytes, now_ms: int) -> None:
        """Remember that keys are destroyed, before they are: what is half destroyed is not made anew."""
        await self._run(
            "INSERT INTO shredded_keys (tenant, principal, shredded_ms) VALUES ($1, $2, $3)"
            " ON CONFLICT DO NOTHING",
            tenant,
            principal,
            now_ms,
        )

    async def holds_on(self, tenant: bytes, principal: bytes, now_ms: int) -> list[HoldRow]:
        """Return the legal holds on a principal's keys, or (empty principal) on any of a tenant's."""
        rows = await self._all(
            "SELECT tenant, hold, principal, kind, until_ms FROM holds WHERE tenant = $1"
            " AND ($2::bytea = '' OR principal IN ('', $2)) AND (until_ms IS NULL OR until_ms > $3)"
            " ORDER BY hold",
            tenant,
            principal,
            now_ms,
        )
        return [HoldRow(*row) for row in rows]

    async def add_hold(self, row: HoldRow) -> None:
        """Add a hold; the same again changes its end."""
        await self._run(
            "INSERT INTO holds (tenant, hold, principal, kind, until_ms) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT (tenant, hold) DO UPDATE SET until_ms = excluded.until_ms",
            *row,
        )

    async def drop_hold(self, tenant: bytes, hold: bytes) -> None:
        """Drop a hold."""
        await self._run("DELETE FROM holds WHERE tenant = $1 AND hold = $2", tenant, hold)

    async def born_ms(self, tenant: bytes, principal: bytes) -> int | None:
        """Return when the first keys of a principal, or of a tenant without people, were made.

        None: there are none. 0: they have been in use.
        """
        if principal:
            query = (
                "SELECT CASE WHEN min(generation) = 1 THEN min(created_ms) ELSE 0 END FROM principal_keys"
                " WHERE tenant = $1 AND principal = $2 HAVING count(*) > 0"
            )
            return await self._born(query, tenant, principal)
        query = (
            "SELECT CASE WHEN EXISTS (SELECT FROM principal_keys p WHERE p.tenant = t.tenant AND NOT p.queue)"
            " THEN 0 ELSE t.created_ms END FROM tenant_keys t WHERE t.tenant = $1"
        )
        return await self._born(query, tenant)

    async def _born(self, query: str, *arguments: bytes) -> int | None:
        found: int | None = await self._value(query, *arguments)
        return found

    async def state(self) -> int:
        """Return how many changes the store has seen."""
        return int(await self._value("SELECT state FROM store_states") or 0)

    async def set_state(self, state: int) -> None:
        """Remember how many changes the store has seen."""
        await self._run(
            "INSERT INTO store_states (state) VALUES ($1) ON CONFLICT (only_row) DO UPDATE SET state = $1",
            state,
        )

    async def delete(self, tenant: bytes, principal: bytes) -> None:
        """Delete the rows of a principal, or (empty principal) of a tenant with everything below it."""
        if principal:
            await self._run(
                "WITH people AS (DELETE FROM person_keys WHERE tenant = $1 AND principal = $2),"
                " shared AS (DELETE FROM shares WHERE tenant = $1 AND $2 IN (owner, reader))"
                " DELETE FROM principal_keys WHERE tenant = $1 AND principal = $2",
                tenant,
                principal,
            )
        else:
            await self._run("DELETE FROM tenant_keys WHERE tenant = $1", tenant)


async def add_principal(source: Source, row: PrincipalKeyRow) -> None:
    """Add a generation of a key pair, in a transaction of the caller's or in one of its own."""
    try:
        with database_errors():
            await source.execute(_ADD_PRINCIPAL, *row)
    except asyncpg.UniqueViolationError as exc:
        raise ConflictError("the principal has a key of this generation already") from exc


_ADD_PRINCIPAL: Final = (
    "WITH made AS (INSERT INTO principal_keys (tenant, principal, generation, queue, slot, public_key,"
    " signature, created_ms) VALUES ($1, $2, $3, $4, $5, $7, $8, $10) RETURNING tenant, principal,"
    " generation)"
    " INSERT INTO principal_wraps (tenant, principal, generation, parent, wrapped)"
    " SELECT tenant, principal, generation, $9, $6 FROM made"
)
