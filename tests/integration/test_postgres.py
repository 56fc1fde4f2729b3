"""Migrations and the pool against a real PostgreSQL."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import asyncpg
import pytest

from postkeep.base.errors import ConflictError, IntegrityError, UnavailableError
from postkeep.stores.postgres import Connection, Migration, in_transaction, migrate, open_pool

ONE = Migration(1, "one", "CREATE TABLE animal (name text PRIMARY KEY); INSERT INTO animal VALUES ('cow')")
TWO = Migration(2, "two", "ALTER TABLE animal ADD legs int NOT NULL DEFAULT 4")
BROKEN = Migration(2, "two", "ALTER TABLE animal ADD legs int; SELECT 1/0")


def run(job: Coroutine[Any, Any, None]) -> None:
    asyncio.run(job)


async def _columns(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    rows = await connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'animal' ORDER BY 1"
    )
    return [row[0] for row in rows]


def test_migrations_are_applied_once_and_in_order(dsn: str) -> None:
    async def job() -> None:
        connection = await asyncpg.connect(dsn)
        await migrate(connection, "zoo", [ONE])
        assert await _columns(connection) == ["name"]
        await migrate(connection, "zoo", [ONE, TWO])
        await migrate(connection, "zoo", [ONE, TWO])
        assert await _columns(connection) == ["legs", "name"]
        assert await connection.fetchval("SELECT count(*) FROM animal") == 1
        await connection.close()

    run(job())


def test_a_migration_that_fails_leaves_nothing_behind(dsn: str) -> None:
    async def job() -> None:
        connection = await asyncpg.connect(dsn)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await migrate(connection, "zoo", [ONE, BROKEN])
        assert await _columns(connection) == ["name"]
        await migrate(connection, "zoo", [ONE, TWO])
        assert await _columns(connection) == ["legs", "name"]
        await connection.close()

    run(job())


def test_a_changed_migration_and_a_later_database_are_refused(dsn: str) -> None:
    async def job() -> None:
        connection = await asyncpg.connect(dsn)
        await migrate(connection, "zoo", [ONE, TWO])
        with pytest.raises(IntegrityError):
            await migrate(connection, "zoo", [ONE, BROKEN])
        with pytest.raises(ConflictError):
            await migrate(connection, "zoo", [ONE])
        await connection.close()

    run(job())


def test_two_processes_that_migrate_at_once_do_not_disturb_each_other(dsn: str) -> None:
    async def job() -> None:
        connections = [await asyncpg.connect(dsn) for _ in range(4)]
        await asyncio.gather(*(migrate(connection, "zoo", [ONE, TWO]) for connection in connections))
        assert await _columns(connections[0]) == ["legs", "name"]
        for connection in connections:
            await connection.close()

    run(job())


def test_a_database_that_does_not_answer_is_unavailable(tmp_path: object) -> None:
    async def job() -> None:
        with pytest.raises(UnavailableError):
            await open_pool(f"postgresql://nobody@/nothing?host={tmp_path}")

    run(job())


def test_the_pool_gives_connections_that_speak_utc(dsn: str) -> None:
    async def job() -> None:
        pool = await open_pool(dsn)
        assert await pool.fetchval("SHOW timezone") == "UTC"
        await pool.close()

    run(job())


def test_a_transaction_cut_short_is_rolled_back_before_its_connection_serves_again(dsn: str) -> None:
    async def job() -> None:
        pool = await open_pool(dsn, size_max=1)
        await pool.execute("CREATE TABLE animal (name text)")
        begun = asyncio.Event()

        async def cut_short() -> None:
            async with pool.acquire() as connection:
                await connection.execute("BEGIN")
                await connection.execute("INSERT INTO animal VALUES ('cow')")
                begun.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(cut_short())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await pool.fetchval("SELECT count(*) FROM animal") == 0
        async with pool.acquire() as connection:
            assert not connection.is_in_transaction()
        await pool.close()

    run(job())


def test_a_transaction_cancelled_in_the_middle_of_a_statement_leaves_nothing_open(dsn: str) -> None:
    async def job() -> None:
        pool = await open_pool(dsn, size_max=1)
        await pool.execute("CREATE TABLE animal (name text)")

        async def work(connection: Connection) -> None:
            await connection.execute("INSERT INTO animal VALUES ('cow')")
            await connection.execute("SELECT pg_sleep(60)")

        task = asyncio.create_task(in_transaction(pool, work))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await pool.fetchval("SELECT count(*) FROM animal") == 0
        async with pool.acquire() as connection:
            assert not connection.is_in_transaction()
        await pool.close()

    run(job())
