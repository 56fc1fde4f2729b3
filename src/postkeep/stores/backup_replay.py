"""Rows of a restored copy: what has been destroyed since goes, and what counts things is counted anew.

Run on a database that nobody else uses, as its superuser.
"""

from collections.abc import Sequence
from typing import Final

import asyncpg

from postkeep.stores.postgres import Connection
from postkeep.stores.vault_borders import GAPS

SCAN_ROWS: Final = 20_000

_COUNT_REFS: Final = """
UPDATE bodies b SET refs = c.refs, gone_ms = CASE WHEN c.refs = 0 THEN $1::bigint END,
    summary = CASE WHEN c.refs = 0 THEN '' ELSE b.summary END
FROM (
    SELECT b.tenant, b.body, count(u.body) AS refs
    FROM bodies b
    LEFT JOIN (SELECT tenant, body FROM messages UNION ALL SELECT tenant, body FROM queue) u
        USING (tenant, body)
    GROUP BY b.tenant, b.body
) c
WHERE b.tenant = c.tenant AND b.body = c.body AND b.refs <> c.refs
"""
_COUNT_MAILBOXES: Final = """
UPDATE mailboxes m SET messages = c.messages, unseen = c.unseen, deleted = c.deleted, size = c.size
FROM (
    SELECT m.tenant, m.mailbox, count(x.uid) AS messages,
           count(*) FILTER (WHERE x.flags & 1 = 0) AS unseen,
           count(*) FILTER (WHERE x.flags & 8 <> 0) AS deleted, coalesce(sum(x.size), 0) AS size
    FROM mailboxes m LEFT JOIN messages x USING (tenant, mailbox) GROUP BY m.tenant, m.mailbox
) c
WHERE m.tenant = c.tenant AND m.mailbox = c.mailbox
  AND (m.messages, m.unseen, m.deleted, m.size) IS DISTINCT FROM (c.messages, c.unseen, c.deleted, c.size)
"""
_COUNT_PRINCIPALS: Final = """
UPDATE principals p SET used_bytes = c.size, messages = c.messages
FROM (
    SELECT p.tenant, p.principal, coalesce(sum(m.size), 0) AS size, coalesce(sum(m.messages), 0) AS messages
    FROM principals p LEFT JOIN mailboxes m USING (tenant, principal) GROUP BY p.tenant, p.principal
) c
WHERE p.tenant = c.tenant AND p.principal = c.principal
  AND (p.used_bytes, p.messages) IS DISTINCT FROM (c.size, c.messages)
"""
# They are of another UIDVALIDITY than all mailboxes will have: faces make them anew.
_DROP_DERIVED: Final = """
WITH segments AS (DELETE FROM segments RETURNING tenant, slot),
     pages AS (DELETE FROM pages RETURNING tenant, slot)
INSERT INTO slot_erasures (tenant, slot)
SELECT tenant, slot FROM segments UNION ALL SELECT tenant, slot FROM pages ON CONFLICT DO NOTHING
"""
# UIDs that were given after the copy was made will be given again to other messages: a client must not take
# one for the other (RFC 9051 section 2.3.1.1), so every mailbox gets a new UIDVALIDITY.
_RENEW_UIDS: Final = """
WITH numbered AS (
    SELECT m.tenant, m.mailbox, m.principal,
           greatest(p.uid_validity_last, $1)
               + row_number() OVER (PARTITION BY m.tenant, m.principal ORDER BY m.mailbox) AS validity
    FROM mailboxes m JOIN principals p USING (tenant, principal)
), renewed AS (
    UPDATE mailboxes m SET uid_validity = n.validity
    FROM numbered n WHERE m.tenant = n.tenant AND m.mailbox = n.mailbox
)
UPDATE principals p SET uid_validity_last = n.last, list_version = p.list_version + 1
FROM (SELECT tenant, principal, max(validity) AS last FROM numbered GROUP BY tenant, principal) n
WHERE p.tenant = n.tenant AND p.principal = n.principal
"""


