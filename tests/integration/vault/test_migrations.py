"""The schema grows from nothing and from every earlier version, and keeps the mail that is there."""

import asyncio

import asyncpg
import pytest

from postkeep.base.ids import new_id
from postkeep.services.vault.service import MIGRATIONS
from postkeep.stores.postgres import Connection, load_migrations, migrate
from postkeep.stores.vault_borders import runs_left, unpack_borders

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


def test_what_had_gone_before_expunges_were_kept_is_worked_out_from_what_is_there(dsn: str) -> None:
    """A mailbox of the schema before: UIDs 2, 5 to 6 and 9 are gone, most of it long forgotten (J7)."""
    before = next(number for number, step in enumerate(STEPS) if step.name == "columns")

    async def job() -> None:
        connection = await asyncpg.connect(dsn)
        await migrate(connection, "vault", STEPS[:before])
        await _put_mail(connection)
        await connection.execute(
            "UPDATE mailboxes SET uid_next = 10, highest_modseq = 30, vanished_since = 20, messages = 5"
        )
        await connection.execute(
            "INSERT INTO expunged (tenant, mailbox, modseq, lows, highs) VALUES ($1, $2, 25, '{9}', '{9}')",
            TENANT,
            MAILBOX,
        )
        for uid, words in ((1, None), (3, ["Work", "b"]), (4, ["work"]), (7, None), (8, ["c"])):
            await connection.execute(
                "INSERT INTO messages (tenant, mailbox, uid, modseq, internal_ms, slot, size, epoch_index,"
                " flags, label, body, epoch, keywords)"
                " VALUES ($1, $2, $3, $3, 1, $3, 1, 1, 1, 0, $1, $1, $4)",
                TENANT,
                MAILBOX,
                uid,
                words,
            )
        await migrate(connection, "vault", STEPS)
        rows = await connection.fetch("SELECT modseq, borders FROM expunged")
        assert [(row[0], unpack_borders(row[1])) for row in rows] == [(30, [(2, 2), (5, 6), (9, 9)])]
        assert list(runs_left([rows[0][1]], 10)) == [1, 1, 3, 4, 7, 8]
        assert await connection.fetchval("SELECT array_agg(saved_ms) FROM messages") == [0] * 5
        keywords = await connection.fetchval("SELECT keywords FROM mailboxes")
        assert sorted(word.lower() for word in keywords) == ["b", "c", "work"]
        await connection.close()

    asyncio.run(job())
