"""Rows of the steward: destruction orders with their certificates, and legal holds; every change durable."""

from typing import Final

from postkeep.stores.postgres import Pool, database_errors

MIGRATIONS: Final = "postkeep.stores.sql.steward"
LISTED_MAX: Final = 1000  # rows in one answer: a list that a person still reads

_SAVE_ORDER: Final = """
INSERT INTO orders (id, made_ms, open, body) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET open = excluded.open, body = excluded.body
"""
_SAVE_HOLD: Final = """
INSERT INTO holds (id, made_ms, standing, body) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET standing = excluded.standing, body = excluded.body
"""


class OrderRows:
    """The tables `orders` and `holds`; UnavailableError while the database is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def save_order(self, order: bytes, made_ms: int, body: bytes, *, is_open: bool) -> None:
        """Keep an order as it stands now."""
        with database_errors():
            await self._pool.execute(_SAVE_ORDER, order, made_ms, is_open, body)

    async def order(self, order: bytes) -> bytes | None:
        """Return an order's body."""
        with database_errors():
            body: bytes | None = await self._pool.fetchval("SELECT body FROM orders WHERE id = $1", order)
        return body

    async def open_orders(self) -> list[bytes]:
        """Return the bodies of orders that have a step to take, the oldest first."""
        with database_errors():
            rows = await self._pool.fetch("SELECT body FROM orders WHERE open ORDER BY made_ms, id")
        return [row[0] for row in rows]

    async def orders(self, limit: int) -> list[bytes]:
        """Return the bodies of the newest orders."""
        with database_errors():
            rows = await self._pool.fetch(
                "SELECT body FROM orders ORDER BY made_ms DESC, id DESC LIMIT $1", min(limit, LISTED_MAX)
            )
        return [row[0] for row in rows]

    async def save_certificate(self, order: bytes, certificate: bytes) -> None:
        """Keep an order's certificate; the first one stands."""
        with database_errors():
            await self._pool.execute(
                "UPDATE orders SET certificate = coalesce(certificate, $2) WHERE id = $1", order, certificate
            )

    async def certificate(self, order: bytes) -> bytes | None:
        """Return an order's certificate."""
        with database_errors():
            found: bytes | None = await self._pool.fetchval(
                "SELECT certificate FROM orders WHERE id = $1", order
            )
        return found

    async def save_hold(self, hold: bytes, made_ms: int, body: bytes, *, standing: bool) -> None:
        """Keep a hold as it stands now."""
        with database_errors():
            await self._pool.execute(_SAVE_HOLD, hold, made_ms, standing, body)

    async def hold(self, hold: bytes) -> bytes | None:
        """Return a hold's body."""
        with database_errors():
            body: bytes | None = await self._pool.fetchval("SELECT body FROM holds WHERE id = $1", hold)
        return body

    async def standing_holds(self) -> list[bytes]:
        """Return the bodies of holds that are not released, the oldest first."""
        with database_errors():
            rows = await self._pool.fetch("SELECT body FROM holds WHERE standing ORDER BY made_ms, id")
        return [row[0] for row in rows]

    async def holds(self, limit: int) -> list[bytes]:
        """Return the bodies of the newest holds, released ones too."""
        with database_errors():
            rows = await self._pool.fetch(
                "SELECT body FROM holds ORDER BY made_ms DESC, id DESC LIMIT $1", min(limit, LISTED_MAX)
            )
        return [row[0] for row in rows]
