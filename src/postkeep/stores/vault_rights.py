"""Rows of rights: what others than the owner may do with a mailbox."""

from typing import Final, NamedTuple

from asyncpg import Record

from postkeep.stores.postgres import Connection, Source


class RightsRow(NamedTuple):
    """The rights of one reader on one mailbox of an owner, or on all of them."""

    owner: bytes
    mailbox: bytes | None
    reader: bytes
    letters: str
    until_ms: int | None

    def stands(self, now_ms: int) -> bool:
        """Whether it is in force."""
        return self.until_ms is None or now_ms < self.until_ms


async def rights_between(source: Source, tenant: bytes, owner: bytes, reader: bytes) -> list[RightsRow]:
    """Return a reader's rights on an owner's mailboxes."""
    return _rows(await source.fetch(f"{_RIGHTS} AND owner = $2 AND reader = $3", tenant, owner, reader))


async def rights_given(source: Source, tenant: bytes, owner: bytes) -> list[RightsRow]:
    """Return all rights on an owner's mailboxes."""
    return _rows(await source.fetch(f"{_RIGHTS} AND owner = $2 ORDER BY reader", tenant, owner))


async def rights_held(source: Source, tenant: bytes, reader: bytes) -> list[RightsRow]:
    """Return a reader's rights on mailboxes of others."""
    return _rows(await source.fetch(f"{_RIGHTS} AND reader = $2 ORDER BY owner", tenant, reader))


async def put_rights(connection: Connection, tenant: bytes, row: RightsRow) -> None:
    """Set a reader's rights."""
    await connection.execute(
        "INSERT INTO rights (tenant, owner, mailbox, reader, letters, until_ms)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, owner, reader, mailbox)"
        " DO UPDATE SET letters = excluded.letters, until_ms = excluded.until_ms",
        tenant,
        *row,
    )


async def drop_rights(
    connection: Connection, tenant: bytes, owner: bytes, mailbox: bytes | None, reader: bytes
) -> None:
    """Drop a reader's row."""
    await connection.execute(
        "DELETE FROM rights WHERE tenant = $1 AND owner = $2 AND mailbox IS NOT DISTINCT FROM $3"
        " AND reader = $4",
        tenant,
        owner,
        mailbox,
        reader,
    )


async def drop_rights_of(connection: Connection, tenant: bytes, principal: bytes) -> None:
    """Drop all that a principal has given and been given."""
    await connection.execute(
        "DELETE FROM rights WHERE tenant = $1 AND $2 IN (owner, reader)", tenant, principal
    )


async def advance_readers(
    connection: Connection, tenant: bytes, owner: bytes, reader: bytes | None = None
) -> None:
    """Count a change to the lists of all who have rights on an owner's mailboxes, or of just one reader: what
    they may see is part of them."""
    if reader is not None:
        await connection.execute(
            "INSERT INTO principals (tenant, principal) VALUES ($1, $2) ON CONFLICT (tenant, principal)"
            " DO UPDATE SET list_version = principals.list_version + 1",
            tenant,
            reader,
        )
        return
    await connection.execute(
        "WITH readers AS MATERIALIZED (SELECT p.tenant, p.principal FROM principals p WHERE p.tenant = $1"
        " AND p.principal IN (SELECT reader FROM rights WHERE tenant = $1 AND owner = $2)"
        " ORDER BY p.principal FOR UPDATE)"
        " UPDATE principals p SET list_version = list_version + 1 FROM readers r"
        " WHERE p.tenant = r.tenant AND p.principal = r.principal",
        tenant,
        owner,
    )


def _rows(records: list[Record]) -> list[RightsRow]:
    return [RightsRow(*record) for record in records]


_RIGHTS: Final = "SELECT owner, mailbox, reader, letters, until_ms FROM rights WHERE tenant = $1"
