"""Statements of upkeep, removal and checking: they look at many rows, and change few at a time."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import asyncpg

from postkeep.stores.packs import Frame, Location
from postkeep.stores.postgres import Connection, Pool, Source
from postkeep.stores.vault_borders import merged, pack_borders
from postkeep.stores.vault_graves import GRAVES
from postkeep.stores.vault_holds import HELD
from postkeep.stores.vault_rights import drop_rights_of

Record = asyncpg.Record

SCAN_ROWS: Final = 10_000  # rows fetched at once while walking a table

_SLOTS_IN_USE: Final = """
SELECT slot FROM messages WHERE slot >= $1 AND slot < $2
UNION ALL SELECT slot FROM pages WHERE slot >= $1 AND slot < $2
UNION ALL SELECT slot FROM queue WHERE slot >= $1 AND slot < $2
UNION ALL SELECT slot FROM segments WHERE slot >= $1 AND slot < $2
UNION ALL SELECT slot FROM slot_erasures WHERE slot >= $1 AND slot < $2
"""

_LIVE: Final = """
SELECT f.number, b.body IS NOT NULL AS known, coalesce(b.refs > 0, false) AS live
FROM unnest($1::int[], $2::bytea[], $3::bytea[], $4::bigint[]) AS f (number, tenant, body, "offset")
LEFT JOIN bodies b ON b.tenant = f.tenant AND b.body = f.body AND b.pack = $5 AND b."offset" = f."offset"
"""

_LOCK_PACK: Final = """
INSERT INTO packs AS p (pack) VALUES ($1) ON CONFLICT (pack) DO UPDATE SET pack = p.pack
"""

_MOVE: Final = """
WITH locked AS MATERIALIZED (
    SELECT b.tenant, b.body, m.pack, m."offset"
    FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::int[], $5::bigint[])
         AS m (tenant, body, old_offset, pack, "offset")
    JOIN bodies b ON b.tenant = m.tenant AND b.body = m.body
    WHERE b.pack = $6 AND b."offset" = m.old_offset AND b.refs > 0
    ORDER BY b.tenant, b.body
    FOR UPDATE OF b
)
UPDATE bodies b SET pack = l.pack, "offset" = l."offset"
FROM locked l
WHERE b.tenant = l.tenant AND b.body = l.body
RETURNING b.tenant, b.body
"""

_LONG_HISTORIES: Final = """
SELECT tenant, mailbox FROM expunged GROUP BY tenant, mailbox HAVING count(*) > $1
"""

_OLD_HISTORY: Final = """
SELECT modseq, borders FROM expunged WHERE tenant = $1 AND mailbox = $2 ORDER BY modseq DESC OFFSET $3
FOR UPDATE
"""

_HISTORIES: Final = """
SELECT b.tenant, b.mailbox, b.uid_next, ARRAY(
    SELECT e.borders FROM expunged e WHERE e.tenant = b.tenant AND e.mailbox = b.mailbox ORDER BY e.modseq
) AS history
FROM mailboxes b WHERE b.principal NOT IN ($1, $2)
"""

_COUNTS_WRONG: Final = """
SELECT m.tenant, m.mailbox
FROM mailboxes m
LEFT JOIN (
    SELECT tenant, mailbox, count(*) AS messages, count(*) FILTER (WHERE flags & 1 = 0) AS unseen,
           count(*) FILTER (WHERE flags & 8 <> 0) AS deleted, sum(size) AS size, max(uid) AS uid,
           max(modseq) AS modseq
    FROM messages GROUP BY tenant, mailbox
) AS c USING (tenant, mailbox)
WHERE (m.messages, m.unseen, m.deleted, m.size)
      IS DISTINCT FROM (coalesce(c.messages, 0), coalesce(c.unseen, 0), coalesce(c.deleted, 0),
                        coalesce(c.size, 0))
   OR coalesce(c.uid, 0) >= m.uid_next OR coalesce(c.modseq, 0) > m.highest_modseq
