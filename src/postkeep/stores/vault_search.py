"""Where search texts lie."""

from typing import Final

from postkeep.stores.postgres import Pool
from postkeep.stores.vault_messages import Ranges, Record, split_ranges

_TEXTS: Final = """
SELECT m.uid, m.body, m.epoch, m.epoch_index, m.slot, b.pack, b."offset" + b.length, b.text_length
FROM mailboxes x
CROSS JOIN unnest($4::bigint[], $5::bigint[]) AS r (low, high)
CROSS JOIN LATERAL (
    SELECT * FROM messages WHERE tenant = $1 AND mailbox = $2 AND uid BETWEEN r.low AND r.high
    ORDER BY uid LIMIT $6
) AS m
JOIN bodies b ON b.tenant = $1 AND b.body = m.body
WHERE x.tenant = $1 AND x.mailbox = $2 AND x.principal = $3
ORDER BY m.uid LIMIT $6
"""


async def read_texts(  # noqa: PLR0917 - a place and a part of it
    pool: Pool, tenant: bytes, principal: bytes, mailbox: bytes, ranges: Ranges, limit: int
) -> list[Record]:
    """Return UID, body, epoch, index, slot, and pack, offset and length of the search text, by UID."""
    lows, highs = split_ranges(ranges)
    return await pool.fetch(_TEXTS, tenant, mailbox, principal, lows, highs, limit)
