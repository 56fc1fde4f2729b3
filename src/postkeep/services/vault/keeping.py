"""Taking messages out of their owner's sight and keeping them: what a legal hold does to an expunge."""

from collections.abc import Sequence

from asyncpg import Record

from postkeep.services.vault.flags import DELETED, SEEN
from postkeep.stores.postgres import Connection
from postkeep.stores.vault_changes import MailboxDelta, count_mailbox, negative, use_quota
from postkeep.stores.vault_holds import hold_back


async def keep_back(  # noqa: PLR0917 - one row of facts
    connection: Connection, tenant: bytes, owner: bytes, mailbox: bytes, uids: Sequence[int], modseq: int
) -> list[Record]:
    """Move messages into what is held; the owner's counts and quota follow. Return their rows."""
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
    return rows
