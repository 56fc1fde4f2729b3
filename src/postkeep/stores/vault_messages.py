"""Reading rows of messages: what changed in a mailbox, summaries, and where bodies and wraps are."""

from collections.abc import Sequence
from typing import Final

import asyncpg

from postkeep.stores.postgres import Connection, Pool
from postkeep.stores.vault_borders import unpack_borders

Ranges = Sequence[tuple[int, int]]
Record = asyncpg.Record

_MAILBOX: Final = """
SELECT mailbox, role, name_epoch, name_index, name_sealed, subscribed, selectable, uid_validity, uid_next,
       highest_modseq, messages, unseen, deleted, size
FROM mailboxes
WHERE tenant = $1 AND mailbox = $2 AND principal = $3
"""

_ROWS: Final = """
SELECT uid, modseq, flags, keywords, internal_ms, size, body, label
FROM messages
WHERE tenant = $1 AND mailbox = $2
ORDER BY uid
"""

_ROWS_SINCE: Final = """
SELECT uid, modseq, flags, keywords, internal_ms, size, body, label
FROM messages
WHERE tenant = $1 AND mailbox = $2 AND modseq > $3
ORDER BY uid
"""

# OFFSET 0 keeps the planner to one look into the index for each range, however large the mailbox is.
_ROWS_IN: Final = """
SELECT m.uid, m.modseq, m.flags, m.keywords, m.internal_ms, m.size, m.body, m.label
FROM unnest($3::bigint[], $4::bigint[]) AS r (low, high)
CROSS JOIN LATERAL (
    SELECT * FROM messages WHERE tenant = $1 AND mailbox = $2 AND uid BETWEEN r.low AND r.high
    ORDER BY uid OFFSET 0
) AS m
ORDER BY m.uid
"""

# Few rows have changed and many may lie in the ranges: adding 0 keeps the planner to the index by modseq.
_ROWS_SINCE_IN: Final = """
SELECT m.uid, m.modseq, m.flags, m.keywords, m.internal_ms, m.size, m.body, m.label
FROM messages m
WHERE m.tenant = $1 AND m.mailbox = $2 AND m.modseq > $3
  AND EXISTS (
      SELECT 1 FROM unnest($4::bigint[], $5::bigint[]) AS r (low, high)
      WHERE m.uid + 0 BETWEEN r.low AND r.high
  )
ORDER BY m.uid
"""

_VANISHED: Final = """
SELECT borders FROM expunged WHERE tenant = $1 AND mailbox = $2 AND modseq > $3
"""

_SUMMARIES: Final = """
SELECT m.uid, m.body, m.epoch, m.epoch_index, m.slot, b.summary
FROM mailboxes x
CROSS JOIN unnest($4::bigint[], $5::bigint[]) AS r (low, high)
CROSS JOIN LATERAL (
    SELECT * FROM messages WHERE tenant = $1 AND mailbox = $2 AND uid BETWEEN r.low AND r.high
    ORDER BY uid OFFSET 0
) AS m
JOIN bodies b ON b.tenant = $1 AND b.body = m.body
WHERE x.tenant = $1 AND x.mailbox = $2 AND x.principal = $3
ORDER BY m.uid
"""

_LOCATIONS: Final = """
SELECT m.uid, m.body, m.epoch, m.epoch_index, m.slot, b.pack, b."offset", b.length
FROM mailboxes x
JOIN unnest($4::bigint[]) AS u (uid) ON true
JOIN messages m ON m.tenant = $1 AND m.mailbox = $2 AND m.uid = u.uid
JOIN bodies b ON b.tenant = $1 AND b.body = m.body
WHERE x.tenant = $1 AND x.mailbox = $2 AND x.principal = $3
"""


async def read_mailbox(
    connection: Connection, tenant: bytes, principal: bytes, mailbox: bytes, *, lock: bool = False
) -> Record | None:
    """Return a mailbox of this principal, None if it has no such one."""
    return await connection.fetchrow(_MAILBOX + ("FOR UPDATE" if lock else ""), tenant, mailbox, principal)


async def read_rows(
    connection: Connection, tenant: bytes, mailbox: bytes, since_modseq: int, ranges: Ranges | None
) -> list[Record]:
    """Return the rows changed since a modseq (0: all), by UID; within ranges (merged) if they are given."""
    if ranges is not None:
        lows, highs = split_ranges(ranges)
        if since_modseq <= 0:
            return await connection.fetch(_ROWS_IN, tenant, mailbox, lows, highs)
        return await connection.fetch(_ROWS_SINCE_IN, tenant, mailbox, since_modseq, lows, highs)
    if since_modseq <= 0:
        return await connection.fetch(_ROWS, tenant, mailbox)
    return await connection.fetch(_ROWS_SINCE, tenant, mailbox, since_modseq)


async def read_vanished(
    connection: Connection, tenant: bytes, mailbox: bytes, since_modseq: int
) -> list[tuple[int, int]]:
    """Return the UID ranges expunged since a modseq, in no particular order."""
    rows = await connection.fetch(_VANISHED, tenant, mailbox, since_modseq)
    return [run for row in rows for run in unpack_borders(row[0])]


async def read_summaries(
    pool: Pool, tenant: bytes, principal: bytes, mailbox: bytes, ranges: Ranges
) -> list[Record]:
    """Return UID, body, epoch, index, slot and sealed summary of messages, by UID."""
    lows, highs = split_ranges(ranges)
    return await pool.fetch(_SUMMARIES, tenant, mailbox, principal, lows, highs)


async def read_locations(
    pool: Pool, tenant: bytes, principal: bytes, mailbox: bytes, uids: Sequence[int]
) -> list[Record]:
    """Return UID, body, epoch, index, slot, pack, offset and length of messages, in no particular order."""
    return await pool.fetch(_LOCATIONS, tenant, mailbox, principal, uids)


def split_ranges(ranges: Ranges) -> tuple[list[int], list[int]]:
    """Write ranges as two lists, as unnest wants them."""
    return [low for low, _ in ranges], [high for _, high in ranges]
