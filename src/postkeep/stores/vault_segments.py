"""Rows of search segments. Whoever changes them has locked their mailbox."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from postkeep.stores.packs import Location
from postkeep.stores.postgres import Connection, Pool
from postkeep.stores.vault_messages import Ranges, Record, split_ranges

_SEGMENTS: Final = """
SELECT s.block, s.body, s.epoch, s.epoch_index, s.slot, s.messages, b.pack, b."offset", b.length
FROM mailboxes x
CROSS JOIN unnest($4::int[], $5::int[]) AS r (low, high)
JOIN segments s ON s.tenant = $1 AND s.mailbox = $2 AND s.block BETWEEN r.low AND r.high
JOIN bodies b ON b.tenant = $1 AND b.body = s.body
WHERE x.tenant = $1 AND x.mailbox = $2 AND x.principal = $3
ORDER BY s.block LIMIT $6
"""

_UIDS: Final = """
SELECT uid FROM messages WHERE tenant = $1 AND mailbox = $2 AND uid BETWEEN $3 AND $4 ORDER BY uid
"""

_PUT_BODY: Final = """
INSERT INTO bodies (tenant, body, pack, "offset", length, refs, placed, summary)
VALUES ($1, $2, $3, $4, $5, 1, '\\x90', '') ON CONFLICT DO NOTHING RETURNING true
"""

_PUT: Final = """
INSERT INTO segments (tenant, mailbox, block, epoch_index, slot, messages, body, epoch)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""

_DROP: Final = """
DELETE FROM segments WHERE tenant = $1 AND mailbox = $2 AND block = ANY ($3::int[]) RETURNING body, slot
"""

_DROP_MAILBOX: Final = "DELETE FROM segments WHERE tenant = $1 AND mailbox = $2 RETURNING body, slot"

_DROP_SOME: Final = """
DELETE FROM segments WHERE (tenant, mailbox, block) IN (
    SELECT tenant, mailbox, block FROM segments WHERE tenant = $1 LIMIT $2
)
RETURNING body, slot
"""


class SegmentInsert(NamedTuple):
    """A new segment; its bytes and its wraps are durable."""

    tenant: bytes
    mailbox: bytes
    block: int
    epoch_index: int
    slot: int
    messages: int
    body: bytes
    epoch: bytes


async def read_segments(  # noqa: PLR0917 - a place and a part of it
    pool: Pool, tenant: bytes, principal: bytes, mailbox: bytes, blocks: Ranges, limit: int
) -> list[Record]:
    """Return block, body, epoch, index, slot, messages, pack, offset and length of segments, by block."""
    lows, highs = split_ranges(blocks)
    return await pool.fetch(_SEGMENTS, tenant, mailbox, principal, lows, highs, limit)


async def uids_between(
    connection: Connection, tenant: bytes, mailbox: bytes, low: int, high: int
) -> list[int]:
    """Return the UIDs of the messages in a range, ascending."""
    return [row[0] for row in await connection.fetch(_UIDS, tenant, mailbox, low, high)]


async def segment_of(connection: Connection, tenant: bytes, mailbox: bytes, block: int) -> bytes:
    """Return the name of the segment that a block has; empty: none."""
    found = await connection.fetchval(
        "SELECT body FROM segments WHERE tenant = $1 AND mailbox = $2 AND block = $3", tenant, mailbox, block
    )
    return found or b""


async def put_segment(connection: Connection, segment: SegmentInsert, location: Location) -> bool:
    """Store a segment; False: a body of this name is there already, and nothing was stored."""
    stored = await connection.fetchval(_PUT_BODY, segment.tenant, segment.body, *location)
    if stored:
        await connection.execute(_PUT, *segment)
    return bool(stored)


async def delete_segments(
    connection: Connection, tenant: bytes, mailbox: bytes, blocks: Sequence[int]
) -> list[Record]:
    """Delete the segments of blocks; return body and slot of each."""
    return await connection.fetch(_DROP, tenant, mailbox, blocks)


async def delete_mailbox_segments(connection: Connection, tenant: bytes, mailbox: bytes) -> list[Record]:
    """Delete all segments of a mailbox; return body and slot of each."""
    return await connection.fetch(_DROP_MAILBOX, tenant, mailbox)


async def delete_some_segments(connection: Connection, tenant: bytes, limit: int) -> list[Record]:
    """Delete some segments of a tenant; return body and slot of each."""
    return await connection.fetch(_DROP_SOME, tenant, limit)
