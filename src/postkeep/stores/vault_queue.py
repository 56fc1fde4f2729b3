"""Rows of the outbound queue. A lease is a claim with an end: `due_ms` of a leased item is that end, so that
the items of a relay that died come up again by themselves."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from postkeep.stores.postgres import Connection, Pool

Record = asyncpg.Record

_LEASE: Final = """
WITH due AS MATERIALIZED (
    SELECT tenant, item FROM queue
    WHERE NOT held AND due_ms <= $1 AND destination <> ALL ($2::text[])
    ORDER BY due_ms
    LIMIT $3
    FOR UPDATE SKIP LOCKED
), leased AS (
    UPDATE queue q SET due_ms = $4, lease = $5
    FROM due
    WHERE q.tenant = due.tenant AND q.item = due.item
    RETURNING q.*
)
SELECT l.tenant, l.item, l.body, l.principal, l.epoch, l.epoch_index, l.slot, l.size, l.attempts,
       l.created_ms, l.delay_notified, l.destination, l.envelope, b.length, coalesce(e.sealed, '') AS sealed
FROM leased l
JOIN bodies b USING (tenant, body)
LEFT JOIN epochs e USING (tenant, principal, epoch)
ORDER BY l.created_ms, l.item
"""

_LEASED: Final = """
SELECT q.tenant, q.body, b.pack, b."offset", b.length
FROM queue q JOIN bodies b USING (tenant, body)
WHERE q.item = $1 AND q.lease = $2 AND q.due_ms > $3
"""

_LOCK_LEASED: Final = """
SELECT q.tenant, q.item, q.body, q.slot
FROM queue q JOIN unnest($1::bytea[], $2::bytea[]) AS o (item, lease) ON q.item = o.item AND q.lease = o.lease
ORDER BY q.tenant, q.item
FOR UPDATE OF q
"""

_RENEW: Final = """
WITH held AS MATERIALIZED (
    SELECT q.tenant, q.item
    FROM queue q
    JOIN unnest($1::bytea[], $2::bytea[]) AS c (item, lease) ON q.item = c.item AND q.lease = c.lease
    ORDER BY q.tenant, q.item
    FOR UPDATE OF q
)
UPDATE queue q SET due_ms = $3 FROM held h WHERE q.tenant = h.tenant AND q.item = h.item
RETURNING q.item
"""

_AGAIN: Final = """
UPDATE queue q
SET lease = NULL, attempts = q.attempts + 1, not_before_ms = o.not_before_ms, due_ms = o.not_before_ms,
    envelope = CASE WHEN o.envelope = '' THEN q.envelope ELSE o.envelope END,
    recipients = CASE WHEN o.recipients > 0 THEN o.recipients ELSE q.recipients END,
    reason = o.reason, delay_notified = q.delay_notified OR o.delay_notified
FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bytea[], $5::int[], $6::text[], $7::bool[])
     AS o (tenant, item, not_before_ms, envelope, recipients, reason, delay_notified)
WHERE q.tenant = o.tenant AND q.item = o.item
"""

_DELETE: Final = """
DELETE FROM queue q USING unnest($1::bytea[], $2::bytea[]) AS d (tenant, item)
WHERE q.tenant = d.tenant AND q.item = d.item
"""

_LIST: Final = """
SELECT item, tenant, destination, recipients, size, attempts, created_ms, not_before_ms, held,
       lease IS NOT NULL AND due_ms > $3 AS leased, reason
