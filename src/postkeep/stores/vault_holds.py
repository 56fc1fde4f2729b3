"""Rows of legal holds, and of messages that holds keep after their owner has expunged them.

Such messages belong to a principal of the tenant that nobody can be, as graves do: no question of a user
finds them and they use up nobody's quota, but their slots stay as they are.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from postkeep.base.ids import ID_BYTES
from postkeep.crypto.context import context
from postkeep.stores.postgres import Connection, Pool, Source
from postkeep.stores.vault_graves import GRAVES

Record = asyncpg.Record

HELD: Final = b"\xfe" * ID_BYTES
"""The principal of what is held; identifiers begin with a time."""

_COVERING: Final = """
SELECT hold, kind FROM holds
WHERE tenant = $1 AND (until_ms IS NULL OR until_ms > $4)
  AND ($2::bytea = '' OR principal = '' OR principal = $2)
  AND ($3::bytea = '' OR mailbox = '' OR mailbox = $3)
ORDER BY hold
"""

_ADD: Final = """
INSERT INTO holds (tenant, hold, principal, mailbox, kind, until_ms) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant, hold) DO UPDATE SET until_ms = excluded.until_ms
"""

_HELD_MAILBOX: Final = """
INSERT INTO mailboxes (tenant, principal, mailbox, uid_validity, subscribed, selectable)
VALUES ($1, $2, $3, 0, false, false) ON CONFLICT (tenant, mailbox) DO NOTHING
"""

_MOVE: Final = """
UPDATE messages SET mailbox = $3 WHERE tenant = $1 AND mailbox = $2 AND uid = ANY ($4::bigint[])
RETURNING uid, modseq, body, slot, size, flags
"""

_COUNT: Final = """
UPDATE mailboxes
SET uid_next = greatest(uid_next, $3), highest_modseq = greatest(highest_modseq, $4),
    messages = messages + $5, unseen = unseen + $6, deleted = deleted + $7, size = size + $8
