"""Reading rows of messages: summaries, and where bodies and wraps are."""

from collections.abc import Sequence
from typing import Final

import asyncpg

from postkeep.stores.postgres import Connection, Pool

Ranges = Sequence[tuple[int, int]]
Record = asyncpg.Record

_MAILBOX: Final = """
SELECT mailbox, role, name_epoch, name_index, name_sealed, subscribed, selectable, uid_validity, uid_next,
       highest_modseq, messages, unseen, deleted, size
FROM mailboxes
WHERE tenant = $1 AND mailbox = $2 AND principal = $3
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
