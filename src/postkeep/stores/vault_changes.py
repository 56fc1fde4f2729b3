"""Changing rows of messages: flags, removal, copies. Locks are taken in the order of `vault_deposits`."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from postkeep.stores.packs import HEADER_BYTES
from postkeep.stores.postgres import Connection
from postkeep.stores.vault_borders import pack_borders
from postkeep.stores.vault_messages import Ranges, split_ranges

Record = asyncpg.Record

_LOCK_PRINCIPAL: Final = """
SELECT limit_bytes, used_bytes, messages, list_version, uid_validity_last
FROM principals WHERE tenant = $1 AND principal = $2 FOR UPDATE
"""

_LOCK_MAILBOXES: Final = """
SELECT mailbox, role, uid_validity, uid_next, highest_modseq, messages, size
FROM mailboxes WHERE tenant = $1 AND principal = $2 AND mailbox = ANY ($3::bytea[])
ORDER BY tenant, mailbox FOR UPDATE
"""

_STORE_FLAGS: Final = """
WITH changed AS (
    UPDATE messages m
    SET flags = c.flags, keywords = string_to_array(c.keywords, ' '), modseq = $3
    FROM unnest($4::bigint[], $5::smallint[], $6::text[]) AS c (uid, flags, keywords)
    WHERE m.tenant = $1 AND m.mailbox = $2 AND m.uid = c.uid
), counted AS (
    UPDATE mailboxes
    SET highest_modseq = $3, unseen = unseen + $7, deleted = deleted + $8,
        keywords = CASE WHEN $9::text[] IS NULL THEN keywords ELSE keywords_with(keywords, $9) END
    WHERE tenant = $1 AND mailbox = $2
)
INSERT INTO audit_outbox (event) VALUES ($10)
"""

_COUNT: Final = """
UPDATE mailboxes
SET uid_next = uid_next + $3, highest_modseq = $4, messages = messages + $5, unseen = unseen + $6,
    deleted = deleted + $7, size = size + $8
WHERE tenant = $1 AND mailbox = $2
"""

_USE: Final = """
UPDATE principals SET used_bytes = used_bytes + $3, messages = messages + $4
WHERE tenant = $1 AND principal = $2
"""

_EVENT: Final = "INSERT INTO audit_outbox (event) SELECT * FROM unnest($1::bytea[])"

_DELETE_FLAGGED: Final = """
DELETE FROM messages
WHERE tenant = $1 AND mailbox = $2 AND flags & 8 <> 0
RETURNING uid, body, slot, size, flags
"""

_DELETE_FLAGGED_IN: Final = """
DELETE FROM messages m USING unnest($3::bigint[], $4::bigint[]) AS r (low, high)
WHERE m.tenant = $1 AND m.mailbox = $2 AND m.uid BETWEEN r.low AND r.high AND m.flags & 8 <> 0
RETURNING m.uid, m.body, m.slot, m.size, m.flags
"""

_DELETE_THESE: Final = """
DELETE FROM messages WHERE tenant = $1 AND mailbox = $2 AND uid = ANY($3::bigint[])
RETURNING uid, body, slot, size, flags
"""
_DELETE_SOME: Final = """
DELETE FROM messages
WHERE (tenant, mailbox, uid) IN (
    SELECT tenant, mailbox, uid FROM messages WHERE tenant = $1 AND mailbox = $2 ORDER BY uid LIMIT $3
)
RETURNING uid, body, slot, size, flags
"""

_EXPUNGED: Final = """
INSERT INTO expunged (tenant, mailbox, modseq, borders) VALUES ($1, $2, $3, $4)
"""

_ERASE_LATER: Final = """
INSERT INTO slot_erasures (tenant, slot) SELECT $1, * FROM unnest($2::bigint[]) ON CONFLICT DO NOTHING
"""

# The rows are locked in order first, so that two who drop bodies of one tenant don't wait in a circle.
_RELEASE_BODIES: Final = """
WITH locked AS MATERIALIZED (
    SELECT b.tenant, b.body, c.count
    FROM unnest($2::bytea[], $3::int[]) AS c (body, count)
    JOIN bodies b ON b.tenant = $1 AND b.body = c.body
    ORDER BY b.body
    FOR UPDATE OF b
), released AS (
    UPDATE bodies b
    SET refs = b.refs - l.count,
        summary = CASE WHEN b.refs = l.count THEN '' ELSE b.summary END,
        gone_ms = CASE WHEN b.refs = l.count THEN $4::bigint END
    FROM locked l
    WHERE b.tenant = l.tenant AND b.body = l.body
    RETURNING b.pack, b.length + b.text_length AS length, b.refs
)
SELECT pack, sum(length + $5::bigint)::bigint FROM released WHERE refs = 0 GROUP BY pack ORDER BY pack
"""

_DEAD_BYTES: Final = """
INSERT INTO packs AS p (pack, dead_bytes) VALUES ($1, $2)
ON CONFLICT (pack) DO UPDATE SET dead_bytes = p.dead_bytes + excluded.dead_bytes
"""

_COPY_SOURCES: Final = """
SELECT m.uid, m.body, m.epoch, m.epoch_index, m.slot, m.size, m.flags, m.keywords IS NOT NULL AS worded
FROM unnest($3::bigint[], $4::bigint[]) AS r (low, high)
CROSS JOIN LATERAL (
    SELECT * FROM messages WHERE tenant = $1 AND mailbox = $2 AND uid BETWEEN r.low AND r.high
    ORDER BY uid OFFSET 0
) AS m
ORDER BY m.uid
"""

_COPY: Final = """
INSERT INTO messages (tenant, mailbox, uid, modseq, internal_ms, slot, size, epoch_index, flags, label, body,
                      epoch, keywords, saved_ms)