"""

_QUOTAS_WRONG: Final = """
SELECT p.tenant, p.principal
FROM principals p
LEFT JOIN (
    SELECT tenant, principal, sum(messages) AS messages, sum(size) AS size
    FROM mailboxes GROUP BY tenant, principal
) AS c USING (tenant, principal)
WHERE (p.messages, p.used_bytes) IS DISTINCT FROM (coalesce(c.messages, 0), coalesce(c.size, 0))
"""

_REFS_WRONG: Final = """
SELECT tenant, body
FROM (SELECT tenant, body, refs FROM bodies) AS b
FULL JOIN (
    SELECT tenant, body, count(*) AS refs
    FROM (
        SELECT tenant, body FROM messages
        UNION ALL SELECT tenant, body FROM queue
        UNION ALL SELECT tenant, body FROM segments
    ) AS uses
    GROUP BY tenant, body
) AS c USING (tenant, body)
WHERE coalesce(b.refs, -1) <> coalesce(c.refs, 0)
"""

_ORPHAN_MESSAGES: Final = """
SELECT m.tenant, m.mailbox FROM messages m
LEFT JOIN mailboxes b USING (tenant, mailbox)
WHERE b.mailbox IS NULL
GROUP BY m.tenant, m.mailbox
"""

_EPOCHS_MISSING: Final = """
SELECT DISTINCT m.tenant, m.epoch FROM messages m
JOIN mailboxes b USING (tenant, mailbox)
LEFT JOIN held_mailboxes h USING (tenant, mailbox)
LEFT JOIN epochs e
    ON e.tenant = m.tenant AND e.principal = coalesce(h.owner, b.principal) AND e.epoch = m.epoch
WHERE e.epoch IS NULL AND b.principal <> '\\xffffffffffffffffffffffffffffffff'::bytea
"""

_SENT_ITEMS: Final = """
SELECT q.tenant, q.item, q.body, q.slot FROM queue q
WHERE q.tenant = $1 AND EXISTS (
    SELECT FROM mailboxes b JOIN messages m ON m.tenant = b.tenant AND m.mailbox = b.mailbox
    WHERE b.tenant = $1 AND b.principal = $2 AND b.role = 'sent' AND m.body = q.body
)
ORDER BY q.item LIMIT $3 FOR UPDATE OF q
"""

# A segment is dropped with the first message of its block: as many as it is of must be there.
_SEGMENTS_STALE: Final = """
SELECT s.tenant, s.body FROM segments s
WHERE s.messages <> (
    SELECT count(*) FROM messages m
    WHERE m.tenant = s.tenant AND m.mailbox = s.mailbox
      AND m.uid BETWEEN s.block::bigint * 1024 AND s.block::bigint * 1024 + 1023
)
"""

_PAGES_WRONG: Final = """
SELECT p.tenant, p.page FROM pages p
LEFT JOIN mailboxes b USING (tenant, mailbox)
CROSS JOIN LATERAL (
    SELECT count(*) AS messages FROM messages m
    WHERE m.tenant = p.tenant AND m.mailbox = p.mailbox
      AND m.uid BETWEEN p.block::bigint << 7 AND (p.block::bigint + 1 << 7) - 1
) AS c
WHERE b.mailbox IS NULL OR p.messages <> c.messages OR b.uid_next < p.block::bigint + 1 << 7
"""

_KEYWORDS_MISSING: Final = """
SELECT DISTINCT m.tenant, m.mailbox FROM messages m
JOIN mailboxes b USING (tenant, mailbox)
LEFT JOIN held_mailboxes h USING (tenant, mailbox)
WHERE m.keywords IS NOT NULL AND h.mailbox IS NULL AND coalesce(cardinality(b.keywords), 0) < 1000
  AND EXISTS (
      SELECT FROM unnest(m.keywords) AS k (word)
      WHERE lower(k.word) NOT IN (SELECT lower(l.word) FROM unnest(b.keywords) AS l (word))
  )
