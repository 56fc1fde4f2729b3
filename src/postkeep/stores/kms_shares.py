"""Rows of shares: who may have an owner's epochs opened beside the owner, and the wraps that it takes."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from postkeep.stores.kms_keys import PrincipalKeyRow, add_principal
from postkeep.stores.kms_rows import KmsRows
from postkeep.stores.postgres import Connection, in_transaction


class ShareRow(NamedTuple):
    """One reader of one owner."""

    tenant: bytes
    owner: bytes
    reader: bytes
    manages: bool
    """Whether the reader may share on, and take back from others."""
    until_ms: int | None
    """Void from this moment on, milliseconds since the epoch; None: no end."""

    def stands(self, now_ms: int) -> bool:
        """Whether it is in force."""
        return self.until_ms is None or now_ms < self.until_ms


class ShareWrapRow(NamedTuple):
    """One generation of the owner's private half, wrapped for the reader."""

    tenant: bytes
    owner: bytes
    reader: bytes
    generation: int
    slot: int
    wrapped: bytes


class KmsShareRows(KmsRows):
    """The tables of shares in the database of kms."""

    async def of_owner(self, tenant: bytes, owner: bytes) -> list[ShareRow]:
        """Return everybody whom an owner's keys are shared with."""
        rows = await self._all(f"{_SHARES} WHERE tenant = $1 AND owner = $2 ORDER BY reader", tenant, owner)
        return [ShareRow(*row) for row in rows]

    async def find(self, tenant: bytes, owner: bytes, reader: bytes) -> ShareRow | None:
        """Return one share."""
        row = await self._one(
            f"{_SHARES} WHERE tenant = $1 AND owner = $2 AND reader = $3", tenant, owner, reader
        )
        return None if row is None else ShareRow(*row)

    async def ended(self, now_ms: int, limit: int) -> list[ShareRow]:
        """Return shares whose end has passed, the earliest first."""
        rows = await self._all(f"{_SHARES} WHERE until_ms <= $1 ORDER BY until_ms LIMIT $2", now_ms, limit)
        return [ShareRow(*row) for row in rows]

    async def wraps(self, tenant: bytes, owner: bytes, reader: bytes) -> list[ShareWrapRow]:
        """Return a reader's wraps of all generations."""
        rows = await self._all(
            f"{_WRAPS} WHERE tenant = $1 AND owner = $2 AND reader = $3", tenant, owner, reader
        )
        return [ShareWrapRow(*row) for row in rows]

    async def wraps_of_generation(self, tenant: bytes, owner: bytes, generation: int) -> list[ShareWrapRow]:
        """Return all readers' wraps of one generation."""
        rows = await self._all(
            f"{_WRAPS} WHERE tenant = $1 AND owner = $2 AND generation = $3", tenant, owner, generation
        )
        return [ShareWrapRow(*row) for row in rows]

    async def add(
        self, share: ShareRow, wraps: Sequence[ShareWrapRow], pair: PrincipalKeyRow | None = None
    ) -> None:
        """Add a share or change its terms, with new wraps; all of it together with `pair`, if given."""

        async def work(connection: Connection) -> None:
            if pair is not None:
                await add_principal(connection, pair)
            await connection.execute(
                "INSERT INTO shares (tenant, owner, reader, manages, until_ms) VALUES ($1, $2, $3, $4, $5)"
                " ON CONFLICT (tenant, owner, reader) DO UPDATE SET manages = excluded.manages,"
                " until_ms = excluded.until_ms",
                *share,
            )
            await add_wraps(connection, wraps)

        await in_transaction(self._pool, work)

    async def drop(self, tenant: bytes, owner: bytes, reader: bytes) -> None:
        """Drop a share with its wraps, whose slots are erased already; the owner is due for new keys."""
        await self._run(
            "WITH due AS (INSERT INTO share_rekeys (tenant, owner) VALUES ($1, $2) ON CONFLICT DO NOTHING)"
            " DELETE FROM shares WHERE tenant = $1 AND owner = $2 AND reader = $3",
            tenant,
            owner,
            reader,
        )

    async def rekeys(self, limit: int) -> list[tuple[bytes, bytes]]:
        """Return (tenant, owner) that are due for new keys because a share was taken back."""
        rows = await self._all("SELECT tenant, owner FROM share_rekeys ORDER BY owner LIMIT $1", limit)
        return [(row[0], row[1]) for row in rows]

    async def drop_rekey(self, tenant: bytes, owner: bytes) -> None:
        """Note that an owner's next generation is begun."""
        await self._run("DELETE FROM share_rekeys WHERE tenant = $1 AND owner = $2", tenant, owner)

    async def drop_generation(self, tenant: bytes, owner: bytes, generation: int) -> None:
        """Drop all readers' wraps of one generation, whose slots are erased already."""
        await self._run(
            "DELETE FROM share_wraps WHERE tenant = $1 AND owner = $2 AND generation = $3",
            tenant,
            owner,
            generation,
        )


async def add_wraps(connection: Connection, wraps: Sequence[ShareWrapRow]) -> None:
    """Add wraps in a transaction of the caller's."""
    await connection.executemany(
        "INSERT INTO share_wraps (tenant, owner, reader, generation, slot, wrapped)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        wraps,
    )


_SHARES: Final = "SELECT tenant, owner, reader, manages, until_ms FROM shares"
_WRAPS: Final = "SELECT tenant, owner, reader, generation, slot, wrapped FROM share_wraps"
