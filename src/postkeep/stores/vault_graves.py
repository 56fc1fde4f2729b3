"""Rows of mailboxes that are deleted but still have messages to be destroyed.

They belong to a principal of the tenant that nobody can be, so that no question of a user finds them and the
owner's quota is free at once.
"""

from typing import Final

import asyncpg

from postkeep.base.ids import ID_BYTES
from postkeep.stores.postgres import Connection, Pool

Record = asyncpg.Record

GRAVES: Final = b"\xff" * ID_BYTES
"""The principal of what is being destroyed; identifiers begin with a time."""

_BURY: Final = """
UPDATE mailboxes
SET principal = $3, role = '', name_epoch = NULL, name_index = NULL, name_sealed = NULL, selectable = false
WHERE tenant = $1 AND mailbox = $2
"""


async def ensure_graves(connection: Connection, tenant: bytes) -> None:
    """Make and lock the principal. Lock others before: it is the last in the order of locks."""
    await connection.execute(
        "INSERT INTO principals (tenant, principal) VALUES ($1, $2) ON CONFLICT DO NOTHING", tenant, GRAVES
    )
    await connection.execute(
        "SELECT 1 FROM principals WHERE tenant = $1 AND principal = $2 FOR UPDATE", tenant, GRAVES
    )


async def bury_mailbox(connection: Connection, tenant: bytes, mailbox: bytes) -> None:
    """Take a mailbox and its name from its owner."""
    await connection.execute(_BURY, tenant, mailbox, GRAVES)


async def graves(pool: Pool, tenant: bytes | None) -> list[Record]:
    """Return (tenant, mailbox) of everything that is still to be destroyed; None: of all tenants."""
    return await pool.fetch(
        "SELECT tenant, mailbox FROM mailboxes WHERE principal = $1 AND ($2::bytea IS NULL OR tenant = $2)",
        GRAVES,
        tenant,
    )
