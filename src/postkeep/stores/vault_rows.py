"""Statements that open a mailbox without its rows, and that read rows as columns.

A row of the database costs both sides microseconds. So the server joins each column of many rows into one
value of bytes: two numbers are put into one of eight octets where they fit.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import asyncpg

from postkeep.stores.kept_connections import KeptConnections
from postkeep.stores.postgres import Connection
from postkeep.stores.vault_messages import Ranges, split_ranges

Record = asyncpg.Record
RowSource: TypeAlias = "KeptConnections | Connection"

_BOX: Final = """x.mailbox, x.role, x.name_epoch, x.name_index, x.name_sealed, x.subscribed, x.selectable,
       x.uid_validity, x.uid_next, x.highest_modseq, x.messages, x.unseen, x.deleted, x.size"""

_OPEN: Final = f"""
SELECT {_BOX}, x.keywords,
       ARRAY(SELECT e.borders FROM expunged e
             WHERE e.tenant = $1 AND e.mailbox = $2 ORDER BY e.modseq) AS history,
       CASE WHEN x.unseen > 0 THEN (
           SELECT m.uid FROM messages m
           WHERE m.tenant = $1 AND m.mailbox = $2 AND m.flags & 1 = 0 ORDER BY m.uid LIMIT 1
       ) END AS first_unseen
FROM mailboxes x
WHERE x.tenant = $1 AND x.mailbox = $2 AND x.principal = $3
"""  # noqa: S608 - constants

COLUMNS: Final = """
string_agg(int8send(m.uid << 32 | m.size), '') AS uids_sizes,
string_agg(int8send(m.modseq), '') AS modseqs,
string_agg(int8send(m.internal_ms), '') AS dates,
string_agg(int8send(m.saved_ms << 16 | m.flags), '') AS saved_flags,
string_agg(m.body, '') AS bodies,
array_agg(m.uid) FILTER (WHERE m.keywords IS NOT NULL) AS worded,
array_agg(array_to_string(m.keywords, ' ')) FILTER (WHERE m.keywords IS NOT NULL) AS words
"""
"""Of rows that come by UID. Keywords come apart, as few messages have any."""

PICKED: Final = "uid, size, modseq, internal_ms, saved_ms, flags, body, keywords"

# OFFSET 0 keeps the planner to one look into the index for each range, however large the mailbox is; ranges
# come in order and are merged, so their rows do too.
_ROWS: Final = f"""
SELECT a.*
FROM mailboxes x
CROSS JOIN LATERAL (
    SELECT {COLUMNS} FROM (
        SELECT n.* FROM unnest($4::bigint[], $5::bigint[]) AS r (low, high)
        CROSS JOIN LATERAL (
            SELECT {PICKED} FROM messages
            WHERE tenant = $1 AND mailbox = $2 AND uid BETWEEN r.low AND r.high ORDER BY uid OFFSET 0
        ) AS n
        LIMIT $6
    ) AS m
) AS a
WHERE x.tenant = $1 AND x.mailbox = $2 AND x.principal = $3
"""  # noqa: S608 - constants

# Few rows have changed and many may lie in the mailbox: adding 0 keeps the planner to the index by modseq.
# Where nothing has changed no index is looked into.
_UPDATES: Final = f"""
SELECT {_BOX}, a.*,
       ARRAY(SELECT e.borders FROM expunged e
             WHERE e.tenant = $1 AND e.mailbox = $2 AND e.modseq > $4 AND $4 > 0
             ORDER BY e.modseq) AS history
FROM mailboxes x
LEFT JOIN LATERAL (
    SELECT {COLUMNS} FROM (
        SELECT {PICKED} FROM messages n
        WHERE x.highest_modseq > $4 AND n.tenant = $1 AND n.mailbox = $2 AND n.modseq > $4
          AND ($5::bigint[] IS NULL OR EXISTS (
              SELECT FROM unnest($5::bigint[], $6::bigint[]) AS r (low, high)
              WHERE n.uid + 0 BETWEEN r.low AND r.high
          ))
        ORDER BY n.uid + 0 LIMIT $7
    ) AS m
) AS a ON true
WHERE x.tenant = $1 AND x.mailbox = $2 AND x.principal = $3
"""  # noqa: S608 - constants


async def open_mailbox(source: RowSource, tenant: bytes, principal: bytes, mailbox: bytes) -> Record | None:
    """Return a mailbox with its keywords, the borders of everything that went, by modseq, and the UID of the
    first unseen message; None if the principal has no such one."""
    return await source.fetchrow(_OPEN, tenant, mailbox, principal)


async def read_columns(  # noqa: PLR0917 - one question
    source: RowSource, tenant: bytes, principal: bytes, mailbox: bytes, ranges: Ranges, limit: int
) -> Record | None:
    """Return `COLUMNS` of the first rows in merged ranges of UIDs; None if there is no such mailbox."""
    return await source.fetchrow(_ROWS, tenant, mailbox, principal, *split_ranges(ranges), limit)


async def read_updates(  # noqa: PLR0917 - one question
    source: RowSource,
    tenant: bytes,
    principal: bytes,
    mailbox: bytes,
    since_modseq: int,
    ranges: Ranges | None,
    limit: int,
) -> Record | None:
    """Return a mailbox, `COLUMNS` of the first rows changed since a modseq (within merged ranges, if given),
    by UID, and the borders of what went since then, all as of one moment; None: there is no such mailbox."""
    parts: Sequence[list[int] | None] = (None, None) if ranges is None else split_ranges(ranges)
    return await source.fetchrow(_UPDATES, tenant, mailbox, principal, since_modseq, *parts, limit)
