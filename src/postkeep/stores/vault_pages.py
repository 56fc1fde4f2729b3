"""Rows of pages. Whoever puts or drops one holds the lock of its mailbox's row."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from postkeep.stores.postgres import Connection, Pool
from postkeep.stores.vault_deposits import columns
from postkeep.stores.vault_messages import Ranges, split_ranges

Record = asyncpg.Record

# A page is exact if the UIDs it was made of are all that its block has now.
_PUT: Final = """
INSERT INTO pages (tenant, mailbox, kind, block, messages, page, epoch, epoch_index, sealed, slot)
SELECT $1, $2, n.kind, n.block, length(n.uids) / 4, n.page, n.epoch, n.epoch_index, n.sealed, n.slot
FROM unnest($3::smallint[], $4::int[], $5::bytea[], $6::bytea[], $7::bytea[], $8::int[], $9::bytea[],
            $10::bigint[])
     AS n (kind, block, uids, page, epoch, epoch_index, sealed, slot)
CROSS JOIN LATERAL (
    SELECT string_agg(substring(int8send(m.uid) FROM 5), '') AS uids
    FROM (
        SELECT uid FROM messages
        WHERE tenant = $1 AND mailbox = $2
          AND uid BETWEEN n.block::bigint << $11 AND (n.block::bigint + 1 << $11) - 1
        ORDER BY uid OFFSET 0
    ) AS m
) AS there
WHERE n.uids = there.uids
ON CONFLICT DO NOTHING
RETURNING slot
"""

# The size of what is sealed is read without reading it. An answer ends before the page that no longer fits.
_READ: Final = """
SELECT q.block, q.page, q.epoch, q.epoch_index, q.slot, q.messages, q.sealed, q.pages
FROM (
    SELECT p.*, count(*) OVER () AS pages,
           sum(octet_length(p.sealed)) OVER (ORDER BY p.block) AS octets,
           row_number() OVER (ORDER BY p.block) AS place
    FROM mailboxes x
    CROSS JOIN unnest($5::int[], $6::int[]) AS r (low, high)
    CROSS JOIN LATERAL (
        SELECT * FROM pages
        WHERE tenant = $1 AND mailbox = $2 AND kind = $4 AND block BETWEEN r.low AND r.high
        ORDER BY block LIMIT $7 + 1
    ) AS p
    WHERE x.tenant = $1 AND x.mailbox = $2 AND x.principal = $3
) AS q
WHERE (q.octets <= $8 OR q.place = 1) AND q.place <= $7
ORDER BY q.block
"""

_DROP: Final = """
DELETE FROM pages
WHERE tenant = $1 AND mailbox = $2 AND kind = ANY ($3::smallint[]) AND block = ANY ($4::int[])
RETURNING slot
"""

_DROP_MAILBOX: Final = "DELETE FROM pages WHERE tenant = $1 AND mailbox = $2 RETURNING slot"

_DROP_SOME: Final = """
DELETE FROM pages WHERE (tenant, mailbox, kind, block) IN (
    SELECT tenant, mailbox, kind, block FROM pages WHERE tenant = $1 LIMIT $2
)
RETURNING slot
"""


class PageInsert(NamedTuple):
    """A new page; its wraps are durable."""

    kind: int
    block: int
    uids: bytes
    """u32 big-endian."""
    page: bytes
    epoch: bytes
    epoch_index: int
    sealed: bytes
    slot: int


async def put_pages(
    connection: Connection, tenant: bytes, mailbox: bytes, pages: Sequence[PageInsert], shift: int
) -> set[int]:
    """Store pages of blocks of 2**shift UIDs that are exact and not there yet; return the slots of those
    stored."""
    parts = columns(pages, len(PageInsert._fields))
    rows = await connection.fetch(_PUT, tenant, mailbox, *parts, shift)
    return {row[0] for row in rows}


async def read_pages(  # noqa: PLR0917 - a place and a part of it
    pool: Pool,
    tenant: bytes,
    principal: bytes,
    mailbox: bytes,
    kind: int,
    blocks: Ranges,
    pages_max: int,
    octets_max: int,
) -> list[Record]:
    """Return block, page, epoch, index, slot, messages and sealed of the first pages, at least one, by block,
    and as `pages` how many there are."""
    lows, highs = split_ranges(blocks)
    return await pool.fetch(_READ, tenant, mailbox, principal, kind, lows, highs, pages_max, octets_max)


async def drop_pages(
    connection: Connection, tenant: bytes, mailbox: bytes, kinds: Sequence[int], blocks: Sequence[int]
) -> list[int]:
    """Drop the pages of these blocks; return their slots."""
    return [row[0] for row in await connection.fetch(_DROP, tenant, mailbox, kinds, blocks)]


async def drop_mailbox_pages(connection: Connection, tenant: bytes, mailbox: bytes) -> list[int]:
    """Drop all pages of a mailbox; return their slots."""
    return [row[0] for row in await connection.fetch(_DROP_MAILBOX, tenant, mailbox)]


async def drop_some_pages(connection: Connection, tenant: bytes, limit: int) -> list[int]:
    """Drop some pages of a tenant; return their slots."""
    return [row[0] for row in await connection.fetch(_DROP_SOME, tenant, limit)]
