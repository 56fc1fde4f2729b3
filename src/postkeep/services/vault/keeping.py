"""Taking messages out of their owner's sight and keeping them: what a legal hold does to an expunge."""

from collections.abc import Sequence

from asyncpg import Record

from postkeep.services.vault.derived import drop_derived, let_go
from postkeep.services.vault.flags import DELETED, SEEN
from postkeep.stores.postgres import Connection
from postkeep.stores.vault_changes import MailboxDelta, count_mailbox, negative, use_quota
from postkeep.stores.vault_holds import hold_back

Place = tuple[bytes, bytes, bytes]
"""Tenant, owner and mailbox."""


async def keep_back(
    connection: Connection, place: Place, uids: Sequence[int], modseq: int, now_ms: int
) -> tuple[list[Record], list[int]]:
    """Move messages into what is held; the owner's counts and quota follow, and what was made of them goes.
    Return their rows, and the slots that are to be overwritten."""
    if not uids:
        return [], []
    tenant, owner, mailbox = place
    rows = await hold_back(connection, tenant, owner, mailbox, uids)
    octets = sum(row["size"] for row in rows)
    gone = MailboxDelta(
        modseq,
        len(rows),
        sum(not row["flags"] & SEEN for row in rows),
        sum(bool(row["flags"] & DELETED) for row in rows),
        octets,
    )
    await count_mailbox(connection, tenant, mailbox, negative(gone))
    await use_quota(connection, tenant, owner, -octets, -len(rows))
    derived = await drop_derived(connection, tenant, mailbox, (row["uid"] for row in rows))
    return rows, await let_go(connection, tenant, derived, now_ms)