SELECT m.tenant, $3, c.new_uid, c.modseq, m.internal_ms, c.slot, m.size, m.epoch_index, m.flags, m.label,
       m.body, m.epoch, m.keywords, $8
FROM unnest($4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) AS c (uid, new_uid, modseq, slot)
JOIN messages m ON m.tenant = $1 AND m.mailbox = $2 AND m.uid = c.uid
"""

_COPY_KEYWORDS: Final = """
UPDATE mailboxes b SET keywords = keywords_with(b.keywords, c.words)
FROM (
    SELECT array_agg(DISTINCT k.word) AS words
    FROM messages m CROSS JOIN LATERAL unnest(m.keywords) AS k (word)
    WHERE m.tenant = $1 AND m.mailbox = $2 AND m.uid = ANY ($4::bigint[]) AND m.keywords IS NOT NULL
) c
WHERE b.tenant = $1 AND b.mailbox = $3 AND c.words IS NOT NULL
"""

_KEEP_BODIES: Final = """
WITH locked AS MATERIALIZED (
    SELECT b.tenant, b.body, c.count
    FROM unnest($2::bytea[], $3::int[]) AS c (body, count)
    JOIN bodies b ON b.tenant = $1 AND b.body = c.body
    ORDER BY b.body
    FOR UPDATE OF b
)
UPDATE bodies b SET refs = b.refs + l.count FROM locked l WHERE b.tenant = l.tenant AND b.body = l.body
"""

_DELETE_UIDS: Final = """
DELETE FROM messages WHERE tenant = $1 AND mailbox = $2 AND uid = ANY ($3::bigint[])
"""


class FlagChanges(NamedTuple):
    """The flags that messages get; keywords are joined by spaces, None where there are none."""

    uids: list[int]
    flags: list[int]
    keywords: list[str | None]


class MailboxDelta(NamedTuple):
    """How a mailbox's counts change, and the modseq it moves on to."""

    highest_modseq: int
    messages: int = 0
    unseen: int = 0
    deleted: int = 0
    size: int = 0
    uids: int = 0
    """How many UIDs are used up."""


class CopyRow(NamedTuple):
    """A message's place in the mailbox it is copied to."""

    uid: int
    new_uid: int
    modseq: int
    slot: int


def negative(delta: MailboxDelta) -> MailboxDelta:
    """Turn what messages add to a mailbox into what their removal takes away."""
    modseq, messages, unseen, deleted, size, _ = delta
    return MailboxDelta(modseq, -messages, -unseen, -deleted, -size)


async def lock_principal(connection: Connection, tenant: bytes, principal: bytes) -> Record | None:
    """Lock a principal's row and return its limit, use and list version."""
    return await connection.fetchrow(_LOCK_PRINCIPAL, tenant, principal)


async def lock_mailboxes(
    connection: Connection, tenant: bytes, principal: bytes, mailboxes: Sequence[bytes]
) -> dict[bytes, Record]:
    """Lock mailboxes of one principal; one that it does not have is missing from the answer."""
    rows = await connection.fetch(_LOCK_MAILBOXES, tenant, principal, mailboxes)
    return {row["mailbox"]: row for row in rows}


async def store_flags(  # noqa: PLR0917 - one row of facts
    connection: Connection,
    tenant: bytes,
    mailbox: bytes,
    changes: FlagChanges,
    delta: MailboxDelta,
    keywords: Sequence[str] | None,
    event: bytes,
) -> None:
    """Give messages new flags and the modseq of `delta`; the mailbox's counts follow (only unseen and
    deleted change), its keywords too, and the event waits for the ledger: in one statement."""
    await connection.execute(
        _STORE_FLAGS,
        tenant,
        mailbox,
        delta.highest_modseq,
        *changes,
        delta.unseen,
        delta.deleted,
        keywords,
        event,
    )


