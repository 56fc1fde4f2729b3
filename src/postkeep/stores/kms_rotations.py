"""Rows of rotations: what is being rotated, how far it is, and the batches that are wrapped anew.

Every step is one transaction that moves the rotation on together with the rows it is about, so that a crash
leaves a step done or not begun.
"""

# ruff: noqa: S608 - column names and conditions come from constants of this file

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from postkeep.base.errors import ConflictError
from postkeep.stores.kms_keys import (
    CategoryKeyRow,
    PersonKeyRow,
    PrincipalKeyRow,
    TenantKeyRow,
    add_principal,
)
from postkeep.stores.kms_rows import KmsRows
from postkeep.stores.kms_shares import ShareWrapRow, add_wraps
from postkeep.stores.postgres import Connection, in_transaction


class RotationRow(NamedTuple):
    """A rotation: of which key, from which generation to which, in which phase."""

    id: bytes
    kind: str
    tenant: bytes
    principal: bytes
    category: str
    old: int
    new: int
    phase: str
    old_slot: int | None
    position: bytes
    done: int
    total: int
    started_ms: int
    ended_ms: int | None


class WrapRow(NamedTuple):
    """A private half to wrap anew, with what it is bound to."""

    principal: bytes
    generation: int
    queue: bool
    slot: int
    wrapped: bytes
    public_key: bytes


_FIELDS: Final = ", ".join(RotationRow._fields)
_COUNTS: Final = {
    "root": "(SELECT count(*) FROM tenant_keys) + (SELECT count(*) FROM named_keys)",
    "secret": "(SELECT count(*) FROM principal_wraps WHERE tenant = $2)"
    " + (SELECT count(*) FROM person_keys WHERE tenant = $2)",
    "account": "(SELECT count(*) FROM data_keys WHERE tenant = $2)",
    "tenant": "(SELECT count(*) FROM category_keys WHERE tenant = $2)",
}