"""

PROBLEM_QUERIES: Final = (
    ("page not exact", _PAGES_WRONG),
    ("keyword not listed", _KEYWORDS_MISSING),
    ("mailbox counts wrong", _COUNTS_WRONG),
    ("quota use wrong", _QUOTAS_WRONG),
    ("body references wrong", _REFS_WRONG),
    ("messages without a mailbox", _ORPHAN_MESSAGES),
    ("epoch missing", _EPOCHS_MISSING),
    ("segment of other messages", _SEGMENTS_STALE),
)
"""What must never be: a name, and the statement that lists (tenant, identifier) of every case."""


async def slots_in_use(pool: Pool, begin: int, end: int) -> AsyncIterator[list[int]]:
    """Yield the slots from `begin` to below `end` that a row refers to, in batches."""
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        cursor = await connection.cursor(_SLOTS_IN_USE, begin, end)
        while rows := await cursor.fetch(SCAN_ROWS):
            yield [row[0] for row in rows]


async def which_live(source: Source, frames: Sequence[Frame]) -> list[tuple[bool, bool]]:
    """Say of frames of one pack whether a row knows each there, and whether something refers to it."""
    if not frames:
        return []
    rows = await source.fetch(
        _LIVE,
        list(range(len(frames))),
        [frame.tenant for frame in frames],
        [frame.body for frame in frames],
        [frame.location.offset for frame in frames],
        frames[0].location.pack,
    )
    found = {number: (known, live) for number, known, live in rows}
    return [found[number] for number in range(len(frames))]


async def lock_pack(connection: Connection, pack: int) -> None:
    """Hold back everyone who would add dead bytes to this pack."""
    await connection.execute(_LOCK_PACK, pack)


async def set_dead_bytes(connection: Connection, pack: int, dead: int, *, walked: bool) -> None:
    """Set what a walk through a pack has found; `lock_pack` first."""
    await connection.execute(
        "UPDATE packs SET dead_bytes = $2, walked = $3 WHERE pack = $1", pack, dead, walked
    )


async def pack_rows(pool: Pool) -> dict[int, tuple[int, bool]]:
    """Return what is known of packs: dead bytes, and whether it was walked after it was closed."""
    rows = await pool.fetch("SELECT pack, dead_bytes, walked FROM packs")
    return {row[0]: (row[1], row[2]) for row in rows}


async def move_bodies(
    connection: Connection, pack: int, moves: Sequence[tuple[Frame, Location]]
) -> set[tuple[bytes, bytes]]:
    """Point bodies of a pack to their new places; return those that were still there to be moved."""
    rows = await connection.fetch(
        _MOVE,
        [frame.tenant for frame, _ in moves],
        [frame.body for frame, _ in moves],
        [frame.location.offset for frame, _ in moves],
        [place.pack for _, place in moves],
        [place.offset for _, place in moves],
        pack,
    )
    return {(row[0], row[1]) for row in rows}


async def pack_needed(pool: Pool, pack: int) -> bool:
    """Say whether any body in use still lies in a pack."""
    return bool(await pool.fetchval("SELECT true FROM bodies WHERE pack = $1 AND refs > 0 LIMIT 1", pack))


async def forget_pack(pool: Pool, pack: int) -> None:
    """Drop the bookkeeping of a pack that is gone."""
    await pool.execute("DELETE FROM packs WHERE pack = $1", pack)


async def forget_bodies(pool: Pool, before_ms: int) -> None:
    """Drop the rows of bodies that nothing has referred to since before a time."""
    await pool.execute("DELETE FROM bodies WHERE refs = 0 AND gone_ms < $1", before_ms)


async def long_histories(pool: Pool, above: int) -> list[tuple[bytes, bytes]]:
    """Return the mailboxes (tenant, mailbox) with more expunges on record than this."""
    return [(row[0], row[1]) for row in await pool.fetch(_LONG_HISTORIES, above)]


async def fold_history(connection: Connection, tenant: bytes, mailbox: bytes, keep: int) -> None:
    """Leave the newest expunges of a mailbox as they are and make one of all others, at the modseq of the
    newest of those. Nothing is forgotten."""
    rows = await connection.fetch(_OLD_HISTORY, tenant, mailbox, keep)
    if len(rows) <= 1:  # it is folded already
        return
    modseqs = [row["modseq"] for row in rows]
    await connection.execute(
        "DELETE FROM expunged WHERE tenant = $1 AND mailbox = $2 AND modseq = ANY ($3::bigint[])",
        tenant,
        mailbox,
        modseqs,
    )
    await connection.execute(
        "INSERT INTO expunged (tenant, mailbox, modseq, borders) VALUES ($1, $2, $3, $4)",
        tenant,
        mailbox,
        max(modseqs),
        pack_borders(merged(row["borders"] for row in rows)),
    )


async def histories(connection: Connection) -> AsyncIterator[Record]:
    """Yield tenant, mailbox, UIDNEXT and the borders of all that went, of mailboxes that somebody opens."""
    cursor = await connection.cursor(_HISTORIES, GRAVES, HELD)
    while rows := await cursor.fetch(SCAN_ROWS):
        for row in rows:
            yield row


async def read_mark(pool: Pool, name: str) -> int:
    """Return how far upkeep has come; 0 at first."""
    return int(await pool.fetchval("SELECT value FROM upkeep WHERE name = $1", name) or 0)


async def write_mark(pool: Pool, name: str, value: int) -> None:
    """Remember how far upkeep has come."""
    await pool.execute(
        "INSERT INTO upkeep (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2",
        name,
        value,
    )


async def live_bodies(connection: Connection) -> AsyncIterator[list[Record]]:
    """Yield tenant, body, pack, offset and length (with search text) of bodies in use, by place."""
    cursor = await connection.cursor(
        'SELECT tenant, body, pack, "offset", length + text_length AS length FROM bodies WHERE refs > 0 '
        'ORDER BY pack, "offset"'
    )
    while rows := await cursor.fetch(SCAN_ROWS):
        yield rows


async def all_slots(connection: Connection) -> AsyncIterator[list[int]]:
    """Yield the slot of every message, queue item, page and segment, in order, in batches."""
    cursor = await connection.cursor(
        "SELECT slot FROM messages UNION ALL SELECT slot FROM queue UNION ALL SELECT slot FROM pages"
        " UNION ALL SELECT slot FROM segments ORDER BY 1"
    )
    while rows := await cursor.fetch(SCAN_ROWS):
        yield [row[0] for row in rows]


async def tenant_principals(pool: Pool, tenant: bytes) -> list[bytes]:
    """Return the principals of a tenant."""
    rows = await pool.fetch("SELECT principal FROM principals WHERE tenant = $1", tenant)
    return [row[0] for row in rows]


async def drop_principal(connection: Connection, tenant: bytes, principal: bytes) -> None:
    """Drop the rows of a principal that has no messages any more; `lock_principal` first."""
    await connection.execute(
        "DELETE FROM expunged WHERE (tenant, mailbox) IN "
        "(SELECT tenant, mailbox FROM mailboxes WHERE tenant = $1 AND principal = $2)",
        tenant,
        principal,
    )
    await drop_rights_of(connection, tenant, principal)
    for table in ("mailboxes", "entries", "epochs", "principals"):
        await connection.execute(
            f"DELETE FROM {table} WHERE tenant = $1 AND principal = $2",  # noqa: S608 - from the line above
            tenant,
            principal,
        )


async def queued_items(connection: Connection, tenant: bytes, limit: int) -> list[Record]:
    """Lock and return queue items of a tenant: tenant, item, body, slot."""
    return await connection.fetch(
        "SELECT tenant, item, body, slot FROM queue WHERE tenant = $1 ORDER BY item LIMIT $2 FOR UPDATE",
        tenant,
        limit,
    )


async def sent_items(connection: Connection, tenant: bytes, principal: bytes, limit: int) -> list[Record]:
    """Lock and return queue items whose message lies in the principal's Sent: tenant, item, body, slot."""
    return await connection.fetch(_SENT_ITEMS, tenant, principal, limit)


async def drop_tenant(connection: Connection, tenant: bytes) -> None:
    """Drop what is left of a tenant without principals: epochs of its queue, bodies that are gone."""
    await connection.execute("DELETE FROM epochs WHERE tenant = $1", tenant)
    await connection.execute("DELETE FROM bodies WHERE tenant = $1 AND refs = 0", tenant)
