"""Rows of the key hierarchy: wrapped keys of tenants, categories and principals, and what was shredded."""

from typing import Any, NamedTuple

import asyncpg

from postkeep.base.errors import ConflictError


class TenantKeyRow(NamedTuple):
    """A tenant's key: wrapped under the root key and the secret in its slot."""

    tenant: bytes
    slot: int
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


_PRINCIPAL = "SELECT tenant, principal, generation, queue, slot, wrapped, public_key, signature"


class KmsKeyRows:
    """The tables of the key hierarchy in the database of kms."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def tenant(self, tenant: bytes) -> TenantKeyRow | None:
        """Return a tenant's key."""
        row = await self._pool.fetchrow(
            "SELECT tenant, slot, wrapped FROM tenant_keys WHERE tenant = $1", tenant
        )
        return None if row is None else TenantKeyRow(*row)

    async def add_tenant(self, row: TenantKeyRow, categories: dict[str, bytes], now_ms: int) -> None:
        """Add a tenant with its category keys, wrapped. ConflictError if it is there already."""
        async with self._pool.acquire() as connection, connection.transaction():
            try:
                await connection.execute(
                    "INSERT INTO tenant_keys (tenant, slot, wrapped, created_ms) VALUES ($1, $2, $3, $4)",
                    *row,
                    now_ms,
                )
            except asyncpg.UniqueViolationError as exc:
                raise ConflictError("the tenant has keys already") from exc
            await connection.executemany(
                "INSERT INTO category_keys (tenant, category, wrapped, created_ms) VALUES ($1, $2, $3, $4)",
                [(row.tenant, category, wrapped, now_ms) for category, wrapped in categories.items()],
            )

    async def category(self, tenant: bytes, category: str) -> bytes | None:
        """Return a category's wrapped key."""
        wrapped: bytes | None = await self._pool.fetchval(
            "SELECT wrapped FROM category_keys WHERE tenant = $1 AND category = $2", tenant, category
        )
        return wrapped

    async def principal(self, principal: bytes) -> list[PrincipalKeyRow]:
        """Return all generations of a principal's key pair, the newest first."""
        rows = await self._pool.fetch(
            f"{_PRINCIPAL} FROM principal_keys WHERE principal = $1 ORDER BY generation DESC", principal
        )
        return [PrincipalKeyRow(*row) for row in rows]

    async def add_principal(self, row: PrincipalKeyRow, now_ms: int) -> None:
        """Add a generation of a key pair. ConflictError if it is there already."""
        try:
            await self._pool.execute(
                "INSERT INTO principal_keys (tenant, principal, generation, queue, slot, wrapped, public_key,"
                " signature, created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                *row,
                now_ms,
            )
        except asyncpg.UniqueViolationError as exc:
            raise ConflictError("the principal has a key of this generation already") from exc

    async def was_shredded(self, tenant: bytes, principal: bytes) -> bool:
        """Whether the keys of this principal, or of its whole tenant, were destroyed."""
        found: bool = await self._pool.fetchval(
            "SELECT EXISTS (SELECT FROM shredded_keys WHERE tenant = $1 AND principal IN ($2, ''))",
            tenant,
            principal,
        )
        return found

    async def slots_of(self, tenant: bytes, principal: bytes) -> list[int]:
        """Return the slots that a principal's keys depend on, or (empty principal) all of a tenant's."""
        if principal:
            query = "SELECT slot FROM principal_keys WHERE tenant = $1 AND principal = $2"
            arguments: tuple[Any, ...] = (tenant, principal)
        else:
            query = (
                "SELECT slot FROM tenant_keys WHERE tenant = $1"
                " UNION ALL SELECT slot FROM principal_keys WHERE tenant = $1"
            )
            arguments = (tenant,)
        return [row["slot"] for row in await self._pool.fetch(query, *arguments)]

    async def mark_shredded(self, tenant: bytes, principal: bytes, now_ms: int) -> None:
        """Remember that keys are destroyed, before they are: what is half destroyed is not made anew."""
        await self._pool.execute(
            "INSERT INTO shredded_keys (tenant, principal, shredded_ms) VALUES ($1, $2, $3)"
            " ON CONFLICT DO NOTHING",
            tenant,
            principal,
            now_ms,
        )

    async def delete(self, tenant: bytes, principal: bytes) -> None:
        """Delete the rows of a principal, or (empty principal) of a tenant with everything below it."""
        if principal:
            await self._pool.execute(
                "DELETE FROM principal_keys WHERE tenant = $1 AND principal = $2", tenant, principal
            )
        else:
            await self._pool.execute("DELETE FROM tenant_keys WHERE tenant = $1", tenant)