async def slots_of_rows(connection: Connection) -> list[int]:
    """Return the slots that messages and queue items of the vault refer to."""
    slots: list[int] = []
    async with connection.transaction(readonly=True):
        cursor = await connection.cursor(
            "SELECT slot FROM messages UNION ALL SELECT slot FROM queue ORDER BY 1"
        )
        while rows := await cursor.fetch(SCAN_ROWS):
            slots += [row[0] for row in rows]
    return slots


async def drop_dead(connection: Connection, slots: Sequence[int]) -> int:
    """Drop the rows of messages and queue items whose slots hold nothing; return how many."""
    async with connection.transaction():
        await connection.execute("CREATE TEMP TABLE dead (slot bigint PRIMARY KEY) ON COMMIT DROP")
        await connection.copy_records_to_table("dead", records=[(slot,) for slot in slots])
        dropped = 0
        for table in ("messages", "queue"):
            status = await connection.execute(f"DELETE FROM {table} t USING dead d WHERE t.slot = d.slot")  # noqa: S608 - from the line above
            dropped += int(status.rpartition(" ")[2])
        await connection.execute("DELETE FROM slot_erasures")
        return dropped


async def drop_owner(connection: Connection, tenant: bytes, principal: bytes) -> None:
    """Drop every row of the vault of a principal, or (empty principal) of a tenant."""
    mailboxes = (
        "SELECT mailbox FROM mailboxes WHERE tenant = $1 AND (length($2::bytea) = 0 OR principal = $2)"
    )
    async with connection.transaction():
        for table in ("messages", "segments", "pages", "expunged"):
            await connection.execute(
                f"DELETE FROM {table} WHERE tenant = $1 AND mailbox IN ({mailboxes})",  # noqa: S608 - from the lines above
                tenant,
                principal,
            )
        for table in ("queue", "mailboxes", "entries", "epochs", "principals"):
            await connection.execute(
                f"DELETE FROM {table} WHERE tenant = $1 AND (length($2::bytea) = 0 OR principal = $2)",  # noqa: S608 - from the line above
                tenant,
                principal,
            )


async def recount(connection: Connection, now_ms: int) -> None:
    """Make every count and reference of the vault right, and give every mailbox a new UIDVALIDITY."""
    async with connection.transaction():
        await connection.execute(_DROP_DERIVED)
        await connection.execute(_COUNT_REFS, now_ms)
        await connection.execute(_COUNT_MAILBOXES)
        await connection.execute(_COUNT_PRINCIPALS)
        await connection.execute(_RENEW_UIDS, now_ms // 1000)
        await connection.execute("DELETE FROM expunged")
        await connection.execute(f"INSERT INTO expunged (tenant, mailbox, modseq, borders) {GAPS}")


async def drop_accounts(connection: Connection, owners: Sequence[tuple[bytes, bytes]]) -> int:
    """Drop principals, and (empty principal) tenants, of the authority; end every session. Return how
    many."""
    dropped = 0
    async with connection.transaction():
        for tenant, principal in owners:
            query = "DELETE FROM tenants WHERE tenant = $1"
            arguments = [tenant]
            if principal:
                query = "DELETE FROM principals WHERE tenant = $1 AND principal = $2"
                arguments = [tenant, principal]
            dropped += int((await connection.execute(query, *arguments)).rpartition(" ")[2])
        await connection.execute("DELETE FROM sessions")
        await connection.execute("UPDATE directory_state SET version = version + 1")
    return dropped


SAMPLE: Final = """
SELECT m.tenant, m.body, m.epoch, m.epoch_index, m.slot, m.size, x.principal, b.pack, b."offset", b.length,
       e.sealed
FROM messages m
JOIN mailboxes x USING (tenant, mailbox)
JOIN bodies b USING (tenant, body)
JOIN epochs e ON e.tenant = m.tenant AND e.principal = x.principal AND e.epoch = m.epoch
ORDER BY random() LIMIT $1
"""


async def sample(connection: Connection, count: int) -> list[asyncpg.Record]:
    """Return random messages with all that leads to their content."""
    return await connection.fetch(SAMPLE, count)


async def counted(connection: Connection) -> int:
    """Return how many messages the vault has."""
    return int(await connection.fetchval("SELECT count(*) FROM messages"))
