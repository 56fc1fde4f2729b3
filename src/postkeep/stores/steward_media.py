"""Rows of the media register; every change durable."""

from typing import Final

from postkeep.stores.postgres import Pool, database_errors

LISTED_MAX: Final = 5000  # rows in one answer: the drives of a large machine room

_SAVE: Final = "UPDATE media SET body = $2 WHERE asset = $1"
_ADD: Final = "INSERT INTO media (asset, tag, made_ms, body) VALUES ($1, $2, $3, $4)"


class MediaRows:
    """The table `media`; UnavailableError while the database is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, asset: bytes, tag: str, made_ms: int, body: bytes) -> None:
        """Add an asset; the caller has looked that its tag is free."""
        with database_errors():
            await self._pool.execute(_ADD, asset, tag, made_ms, body)

    async def save(self, asset: bytes, body: bytes) -> None:
        """Keep an asset as it stands now."""
        with database_errors():
            await self._pool.execute(_SAVE, asset, body)

    async def tagged(self, tag: str) -> bytes | None:
        """Return the body of the asset with this tag."""
        with database_errors():
            body: bytes | None = await self._pool.fetchval("SELECT body FROM media WHERE tag = $1", tag)
        return body

    async def all(self) -> list[bytes]:
        """Return the bodies, by tag."""
        with database_errors():
            rows = await self._pool.fetch("SELECT body FROM media ORDER BY tag LIMIT $1", LISTED_MAX)
        return [row[0] for row in rows]
