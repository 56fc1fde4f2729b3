"""The rows of an export: a person's messages in a range of time, by mailbox and UID."""

from typing import Final

import asyncpg

from postkeep.stores.postgres import Pool

Record = asyncpg.Record

_COUNT: Final = """
SELECT count(*)
FROM mailboxes x
JOIN messages m ON m.tenant = $1 AND m.mailbox = x.mailbox
WHERE x.tenant = $1 AND x.principal = $2 AND ($3 = ''::bytea OR x.mailbox = $3)
  AND m.internal_ms >= $4 AND m.internal_ms < $5
"""

# OFFSET 0 keeps the planner to one walk along the index from the UID on, which ends at the limit.
_PAGE: Final = """
SELECT m.uid, m.body, m.epoch, m.epoch_index, m.slot, b.pack, b."offset", b.length,
       m.flags, m.keywords, m.internal_ms
FROM mailboxes x
CROSS JOIN LATERAL (
    SELECT * FROM messages
    WHERE tenant = $1 AND mailbox = $3 AND uid >= $4 AND internal_ms >= $5 AND internal_ms < $6
    ORDER BY uid LIMIT $7 OFFSET 0
) AS m
JOIN bodies b ON b.tenant = $1 AND b.body = m.body
WHERE x.tenant = $1 AND x.principal = $2 AND x.mailbox = $3
ORDER BY m.uid
"""


async def count_messages(  # noqa: PLR0917 - whose, where and when
    pool: Pool, tenant: bytes, principal: bytes, mailbox: bytes, since_ms: int, until_ms: int
) -> int:
    """Count messages; `mailbox` empty: in all mailboxes of the principal."""
    count: int = await pool.fetchval(_COUNT, tenant, principal, mailbox, since_ms, until_ms)
    return count


async def read_page(  # noqa: PLR0917 - whose, where, when and how many
    pool: Pool,
    tenant: bytes,
    principal: bytes,
    mailbox: bytes,
    uid: int,
    since_ms: int,
    until_ms: int,
    limit: int,
) -> list[Record]:
    """Return messages from a UID on; the first eight columns are those of `vault_messages.read_locations`."""
    return await pool.fetch(_PAGE, tenant, principal, mailbox, uid, since_ms, until_ms, limit)
