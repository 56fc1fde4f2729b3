"""Dropping queue items, for those who settle the queue and for the removal of a tenant."""

from collections import Counter
from collections.abc import Sequence

from asyncpg import Record

from postkeep.model.audit import EventName
from postkeep.services.vault.events import event_fields, pack_event
from postkeep.stores.postgres import Connection
from postkeep.stores.vault_changes import erase_later, note_events, release_bodies
from postkeep.stores.vault_queue import delete_items
from postkeep.tickets.clear import Grant


async def drop_queued(
    connection: Connection, grant: Grant, rows: Sequence[Record], now_ms: int, *, note: str = ""
) -> None:
    """Delete locked queue items (tenant, item, body, slot) in the transaction that also notes their slots
    for overwriting and tells the ledger."""
    if not rows:
        return
    await delete_items(connection, [(row["tenant"], row["item"]) for row in rows])
    for tenant, items in _by_tenant(rows).items():
        await erase_later(connection, tenant, [row["slot"] for row in items])
        await release_bodies(connection, tenant, Counter(row["body"] for row in items), now_ms)
    await note_queue_events(connection, grant, rows, note=note)


async def note_queue_events(
    connection: Connection, grant: Grant, rows: Sequence[Record], *, note: str
) -> None:
    """Tell the ledger what was done to queue items (tenant, item), in the transaction that does it."""
    events = []
    for tenant, items in _by_tenant(rows).items():
        fields = event_fields(grant, tenant, [row["item"] for row in items])
        if note:
            fields["note"] = note
        events.append(pack_event(EventName.QUEUE, fields))
    if events:
        await note_events(connection, events)


def _by_tenant(rows: Sequence[Record]) -> dict[bytes, list[Record]]:
    """Group rows, the tenants and each one's items in order of their identifiers."""
    found: dict[bytes, list[Record]] = {}
    for row in sorted(rows, key=lambda row: (row["tenant"], row["item"])):
        found.setdefault(row["tenant"], []).append(row)
    return found