FROM queue
WHERE $1::bytea IS NULL OR tenant = $1
ORDER BY created_ms, item
LIMIT $2
"""

# Acts of an administrator. An item that is being tried right now is left alone by `retry`.
ACTS: Final = {
    "retry": "UPDATE queue SET due_ms = $2, not_before_ms = $2 "
    "WHERE (cardinality($1::bytea[]) = 0 OR item = ANY ($1)) AND (lease IS NULL OR due_ms <= $2) "
    "RETURNING tenant, item",
    "hold": "UPDATE queue SET held = true WHERE (cardinality($1::bytea[]) = 0 OR item = ANY ($1)) "
    "AND NOT held AND $2::bigint IS NOT NULL RETURNING tenant, item",
    "release": "UPDATE queue SET held = false WHERE (cardinality($1::bytea[]) = 0 OR item = ANY ($1)) "
    "AND held AND $2::bigint IS NOT NULL RETURNING tenant, item",
}

_LOCK_SOME: Final = """
SELECT tenant, item, body, slot FROM queue
WHERE cardinality($1::bytea[]) = 0 OR item = ANY ($1)
ORDER BY tenant, item
FOR UPDATE
"""


class Again(NamedTuple):
    """An item that is to be tried again. Empty `envelope`, 0 `recipients`: as before."""

    tenant: bytes
    item: bytes
    not_before_ms: int
    envelope: bytes
    recipients: int
    reason: str
    delay_notified: bool


class LeaseTerms(NamedTuple):
    """A claim: its token, and from when until when it holds."""

    lease: bytes
    now_ms: int
    end_ms: int


async def lease_items(pool: Pool, terms: LeaseTerms, busy: Sequence[str], limit: int) -> list[Record]:
    """Claim due items, leaving out what others are claiming at this moment."""
    return await pool.fetch(_LEASE, terms.now_ms, busy, limit, terms.end_ms, terms.lease)


async def next_due_ms(pool: Pool, busy: Sequence[str]) -> int:
    """Return when the next item is due; 0 if nothing waits."""
    return int(
        await pool.fetchval(
            "SELECT coalesce(min(due_ms), 0) FROM queue WHERE NOT held AND destination <> ALL ($1::text[])",
            busy,
        )
    )


async def read_leased(pool: Pool, item: bytes, lease: bytes, now_ms: int) -> Record | None:
    """Return tenant, body, pack, offset and length of an item; None if the lease does not hold."""
    return await pool.fetchrow(_LEASED, item, lease, now_ms)


async def lock_leased(
    connection: Connection, items: Sequence[bytes], leases: Sequence[bytes]
) -> list[Record]:
    """Lock the items that nobody has leased since: an outcome that comes late still counts."""
    return await connection.fetch(_LOCK_LEASED, items, leases)


async def renew_leases(
    connection: Connection, claims: Sequence[tuple[bytes, bytes]], end_ms: int
) -> set[bytes]:
    """Move the end of claims (item, lease); return the items that they still hold."""
    items, leases = [claim[0] for claim in claims], [claim[1] for claim in claims]
    rows = await connection.fetch(_RENEW, items, leases, end_ms)
    return {row["item"] for row in rows}


async def lock_items(connection: Connection, items: Sequence[bytes]) -> list[Record]:
    """Lock items, or with none named all of them."""
    return await connection.fetch(_LOCK_SOME, items)


async def try_again(connection: Connection, again: Sequence[Again]) -> None:
    """Give items back to the queue."""
    if again:
        await connection.execute(_AGAIN, *(list(column) for column in zip(*again, strict=True)))


async def delete_items(connection: Connection, items: Sequence[tuple[bytes, bytes]]) -> None:
    """Delete items, given as (tenant, item)."""
    await connection.execute(_DELETE, [item[0] for item in items], [item[1] for item in items])


async def list_items(pool: Pool, tenant: bytes | None, limit: int, now_ms: int) -> list[Record]:
    """Return items for the administrator, oldest first."""
    return await pool.fetch(_LIST, tenant, limit, now_ms)


async def act_on_items(connection: Connection, act: str, items: Sequence[bytes], now_ms: int) -> list[Record]:
    """Do one of `ACTS` to items, or with none named to all of them; return (tenant, item) of each touched."""
    return await connection.fetch(ACTS[act], items, now_ms)
