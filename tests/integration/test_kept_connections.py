"""Connections that stay taken: reused, replaced when they break, given back in the end."""

import asyncio

import asyncpg
import pytest

from postkeep.stores.kept_connections import KeptConnections
from postkeep.stores.postgres import open_pool


def test_a_connection_is_reused_and_given_back_on_close(dsn: str) -> None:
    async def main() -> None:
        pool = await open_pool(dsn, size_max=2)
        kept = KeptConnections(pool)
        first = await kept.fetchval("SELECT pg_backend_pid()")
        assert await kept.fetchval("SELECT pg_backend_pid()") == first
        assert pool.get_idle_size() == pool.get_size() - 1
        slow = asyncio.create_task(kept.fetchval("SELECT 1 FROM pg_sleep(0.2)"))
        await asyncio.sleep(0.05)
        assert await kept.fetchval("SELECT pg_backend_pid()") != first
        await kept.close()
        await slow
        assert pool.get_idle_size() == pool.get_size() == 2
        await pool.close()

    asyncio.run(main())


def test_a_broken_connection_is_replaced(dsn: str) -> None:
    async def main() -> None:
        pool = await open_pool(dsn, size_max=1)
        kept = KeptConnections(pool)
        first = await kept.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(asyncpg.PostgresError):
            await kept.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")
        second = await kept.fetchval("SELECT pg_backend_pid()")
        assert second != first
        other = await asyncpg.connect(dsn)
        await other.execute("SELECT pg_terminate_backend($1)", second)
        await other.close()
        await asyncio.sleep(0.1)
        assert await kept.fetchval("SELECT pg_backend_pid()") != second
        with pytest.raises(asyncpg.DivisionByZeroError):
            await kept.fetchval("SELECT 1 / 0")
        assert await kept.fetchval("SELECT 2") == 2
        await kept.close()
        await pool.close()

    asyncio.run(main())
