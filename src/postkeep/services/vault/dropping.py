"""Dropping queue items, for those who settle the queue and for the removal of a tenant."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from asyncpg import Record

from postkeep.model.audit import EventName
from postkeep.services.vault.events import event_fields, pack_event
from postkeep.stores.postgres import Connection
from postkeep.stores.vault_changes import erase_later, note_events, release_bodies
from postkeep.stores.vault_queue import delete_items
from postkeep.tickets.clear import Grant


async def drop_queued(connection: Connection, grant: Grant, rows: Sequence[Record], now_ms: int) -> None:
    """Delete locked queue items (tenant, item, body, slot) in the transaction that also notes their slots
    for overwriting and tells the ledger."""
    if not rows:
        return
    await delete_items(connection, [(row["tenant"], row["item"]) for row in rows])
    for tenant, group in groupby(rows, key=lambda row: row["tenant"]):
        items = list(group)
        await erase_later(connection, tenant, [row["slot"] for row in items])
        await release_bodies(connection, tenant, Counter(row["body"] for row in items), now_ms)
        fields = event_fields(grant, tenant, [row["item"] for row in items])
        await note_events(connection, [pack_event(EventName.QUEUE, fields)])
