"""Connections kept at hand for a statement that runs all the time.

To take a connection out of asyncpg's pool and put it back costs a process more than the statement in between.
"""

from typing import Any, Final, TypeAlias

from asyncpg import InterfaceError, Record
from asyncpg.pool import PoolConnectionProxy

from postkeep.stores.postgres import Pool

KEPT_MAX: Final = 3
"""Connections kept while idle: for the vault's two groups of deposits and a reader. Others need some too."""

Taken: TypeAlias = "PoolConnectionProxy[Record]"


class KeptConnections:
    """Runs single statements, each in a transaction of its own, on connections that stay taken."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._idle: list[Taken] = []
        self._closed = False

    async def fetchval(self, statement: str, *arguments: object) -> Any:
        """Run a statement; return the first value of its answer. Raises what asyncpg raises."""
        row = await self.fetchrow(statement, *arguments)
        return None if row is None else row[0]

    async def fetchrow(self, statement: str, *arguments: object) -> Record | None:
        """Run a statement; return the first row of its answer. Raises what asyncpg raises."""
        connection = await self._take()
        try:
            row = await connection.fetchrow(statement, *arguments)
        except BaseException:
            await self._pool.release(connection)  # the pool sorts out what has become of it
            raise
        if self._closed or len(self._idle) >= KEPT_MAX:
            await self._pool.release(connection)
        else:
            self._idle.append(connection)
        return row

    async def close(self) -> None:
        """Give all connections back; those in use follow when their statements end."""
        self._closed = True
        while self._idle:
            await self._pool.release(self._idle.pop())

    async def _take(self) -> Taken:
        while self._idle:
            connection = self._idle.pop()
            if _is_open(connection):
                return connection
            await self._pool.release(connection)
        return await self._pool.acquire()


def _is_open(connection: Taken) -> bool:
    try:
        return not connection.is_closed()
    except InterfaceError:
        return False  # the pool has taken it back already, as the server had ended it