WHERE tenant = $1 AND mailbox = $2
"""

_FREE: Final = """
SELECT h.tenant, h.mailbox, m.messages, m.size FROM held_mailboxes h
JOIN mailboxes m USING (tenant, mailbox)
WHERE h.tenant = $1 AND NOT EXISTS (
    SELECT FROM holds d WHERE d.tenant = h.tenant AND (d.until_ms IS NULL OR d.until_ms > $2)
      AND (d.principal = '' OR d.principal = h.owner) AND (d.mailbox = '' OR d.mailbox = h.origin)
)
ORDER BY h.mailbox FOR UPDATE OF m
"""


class HoldRow(NamedTuple):
    """What one hold covers."""

    tenant: bytes
    hold: bytes
    principal: bytes
    mailbox: bytes
    kind: str
    until_ms: int | None


def held_mailbox(tenant: bytes, origin: bytes) -> bytes:
    """Return the mailbox that keeps what was expunged from `origin`: derived, so never lost."""
    return hashlib.sha256(context("held mailbox", tenant, origin)).digest()[:ID_BYTES]


async def holds_on(
    source: Source, tenant: bytes, now_ms: int, *, principal: bytes = b"", mailbox: bytes = b""
) -> list[Record]:
    """Return (hold, kind) of holds that cover any of a mailbox, of a principal, or of a tenant."""
    return await source.fetch(_COVERING, tenant, principal, mailbox, now_ms)


async def mailbox_held(source: Source, tenant: bytes, mailbox: bytes, now_ms: int) -> bool:
    """Say whether a hold is on this very mailbox, so that nothing may leave it."""
    return bool(
        await source.fetchval(
            "SELECT true FROM holds WHERE tenant = $1 AND mailbox = $2"
            " AND (until_ms IS NULL OR until_ms > $3) LIMIT 1",
            tenant,
            mailbox,
            now_ms,
        )
    )


async def add_hold(connection: Connection, row: HoldRow) -> None:
    """Add a hold, and wait for everyone who is just removing something of its principal or tenant."""
    await connection.execute(
        "SELECT 1 FROM principals WHERE tenant = $1 AND ($2::bytea = '' OR principal = $2)"
        " ORDER BY principal FOR UPDATE",
        row.tenant,
        row.principal,
    )
    await connection.execute(_ADD, *row)


async def drop_hold(connection: Connection, tenant: bytes, hold: bytes) -> None:
    """Drop a hold."""
    await connection.execute("DELETE FROM holds WHERE tenant = $1 AND hold = $2", tenant, hold)


async def tenants_with_held(pool: Pool) -> list[bytes]:
    """Return the tenants that have held messages."""
    return [row[0] for row in await pool.fetch("SELECT DISTINCT tenant FROM held_mailboxes")]


async def ensure_held(connection: Connection, tenant: bytes, principal: bytes = HELD) -> None:
    """Make and lock the principal of what is held. Lock others before: it is late in the order of locks."""
    await connection.execute(
        "INSERT INTO principals (tenant, principal) VALUES ($1, $2) ON CONFLICT DO NOTHING", tenant, principal
    )
    await connection.execute(
        "SELECT 1 FROM principals WHERE tenant = $1 AND principal = $2 FOR UPDATE", tenant, principal
    )


async def hold_back(
    connection: Connection, tenant: bytes, owner: bytes, origin: bytes, uids: Sequence[int]
) -> list[Record]:
    """Take messages out of a mailbox into what is held; return their rows, as a deletion would."""
    target = held_mailbox(tenant, origin)
    await ensure_held(connection, tenant)
    await connection.execute(_HELD_MAILBOX, tenant, HELD, target)
    await _name_held(connection, tenant, target, owner, origin)
    rows = await connection.fetch(_MOVE, tenant, origin, target, uids)
    octets = sum(row["size"] for row in rows)
    await connection.execute(
        _COUNT,
        tenant,
        target,
        max((row["uid"] for row in rows), default=0) + 1,
        max((row["modseq"] for row in rows), default=1),
        len(rows),
        sum(not row["flags"] & 1 for row in rows),
        sum(bool(row["flags"] & 8) for row in rows),
        octets,
    )
    await _use(connection, tenant, HELD, octets, len(rows))
    return rows


async def hold_mailbox(connection: Connection, tenant: bytes, owner: bytes, box: Record) -> None:
    """Take a whole mailbox from its owner, with its sealed name."""
    await ensure_held(connection, tenant)
    await connection.execute(
        "UPDATE mailboxes SET principal = $3, role = '', selectable = false"
        " WHERE tenant = $1 AND mailbox = $2",
        tenant,
        box["mailbox"],
        HELD,
    )
    await _name_held(connection, tenant, box["mailbox"], owner, box["mailbox"])
    await _use(connection, tenant, owner, -box["size"], -box["messages"])
    await _use(connection, tenant, HELD, box["size"], box["messages"])


async def bury_free(connection: Connection, tenant: bytes, now_ms: int) -> int:
    """Turn held mailboxes that no hold covers any more into graves; return how many."""
    rows = await connection.fetch(_FREE, tenant, now_ms)
    for row in rows:
        await ensure_held(connection, tenant)
        await ensure_held(connection, tenant, GRAVES)
        await connection.execute(
            "UPDATE mailboxes SET principal = $3, name_epoch = NULL, name_index = NULL, name_sealed = NULL"
            " WHERE tenant = $1 AND mailbox = $2",
            tenant,
            row["mailbox"],
            GRAVES,
        )
        await _use(connection, tenant, HELD, -row["size"], -row["messages"])
        await _use(connection, tenant, GRAVES, row["size"], row["messages"])
        await connection.execute(
            "DELETE FROM held_mailboxes WHERE tenant = $1 AND mailbox = $2", tenant, row["mailbox"]
        )
    return len(rows)


async def _name_held(
    connection: Connection, tenant: bytes, mailbox: bytes, owner: bytes, origin: bytes
) -> None:
    await connection.execute(
        "INSERT INTO held_mailboxes (tenant, mailbox, owner, origin) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT DO NOTHING",
        tenant,
        mailbox,
        owner,
        origin,
    )


async def _use(connection: Connection, tenant: bytes, principal: bytes, octets: int, messages: int) -> None:
    await connection.execute(
        "UPDATE principals SET used_bytes = used_bytes + $3, messages = messages + $4"
        " WHERE tenant = $1 AND principal = $2",
        tenant,
        principal,
        octets,
        messages,
    )