class KmsRotationRows(KmsRows):
    """The table of rotations, and the steps that move a rotation on."""

    async def open(self) -> list[RotationRow]:
        """Return the rotations under way, the oldest first."""
        rows = await self._all(
            f"SELECT {_FIELDS} FROM rotations WHERE ended_ms IS NULL ORDER BY started_ms, id"
        )
        return [RotationRow(*row) for row in rows]

    async def all(self, limit: int) -> list[RotationRow]:
        """Return rotations under way and ended, the latest first."""
        rows = await self._all(
            f"SELECT {_FIELDS} FROM rotations ORDER BY started_ms DESC, id DESC LIMIT $1", limit
        )
        return [RotationRow(*row) for row in rows]

    async def find(self, identifier: bytes) -> RotationRow | None:
        """Return one rotation."""
        row = await self._one(f"SELECT {_FIELDS} FROM rotations WHERE id = $1", identifier)
        return None if row is None else RotationRow(*row)

    async def open_of(self, kind: str, tenant: bytes, principal: bytes, category: str) -> RotationRow | None:
        """Return the rotation of a key that is under way."""
        row = await self._one(
            f"SELECT {_FIELDS} FROM rotations WHERE ended_ms IS NULL AND kind = $1 AND tenant = $2"
            " AND principal = $3 AND category = $4",
            kind,
            tenant,
            principal,
            category,
        )
        return None if row is None else RotationRow(*row)

    # --- beginning: the new generation and the rotation's row appear together ---

    async def begin_root(self, row: RotationRow, check: bytes, slot: int, handed: bytes) -> None:
        """Begin to rotate the root key."""

        async def work(connection: Connection) -> None:
            await connection.execute(
                "INSERT INTO root_checks (generation, wrapped, slot, handed) VALUES ($1, $2, $3, $4)",
                row.new,
                check,
                slot,
                handed,
            )
            await _insert(connection, row, "root")

        await in_transaction(self._pool, work)

    async def begin_category(
        self, row: RotationRow, key: CategoryKeyRow, data_key: bytes | None, now_ms: int
    ) -> None:
        """Begin to rotate a category's key; `data_key`: what was derived from it so far, wrapped under it."""

        async def work(connection: Connection) -> None:
            await connection.execute(
                "INSERT INTO category_keys (tenant, category, generation, slot, wrapped, created_ms)"
                " VALUES ($1, $2, $3, $4, $5, $6)",
                row.tenant,
                *key,
                now_ms,
            )
            if data_key is not None:
                await connection.execute(
                    "INSERT INTO data_keys (tenant, category, parent, wrapped) VALUES ($1, $2, $3, $4)"
                    " ON CONFLICT DO NOTHING",
                    row.tenant,
                    row.category,
                    row.old,
                    data_key,
                )
            await _insert(connection, row, row.category)

        await in_transaction(self._pool, work)

    async def replace_tenant(
        self, row: RotationRow, old: TenantKeyRow, key: TenantKeyRow, categories: Sequence[CategoryKeyRow]
    ) -> None:
        """Put a new tenant key in the place of the old one with everything below it, in one transaction.

        ConflictError if the tenant's rows have changed since they were read.
        """

        async def work(connection: Connection) -> None:
            replaced = await connection.execute(
                "UPDATE tenant_keys SET slot = $3, wrapped = $4, custody = $5, generation = $6, root = $7"
                " WHERE tenant = $1 AND wrapped = $2",
                old.tenant,
                old.wrapped,
                *key[1:],
            )
            rewrapped = await connection.execute(
                "UPDATE category_keys k SET slot = c.slot, wrapped = c.wrapped"
                " FROM unnest($2::text[], $3::integer[], $4::bigint[], $5::bytea[])"
                " AS c (category, generation, slot, wrapped)"
                " WHERE k.tenant = $1 AND k.category = c.category AND k.generation = c.generation",
                old.tenant,
                *(list(column) for column in zip(*categories, strict=True)),
            )
            if _count(replaced) != 1 or _count(rewrapped) != len(categories):
                raise ConflictError("the tenant's keys have changed meanwhile")
            await _insert(connection, row, "tenant")
            await connection.execute("UPDATE rotations SET done = total WHERE id = $1", row.id)

        await in_transaction(self._pool, work)

    async def begin_principal(
        self, row: RotationRow, key: PrincipalKeyRow, wraps: Sequence[ShareWrapRow]
    ) -> None:
        """Add the next generation of a principal's key pair, with its wraps for whom it is shared with."""

        async def work(connection: Connection) -> None:
            await add_principal(connection, key)
            await add_wraps(connection, wraps)
            await _insert(connection, row, "")

        await in_transaction(self._pool, work)

    # --- batches ---

    async def wraps(self, tenant: bytes, parent: int, after: bytes, limit: int) -> list[WrapRow]:
        """Return private halves under a generation of their category's key, from a position on."""
        rows = await self._all(
            "SELECT w.principal, w.generation, k.queue, k.slot, w.wrapped, k.public_key FROM"
            " principal_wraps w"
            " JOIN principal_keys k USING (tenant, principal, generation)"
            " WHERE w.tenant = $1 AND w.parent = $2 AND w.principal >= $3 ORDER BY w.principal, w.generation"
            " LIMIT $4",
            tenant,
            parent,
            after,
            limit,
        )
        return [WrapRow(*row) for row in rows]

    async def rewrap(
        self, row: RotationRow, wraps: Sequence[tuple[bytes, int, bytes]], position: bytes
    ) -> int:
        """Store private halves (principal, generation, wrapped) under the new generation; return how many."""

        async def work(connection: Connection) -> int:
            count = _count(
                await connection.execute(
                    "UPDATE principal_wraps w SET parent = $3, wrapped = n.wrapped"
                    " FROM unnest($4::bytea[], $5::integer[], $6::bytea[]) AS n (principal,"
                    " generation, wrapped)"
                    " WHERE w.tenant = $1 AND w.parent = $2 AND w.principal = n.principal"
                    " AND w.generation = n.generation",
                    row.tenant,
                    row.old,
                    row.new,
                    *(list(column) for column in zip(*wraps, strict=True)),
                )
            )
            await _advance(connection, row, count, position)
            return count

        return await in_transaction(self._pool, work)

    async def rewind(self, row: RotationRow) -> None:
        """Begin the walk over private halves anew."""
        await self._run("UPDATE rotations SET position = '' WHERE id = $1", row.id)

    async def people(self, tenant: bytes, parent: int, limit: int) -> list[PersonKeyRow]:
        """Return persons' own keys under a generation of their category's key."""
        rows = await self._all(
            "SELECT tenant, principal, slot, parent, wrapped FROM person_keys WHERE tenant = $1 AND"
            " parent = $2"
            " LIMIT $3",
            tenant,
            parent,
            limit,
        )
        return [PersonKeyRow(*row) for row in rows]

    async def rewrap_people(self, row: RotationRow, people: Sequence[tuple[bytes, bytes]]) -> None:
        """Store persons' own keys (principal, wrapped) under the new generation."""

        async def work(connection: Connection) -> None:
            count = _count(
                await connection.execute(
                    "UPDATE person_keys p SET parent = $3, wrapped = n.wrapped"
                    " FROM unnest($4::bytea[], $5::bytea[]) AS n (principal, wrapped)"
                    " WHERE p.tenant = $1 AND p.parent = $2 AND p.principal = n.principal",
                    row.tenant,
                    row.old,
                    row.new,
                    *(list(column) for column in zip(*people, strict=True)),
                )
            )
            await _advance(connection, row, count, row.position)

        await in_transaction(self._pool, work)

    async def rewrap_data_key(self, row: RotationRow, wrapped: bytes) -> None:
        """Store a category's data key under the new generation."""

        async def work(connection: Connection) -> None:
            await connection.execute(
                "UPDATE data_keys SET parent = $4, wrapped = $5 WHERE tenant = $1 AND category = $2"
                " AND parent = $3",
                row.tenant,
                row.category,
                row.old,
                row.new,
                wrapped,
            )
            await _advance(connection, row, 1, row.position)

        await in_transaction(self._pool, work)

    async def tenants_under(self, root: int, limit: int) -> list[TenantKeyRow]:
        """Return tenants' keys that a generation of the root key wraps."""
        rows = await self._all(
            "SELECT tenant, slot, wrapped, custody, generation, root FROM tenant_keys WHERE root = $1"
            " ORDER BY tenant LIMIT $2",
            root,
            limit,
        )
        return [TenantKeyRow(*row) for row in rows]

    async def rewrap_tenants(self, row: RotationRow, keys: Sequence[tuple[bytes, bytes, bytes]]) -> int:
        """Store tenants' keys (tenant, wrapped before, wrapped) under the new root key; return how many."""

        async def work(connection: Connection) -> int:
            count = _count(
                await connection.execute(
                    "UPDATE tenant_keys t SET root = $2, wrapped = n.wrapped"
                    " FROM unnest($3::bytea[], $4::bytea[], $5::bytea[]) AS n (tenant, before, wrapped)"
                    " WHERE t.root = $1 AND t.tenant = n.tenant AND t.wrapped = n.before",
                    row.old,
                    row.new,
                    *(list(column) for column in zip(*keys, strict=True)),
                )
            )
            await _advance(connection, row, count, row.position)
            return count

        return await in_transaction(self._pool, work)

    async def named_under(self, root: int, limit: int) -> list[tuple[str, bytes, bytes]]:
        """Return named keys (name, wrapped, public part) that a generation of the root key wraps."""
        rows = await self._all(
            "SELECT name, wrapped, public FROM named_keys WHERE root = $1 ORDER BY name LIMIT $2", root, limit
        )
        return [(row[0], row[1], row[2]) for row in rows]

    async def rewrap_named(self, row: RotationRow, keys: Sequence[tuple[str, bytes, bytes]]) -> int:
        """Store named keys (name, wrapped before, wrapped) under the new root key; return how many."""

        async def work(connection: Connection) -> int:
            count = _count(
                await connection.execute(
                    "UPDATE named_keys k SET root = $2, wrapped = n.wrapped"
                    " FROM unnest($3::text[], $4::bytea[], $5::bytea[]) AS n (name, before, wrapped)"
                    " WHERE k.root = $1 AND k.name = n.name AND k.wrapped = n.before",
                    row.old,
                    row.new,
                    *(list(column) for column in zip(*keys, strict=True)),
                )
            )
            await _advance(connection, row, count, row.position)
            return count

        return await in_transaction(self._pool, work)

    # --- the end: the old generation's row goes, then its slot, then the rotation is over ---

    async def drop_root(self, row: RotationRow) -> RotationRow:
        """Drop the old root key's row; ConflictError while something is still wrapped under it."""

        async def work(connection: Connection) -> RotationRow:
            slot = await connection.fetchval(
                "DELETE FROM root_checks WHERE generation = $1 RETURNING slot", row.old
            )
            await connection.execute("UPDATE root_checks SET handed = NULL WHERE generation = $1", row.new)
            left = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM tenant_keys WHERE root = $1)"
                " OR EXISTS (SELECT FROM named_keys WHERE root = $1)",
                row.old,
            )
            return await _to_erase(connection, row, slot, left=left)

        return await in_transaction(self._pool, work)

    async def drop_category(self, row: RotationRow) -> RotationRow:
        """Drop the old generation of a category's key; ConflictError while something is wrapped under it."""

        async def work(connection: Connection) -> RotationRow:
            slot = await connection.fetchval(
                "DELETE FROM category_keys WHERE tenant = $1 AND category = $2 AND generation = $3"
                " RETURNING slot",
                row.tenant,
                row.category,
                row.old,
            )
            left = row.category == "secret" and await connection.fetchval(
                "SELECT EXISTS (SELECT FROM principal_wraps WHERE tenant = $1 AND parent = $2)"
                " OR EXISTS (SELECT FROM person_keys WHERE tenant = $1 AND parent = $2)",
                row.tenant,
                row.old,
            )
            left = left or await connection.fetchval(
                "SELECT EXISTS (SELECT FROM data_keys WHERE tenant = $1 AND category = $2 AND parent = $3)",
                row.tenant,
                row.category,
                row.old,
            )
            return await _to_erase(connection, row, slot, left=left)

        return await in_transaction(self._pool, work)

    async def drop_principal(self, row: RotationRow) -> RotationRow:
        """Drop the old generation of a principal's key pair."""

        async def work(connection: Connection) -> RotationRow:
            slot = await connection.fetchval(
                "DELETE FROM principal_keys WHERE tenant = $1 AND principal = $2 AND generation = $3"
                " RETURNING slot",
                row.tenant,
                row.principal,
                row.old,
            )
            return await _to_erase(connection, row, slot, left=False)

        return await in_transaction(self._pool, work)

    async def count(self, row: RotationRow, done: int, total: int) -> None:
        """Say how far a rotation is."""
        await self._run("UPDATE rotations SET done = $2, total = $3 WHERE id = $1", row.id, done, total)

    async def end(self, row: RotationRow, now_ms: int, phase: str = "done") -> None:
        """End a rotation."""
        await self._run(
            "UPDATE rotations SET phase = $3, old_slot = NULL, ended_ms = $2 WHERE id = $1",
            row.id,
            now_ms,
            phase,
        )


async def _insert(connection: Connection, row: RotationRow, counted: str) -> None:
    total = f"(SELECT {_COUNTS[counted]})" if counted in _COUNTS else "0"
    await connection.execute(
        f"INSERT INTO rotations ({_FIELDS}) SELECT $1, $3, $2, $4, $5, $6, $7, $8, $9, $10, 0,"
        f" {total}, $11, NULL",
        row.id,
        row.tenant,
        row.kind,
        row.principal,
        row.category,
        row.old,
        row.new,
        row.phase,
        row.old_slot,
        row.position,
        row.started_ms,
    )


async def _advance(connection: Connection, row: RotationRow, count: int, position: bytes) -> None:
    await connection.execute(
        "UPDATE rotations SET done = done + $2, position = $3 WHERE id = $1", row.id, count, position
    )


async def _to_erase(connection: Connection, row: RotationRow, slot: int | None, *, left: Any) -> RotationRow:
    if left:
        raise ConflictError("something is still wrapped under the old key")
    await connection.execute(
        "UPDATE rotations SET phase = 'erasing', old_slot = $2 WHERE id = $1", row.id, slot
    )
    return row._replace(phase="erasing", old_slot=slot)


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
