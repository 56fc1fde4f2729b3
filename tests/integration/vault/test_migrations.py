"""The schema grows from nothing and from every earlier version, and keeps the mail that is there."""

import asyncio

import asyncpg
import pytest

from postkeep.base.ids import new_id
from postkeep.services.vault.service import MIGRATIONS
from postkeep.stores.postgres import Connection, load_migrations, migrate

STEPS = load_migrations(MIGRATIONS)
TENANT, MAILBOX, PRINCIPAL = new_id(), new_id(), new_id()

_SCHEMA = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'public' AND table_name <> 'schema_versions'
ORDER BY table_name, ordinal_position
"""
_INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"


async def _shape(connection: Connection) -> list[object]:
    columns = await connection.fetch(_SCHEMA)
    indexes = await connection.fetch(_INDEXES)
    return [tuple(row) for row in (*columns, *indexes)]


async def _put_mail(connection: Connection) -> None:
    await connection.execute("INSERT INTO principals (tenant, principal) VALUES ($1, $2)", TENANT, PRINCIPAL)
    await connection.execute(
        "INSERT INTO mailboxes (tenant, principal, mailbox, role, uid_validity) "
        "VALUES ($1, $2, $3, 'inbox', 7)",
        TENANT,
        PRINCIPAL,
        MAILBOX,
    )


@pytest.mark.parametrize("version", range(1, len(STEPS) + 1))
def test_every_earlier_schema_grows_into_the_present_one(dsn: str, version: int) -> None:
    async def job() -> None:
        connection = await asyncpg.connect(dsn)
        await migrate(connection, "vault", STEPS[:version])
        await _put_mail(connection)
        await migrate(connection, "vault", STEPS)
        assert await connection.fetchval("SELECT mailbox FROM mailboxes WHERE role = 'inbox'") == MAILBOX
        grown = await _shape(connection)
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await migrate(connection, "vault", STEPS)
        assert await _shape(connection) == grown
        await connection.close()

    asyncio.run(job())


def test_every_table_of_tenants_is_keyed_by_tenant_first(dsn: str) -> None:
    async def job() -> None:
        connection = await asyncpg.connect(dsn)
        await migrate(connection, "vault", STEPS)
        rows = await connection.fetch(
            "SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] "
            "WHERE i.indisprimary AND n.nspname = 'public'"
        )
        first = {row[0]: row[1] for row in rows}
        of_the_disk = {"packs", "upkeep", "audit_outbox", "schema_versions"}
        assert len(first) > len(of_the_disk)
        assert {name for name, column in first.items() if column != "tenant"} == of_the_disk
        await connection.close()

    asyncio.run(job())
