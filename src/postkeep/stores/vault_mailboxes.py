"""Rows of mailboxes, principals and epochs."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from postkeep.stores.postgres import Connection, Pool, Source

Record = asyncpg.Record

_LIST: Final = """
SELECT m.mailbox, m.role, m.name_epoch, m.name_index, m.name_sealed, m.subscribed, m.selectable,
       m.uid_validity, m.uid_next, m.highest_modseq, m.messages, m.unseen, m.deleted, m.size, p.list_version,
       p.entries_version
FROM mailboxes m
JOIN principals p USING (tenant, principal)
WHERE m.tenant = $1 AND m.principal = $2
ORDER BY m.uid_validity
"""

# The list at a version that the caller knows: no names. The version stands in every row, and in one without a
# mailbox where none is asked for; no row at all: the list is at another version.
_AT_VERSION: Final = """
SELECT p.list_version, p.entries_version, m.mailbox, m.role, NULL::bytea AS name_epoch, m.subscribed,
       m.selectable, m.uid_validity, m.uid_next, m.highest_modseq, m.messages, m.unseen, m.deleted, m.size
FROM principals p
"""

_ALL_AT_VERSION: Final = (
    _AT_VERSION
    + """
LEFT JOIN mailboxes m ON m.tenant = p.tenant AND m.principal = p.principal
WHERE p.tenant = $1 AND p.principal = $2 AND p.list_version = $3
"""
)

_SOME_AT_VERSION: Final = (
    _AT_VERSION
    + """
LEFT JOIN (
    unnest($4::bytea[]) AS wanted (mailbox)
    JOIN mailboxes m ON m.tenant = $1 AND m.mailbox = wanted.mailbox
) ON m.principal = p.principal
WHERE p.tenant = $1 AND p.principal = $2 AND p.list_version = $3
"""
)

_DELETED_SIZES: Final = """
SELECT d.mailbox, s.size
FROM unnest($2::bytea[]) AS d (mailbox)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(m.size), 0)::bigint AS size FROM messages m
    WHERE m.tenant = $1 AND m.mailbox = d.mailbox AND m.flags & 8 <> 0
) AS s
"""

_CREATE: Final = """
INSERT INTO mailboxes (tenant, principal, mailbox, role, name_epoch, name_index, name_sealed, subscribed,
                       selectable, uid_validity)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""

_UPDATE: Final = """
UPDATE mailboxes
SET role = coalesce($4, role), name_epoch = coalesce($5, name_epoch), name_index = coalesce($6, name_index),
    name_sealed = coalesce($7, name_sealed), subscribed = coalesce($8, subscribed),
    selectable = coalesce($9, selectable)
WHERE tenant = $1 AND principal = $2 AND mailbox = $3
"""

_VERSION: Final = """
UPDATE principals SET list_version = list_version + 1, uid_validity_last = $3
WHERE tenant = $1 AND principal = $2
RETURNING list_version
"""

_SET_QUOTA: Final = """
INSERT INTO principals (tenant, principal, limit_bytes) VALUES ($1, $2, $3)
ON CONFLICT (tenant, principal) DO UPDATE SET limit_bytes = excluded.limit_bytes
"""

_REPLACE_EPOCHS: Final = """
UPDATE epochs e SET sealed = r.sealed
FROM unnest($3::bytea[], $4::bytea[]) AS r (epoch, sealed)
WHERE e.tenant = $1 AND e.principal = $2 AND e.epoch = r.epoch
  AND substring(e.sealed FROM 2 FOR 4) <= substring(r.sealed FROM 2 FOR 4)
"""
"""The octets compared are the generation, big-endian: what was sealed to a newer key in the meantime
stays."""


class MailboxFields(NamedTuple):
    """What a change to a mailbox may set; None leaves it."""

    role: str | None
    name_epoch: bytes | None
    name_index: int | None
    name_sealed: bytes | None
    subscribed: bool | None
    selectable: bool | None


async def list_mailboxes(source: Source, tenant: bytes, principal: bytes) -> list[Record]:
    """Return a principal's mailboxes, oldest first, each with the list's version."""
    return await source.fetch(_LIST, tenant, principal)


async def list_at_version(
    source: Source, tenant: bytes, principal: bytes, version: int, mailboxes: Sequence[bytes] | None
) -> list[Record]:
    """Return mailboxes without their names (None: all) if the list is at this version, else nothing. Where
    none of them is there, one row without a mailbox."""
    if mailboxes is None:
        return await source.fetch(_ALL_AT_VERSION, tenant, principal, version)
    return await source.fetch(_SOME_AT_VERSION, tenant, principal, version, mailboxes)


