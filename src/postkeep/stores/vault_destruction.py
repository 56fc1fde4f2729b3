"""Statements of destruction: looking over what there is without reading it, and deleting on an order."""

from typing import Final

import asyncpg

from postkeep.stores.postgres import Connection, Pool
from postkeep.stores.vault_messages import Ranges, split_ranges

Record = asyncpg.Record

_OUTLINE: Final = """
SELECT uid, internal_ms, size, body FROM messages
WHERE tenant = $1 AND mailbox = $2 AND uid > $3 ORDER BY uid LIMIT $4
"""

_SOME_SLOTS: Final = """
SELECT m.slot FROM mailboxes b
CROSS JOIN LATERAL (
    SELECT slot FROM messages WHERE tenant = b.tenant AND mailbox = b.mailbox ORDER BY uid DESC LIMIT $3
) AS m
WHERE b.tenant = $1 AND ($2::bytea = '' OR b.principal = $2) LIMIT $3
"""

_SLOTS_IN: Final = """
SELECT m.slot FROM unnest($3::bigint[], $4::bigint[]) AS r (low, high)
JOIN messages m ON m.tenant = $1 AND m.mailbox = $2 AND m.uid BETWEEN r.low AND r.high
LIMIT $5
"""

_COUNT_IN: Final = """
SELECT count(*) FROM unnest($3::bigint[], $4::bigint[]) AS r (low, high)
JOIN messages m ON m.tenant = $1 AND m.mailbox = $2 AND m.uid BETWEEN r.low AND r.high
"""

_DELETE_IN: Final = """
DELETE FROM messages
WHERE (tenant, mailbox, uid) IN (
    SELECT m.tenant, m.mailbox, m.uid FROM unnest($3::bigint[], $4::bigint[]) AS r (low, high)
    JOIN messages m ON m.tenant = $1 AND m.mailbox = $2 AND m.uid BETWEEN r.low AND r.high
    ORDER BY m.uid LIMIT $5
)
RETURNING uid, body, slot, size, flags
"""

_TENANT_SLOTS: Final = """
SELECT m.slot FROM mailboxes b JOIN messages m ON m.tenant = b.tenant AND m.mailbox = b.mailbox
WHERE b.tenant = $1 AND m.slot > $2
UNION SELECT q.slot FROM queue q WHERE q.tenant = $1 AND q.slot > $2
UNION SELECT s.slot FROM segments s WHERE s.tenant = $1 AND s.slot > $2
ORDER BY 1 LIMIT $3
"""

TOUCHED: Final = (
    "messages",
    "mailboxes",
    "principals",
    "bodies",
    "epochs",
    "entries",
    "expunged",
    "pages",
    "queue",
    "segments",
    "slot_erasures",
    "held_mailboxes",
    "audit_outbox",
)
"""The tables that a destruction leaves dead rows in."""


async def outline(pool: Pool, tenant: bytes, mailbox: bytes, after: int, limit: int) -> list[Record]:
    """Return UID, date, size and body of messages, by UID: what the vault itself can see of them."""
    return await pool.fetch(_OUTLINE, tenant, mailbox, after, limit)


async def some_slots(pool: Pool, tenant: bytes, principal: bytes, limit: int) -> list[int]:
    """Return the slots of some messages of a principal, or (empty principal) of a tenant."""
    return [row[0] for row in await pool.fetch(_SOME_SLOTS, tenant, principal, limit)]


async def queue_slots(pool: Pool, tenant: bytes, limit: int) -> list[int]:
    """Return the slots of some of a tenant's queue items."""
    rows = await pool.fetch("SELECT slot FROM queue WHERE tenant = $1 ORDER BY slot LIMIT $2", tenant, limit)
    return [row[0] for row in rows]


async def slots_in(pool: Pool, tenant: bytes, mailbox: bytes, ranges: Ranges, limit: int) -> list[int]:
    """Return the slots of some messages in ranges of UIDs."""
    rows = await pool.fetch(_SLOTS_IN, tenant, mailbox, *split_ranges(ranges), limit)
    return [row[0] for row in rows]


async def count_in(pool: Pool, tenant: bytes, mailbox: bytes, ranges: Ranges) -> int:
    """Count the messages in ranges of UIDs."""
    return int(await pool.fetchval(_COUNT_IN, tenant, mailbox, *split_ranges(ranges)))


async def delete_in(
    connection: Connection, tenant: bytes, mailbox: bytes, ranges: Ranges, limit: int
) -> list[Record]:
    """Delete messages in ranges of UIDs, whatever their flags."""
    return await connection.fetch(_DELETE_IN, tenant, mailbox, *split_ranges(ranges), limit)


async def tenant_slots(pool: Pool, tenant: bytes, after: int, limit: int) -> list[int]:
    """Return the slots of a tenant's messages, queue items and segments above `after`, in order."""
    return [row[0] for row in await pool.fetch(_TENANT_SLOTS, tenant, after, limit)]


async def vacuum(pool: Pool, seconds_max: float) -> None:
    """Have PostgreSQL give back the dead rows of the tables that a destruction touches."""
    for table in TOUCHED:
        await pool.execute(f"VACUUM {table}", timeout=seconds_max)