async def count_mailbox(connection: Connection, tenant: bytes, mailbox: bytes, delta: MailboxDelta) -> None:
    """Keep a mailbox's counts right."""
    await connection.execute(
        _COUNT,
        tenant,
        mailbox,
        delta.uids,
        delta.highest_modseq,
        delta.messages,
        delta.unseen,
        delta.deleted,
        delta.size,
    )


async def use_quota(
    connection: Connection, tenant: bytes, principal: bytes, octets: int, messages: int
) -> None:
    """Count what a principal uses up, or with negative numbers gives back."""
    await connection.execute(_USE, tenant, principal, octets, messages)


async def note_events(connection: Connection, events: Sequence[bytes]) -> None:
    """Leave events for the ledger, in the transaction that they tell of."""
    await connection.execute(_EVENT, events)


async def delete_flagged(
    connection: Connection, tenant: bytes, mailbox: bytes, ranges: Ranges | None
) -> list[Record]:
    """Delete the messages flagged as deleted; return UID, body, slot, size and flags of each."""
    if ranges is None:
        return await connection.fetch(_DELETE_FLAGGED, tenant, mailbox)
    return await connection.fetch(_DELETE_FLAGGED_IN, tenant, mailbox, *split_ranges(ranges))


async def flagged_uids(
    connection: Connection, tenant: bytes, mailbox: bytes, ranges: Ranges | None
) -> list[int]:
    """Lock the messages flagged as deleted, and return their UIDs."""
    rows = await connection.fetch(
        "SELECT uid FROM messages WHERE tenant = $1 AND mailbox = $2 AND flags & 8 <> 0"
        " ORDER BY uid FOR UPDATE",
        tenant,
        mailbox,
    )
    uids = [row[0] for row in rows]
    if ranges is None:
        return uids
    return [uid for uid in uids if any(low <= uid <= high for low, high in ranges)]


async def delete_some(connection: Connection, tenant: bytes, mailbox: bytes, limit: int) -> list[Record]:
    """Delete the first messages of a mailbox, whatever their flags."""
    return await connection.fetch(_DELETE_SOME, tenant, mailbox, limit)


async def delete_these(
    connection: Connection, tenant: bytes, mailbox: bytes, uids: Sequence[int]
) -> list[Record]:
    """Delete messages whatever their flags; return UID, body, slot, size and flags of each."""
    return await connection.fetch(_DELETE_THESE, tenant, mailbox, uids)


async def delete_uids(connection: Connection, tenant: bytes, mailbox: bytes, uids: Sequence[int]) -> None:
    """Delete messages that have been moved elsewhere."""
    await connection.execute(_DELETE_UIDS, tenant, mailbox, uids)


async def note_expunged(
    connection: Connection, tenant: bytes, mailbox: bytes, modseq: int, ranges: Ranges
) -> None:
    """Remember that these UIDs went at this modseq."""
    await connection.execute(_EXPUNGED, tenant, mailbox, modseq, pack_borders(ranges))


async def erase_later(connection: Connection, tenant: bytes, slots: Sequence[int]) -> None:
    """Note, in the transaction that drops their rows, that these slots must be overwritten."""
    await connection.execute(_ERASE_LATER, tenant, slots)


async def release_bodies(
    connection: Connection, tenant: bytes, counts: dict[bytes, int], now_ms: int
) -> None:
    """Take references from bodies; one that nothing refers to becomes dead bytes of its pack."""
    rows = await connection.fetch(
        _RELEASE_BODIES, tenant, list(counts), list(counts.values()), now_ms, HEADER_BYTES
    )
    for pack, dead in rows:
        await connection.execute(_DEAD_BYTES, pack, dead)


async def keep_bodies(connection: Connection, tenant: bytes, counts: dict[bytes, int]) -> None:
    """Add references to bodies."""
    await connection.execute(_KEEP_BODIES, tenant, list(counts), list(counts.values()))


async def copy_sources(connection: Connection, tenant: bytes, mailbox: bytes, ranges: Ranges) -> list[Record]:
    """Return UID, body, epoch, index, slot, size, flags and whether there are keywords, by UID."""
    return await connection.fetch(_COPY_SOURCES, tenant, mailbox, *split_ranges(ranges))


async def copy_rows(  # noqa: PLR0917 - one row of facts
    connection: Connection,
    tenant: bytes,
    mailbox: bytes,
    target: bytes,
    copies: Sequence[CopyRow],
    now_ms: int,
) -> None:
    """Insert copies of messages into another mailbox."""
    await connection.execute(
        _COPY,
        tenant,
        mailbox,
        target,
        [copy.uid for copy in copies],
        [copy.new_uid for copy in copies],
        [copy.modseq for copy in copies],
        [copy.slot for copy in copies],
        now_ms,
    )


async def copy_keywords(
    connection: Connection, tenant: bytes, mailbox: bytes, target: bytes, uids: Sequence[int]
) -> None:
    """Add the keywords of messages to those that were ever set in another mailbox."""
    await connection.execute(_COPY_KEYWORDS, tenant, mailbox, target, uids)