async def deleted_sizes(source: Source, tenant: bytes, mailboxes: Sequence[bytes]) -> dict[bytes, int]:
    """Return the octets of the messages flagged as deleted, by mailbox."""
    rows = await source.fetch(_DELETED_SIZES, tenant, mailboxes)
    return {row["mailbox"]: row["size"] for row in rows}


async def mailbox_exists(connection: Connection, tenant: bytes, mailbox: bytes) -> bool:
    """Say whether an identifier is taken, by whichever principal."""
    return bool(
        await connection.fetchval(
            "SELECT true FROM mailboxes WHERE tenant = $1 AND mailbox = $2", tenant, mailbox
        )
    )


async def create_mailbox(
    connection: Connection,
    tenant: bytes,
    principal: bytes,
    mailbox: bytes,
    fields: MailboxFields,
    *,
    uid_validity: int,
) -> None:
    """Insert a mailbox."""
    role, epoch, index, sealed, subscribed, selectable = fields
    await connection.execute(
        _CREATE,
        tenant,
        principal,
        mailbox,
        role or "",
        epoch,
        index,
        sealed,
        subscribed is not False,
        selectable is not False,
        uid_validity,
    )


async def update_mailbox(
    connection: Connection, tenant: bytes, principal: bytes, mailbox: bytes, fields: MailboxFields
) -> None:
    """Set fields of a mailbox."""
    await connection.execute(_UPDATE, tenant, principal, mailbox, *fields)


async def delete_mailbox(connection: Connection, tenant: bytes, mailbox: bytes) -> None:
    """Delete a mailbox that has no messages any more, its history and its annotations."""
    await connection.execute("DELETE FROM expunged WHERE tenant = $1 AND mailbox = $2", tenant, mailbox)
    await connection.execute("DELETE FROM entries WHERE tenant = $1 AND mailbox = $2", tenant, mailbox)
    await connection.execute("DELETE FROM mailboxes WHERE tenant = $1 AND mailbox = $2", tenant, mailbox)


async def advance_list(
    connection: Connection, tenant: bytes, principal: bytes, uid_validity_last: int
) -> int:
    """Count a change to the list of mailboxes; return its new version."""
    return int(await connection.fetchval(_VERSION, tenant, principal, uid_validity_last))


async def read_quota(pool: Pool, tenant: bytes | None, principal: bytes) -> Record | None:
    """Return use, messages and limit of a principal; of whichever tenant if that is None."""
    return await pool.fetchrow(
        "SELECT used_bytes, messages, limit_bytes FROM principals "
        "WHERE principal = $1 AND ($2::bytea IS NULL OR tenant = $2)",
        principal,
        tenant,
    )


async def set_quota(pool: Pool, tenant: bytes, principal: bytes, limit_bytes: int | None) -> None:
    """Set a principal's limit; None lifts it."""
    await pool.execute(_SET_QUOTA, tenant, principal, limit_bytes)


async def read_epochs(
    pool: Pool, tenant: bytes, principal: bytes, epochs: Sequence[bytes] | None
) -> list[Record]:
    """Return sealed epochs of a principal; None: all of them."""
    if epochs is None:
        return await pool.fetch(
            "SELECT epoch, sealed FROM epochs WHERE tenant = $1 AND principal = $2", tenant, principal
        )
    return await pool.fetch(
        "SELECT epoch, sealed FROM epochs WHERE tenant = $1 AND principal = $2 AND epoch = ANY ($3::bytea[])",
        tenant,
        principal,
        epochs,
    )


async def replace_epochs(
    pool: Pool, tenant: bytes, principal: bytes, epochs: Sequence[tuple[bytes, bytes]]
) -> None:
    """Store other forms of epochs that are there; given as (epoch, sealed)."""
    await pool.execute(
        _REPLACE_EPOCHS, tenant, principal, [item[0] for item in epochs], [item[1] for item in epochs]
    )


async def read_old_epochs(
    pool: Pool, tenant: bytes, principal: bytes, generation: int, limit: int
) -> tuple[list[Record], int]:
    """Return epochs sealed to a generation before this one, and how many there are in all."""
    below = generation.to_bytes(4, "big")
    rows = await pool.fetch(_OLD_EPOCHS, tenant, principal, below, limit)
    return rows, len(rows) if len(rows) < limit else int(
        await pool.fetchval(_COUNT_OLD_EPOCHS, tenant, principal, below)
    )


_OLD: Final = "epochs WHERE tenant = $1 AND principal = $2 AND substring(sealed FROM 2 FOR 4) < $3::bytea"
_OLD_EPOCHS: Final = f"SELECT epoch, sealed FROM {_OLD} LIMIT $4"  # noqa: S608 - a constant
_COUNT_OLD_EPOCHS: Final = f"SELECT count(*) FROM {_OLD}"  # noqa: S608 - a constant
