"""How the row families of kms speak to their database."""

from typing import Any

import asyncpg

from postkeep.stores.postgres import Pool, database_errors


class KmsRows:
    """Runs statements on the pool of kms; UnavailableError while the database is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def _one(self, query: str, *arguments: object) -> asyncpg.Record | None:
        with database_errors():
            return await self._pool.fetchrow(query, *arguments)

    async def _all(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        with database_errors():
            return await self._pool.fetch(query, *arguments)

    async def _value(self, query: str, *arguments: object) -> Any:
        with database_errors():
            return await self._pool.fetchval(query, *arguments)

    async def _run(self, query: str, *arguments: object) -> None:
        with database_errors():
            await self._pool.execute(query, *arguments)
