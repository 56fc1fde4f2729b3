"""Rows of the key hierarchy: wrapped keys of tenants, categories and principals, and what was shredded."""

from typing import Any, NamedTuple

import asyncpg

from postkeep.base.errors import ConflictError
from postkeep.stores.kms_rows import KmsRows


class TenantKeyRow(NamedTuple):
    """A tenant's key: wrapped under the root key and the secret in its slot."""

    tenant: bytes
    slot: int
    wrapped: bytes
    custody: str
    """Empty, or the custodian under whose key it was wrapped first."""


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


class KmsKeyRows(KmsRows):
    """The tables of the key hierarchy in the database of kms."""

    async def tenant(self, tenant: bytes) -> TenantKeyRow | None:
        """Return a tenant's key."""
        row = await self._one(
            "SELECT tenant, slot, wrapped, custody FROM tenant_keys WHERE tenant = $1", tenant
        )
        return None if row is None else TenantKeyRow(*row)

    async def add_tenant(self, row: TenantKeyRow, categories: dict[str, bytes], now_ms: int) -> None:
        """Add a tenant with its category keys, wrapped. ConflictError if it is there already."""
        names = [*categories]
        try:
            await self._run(
                "WITH made AS (INSERT INTO tenant_keys (tenant, slot, wrapped, custody, created_ms)"
                " VALUES ($1, $2, $3, $4, $5) RETURNING tenant)"
                " INSERT INTO category_keys (tenant, category, wrapped, created_ms)"
                " SELECT made.tenant, c.category, c.wrapped, $5"
                " FROM made, unnest($6::text[], $7::bytea[]) AS c (category, wrapped)",
                *row,
                now_ms,
                names,
                [categories[name] for name in names],
            )
        except asyncpg.UniqueViolationError as exc:
            raise ConflictError("the tenant has keys already") from exc

    async def category(self, tenant: bytes, category: str) -> bytes | None:
        """Return a category's wrapped key."""
        wrapped: bytes | None = await self._value(
            "SELECT wrapped FROM category_keys WHERE tenant = $1 AND category = $2", tenant, category
        )
        return wrapped

    async def principal(self, principal: bytes) -> list[PrincipalKeyRow]:
        """Return all generations of a principal's key pair, the newest first."""
        rows = await self._all(
            f"{_PRINCIPAL} FROM principal_keys WHERE principal = $1 ORDER BY generation DESC", principal
        )
        return [PrincipalKeyRow(*row) for row in rows]

    async def add_principal(self, row: PrincipalKeyRow, now_ms: int) -> None:
        """Add a generation of a key pair. ConflictError if it is there already."""
        try:
            await self._run(
                "INSERT INTO principal_keys (tenant, principal, generation, queue, slot, wrapped, public_key,"
                " signature, created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                *row,
                now_ms,
            )
        except asyncpg.UniqueViolationError as exc:
            raise ConflictError("the principal has a key of this generation already") from exc

    async def was_shredded(self, tenant: bytes, principal: bytes) -> bool:
        """Whether the keys of this principal, or of its whole tenant, were destroyed."""
        found: bool = await self._value(
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
                "DELETE FROM principal_keys WHERE tenant = $1 AND principal = $2", tenant, principal
            )
        else:
            await self._run("DELETE FROM tenant_keys WHERE tenant = $1", tenant)
