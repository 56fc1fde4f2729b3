"""Rows of sealed entries: annotations of mailboxes and accounts."""

from typing import Final, NamedTuple

import asyncpg

from postkeep.stores.postgres import Connection, Source

Record = asyncpg.Record

_SINCE: Final = """
SELECT p.entries_version, e.mailbox, e.scope, e.version, e.epoch, e.epoch_index, e.sealed
FROM principals p
LEFT JOIN entries e ON e.tenant = p.tenant AND e.principal = p.principal AND e.version > $3
    AND ($4::bytea IS NULL OR e.mailbox = $4)
WHERE p.tenant = $1 AND p.principal = $2
"""

_USED: Final = """
SELECT coalesce(sum(octet_length(sealed)), 0)::bigint FROM entries
WHERE tenant = $1 AND principal = $2 AND NOT (mailbox = $3 AND scope = $4)
"""

_ADVANCE: Final = """
UPDATE principals SET entries_version = entries_version + 1 WHERE tenant = $1 AND principal = $2
RETURNING entries_version
"""

_PUT: Final = """
INSERT INTO entries (tenant, principal, mailbox, scope, version, epoch, epoch_index, sealed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant, principal, mailbox, scope) DO UPDATE
SET version = excluded.version, epoch = excluded.epoch, epoch_index = excluded.epoch_index,
    sealed = excluded.sealed
"""


class BlobPlace(NamedTuple):
    """Which blob."""

    tenant: bytes
    principal: bytes
    mailbox: bytes
    scope: int


async def read_entries(
    source: Source, tenant: bytes, principal: bytes, since: int, mailbox: bytes | None
) -> list[Record]:
    """Return the blobs of a mailbox (None: of all) written after a version, each row with the principal's
    version; where there are none, one row without a mailbox, and no row for a principal that is not there."""
    return await source.fetch(_SINCE, tenant, principal, since, mailbox)


async def entries_version(connection: Connection, place: BlobPlace) -> int:
    """Return the version of a blob, 0 where there is none; `lock_principal` first."""
    found = await connection.fetchval(
        "SELECT version FROM entries WHERE tenant = $1 AND principal = $2 AND mailbox = $3 AND scope = $4",
        *place,
    )
    return int(found or 0)


async def entries_octets(connection: Connection, place: BlobPlace) -> int:
    """Return how many octets the principal's other blobs take up."""
    return int(await connection.fetchval(_USED, *place))


async def put_entries(
    connection: Connection, place: BlobPlace, epoch: bytes, index: int, sealed: bytes
) -> int:
    """Store a blob; return its version, which is the principal's new one."""
    version = int(await connection.fetchval(_ADVANCE, place.tenant, place.principal))
    await connection.execute(_PUT, *place, version, epoch, index, sealed)
    return version
