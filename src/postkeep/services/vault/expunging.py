"""Removing messages for good: rows go in one transaction, then their wrapped keys are overwritten, and only
then is it said that they are gone. Under a legal hold they only go out of sight."""

from collections import Counter
from collections.abc import Sequence

from asyncpg import Record

from postkeep.base.clock import Clock
from postkeep.base.errors import NotFoundError
from postkeep.model.audit import EventName
from postkeep.services.vault import api
from postkeep.services.vault.changing import write_event
from postkeep.services.vault.derived import drop_derived
from postkeep.services.vault.erasing import erase
from postkeep.services.vault.events import event_fields, pack_event
from postkeep.services.vault.flags import DELETED, SEEN
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.holding import Holding
from postkeep.services.vault.keeping import Place, keep_back
from postkeep.services.vault.uids import merge_ranges, ranges_of
from postkeep.services.vault.watching import Watching
from postkeep.stores.postgres import Connection, in_transaction
from postkeep.stores.vault_changes import (
    MailboxDelta,
    count_mailbox,
    delete_flagged,
    erase_later,
    flagged_uids,
    lock_mailboxes,
    lock_principal,
    negative,
    note_events,
    note_expunged,
    release_bodies,
    use_quota,
)
from postkeep.tickets.clear import Grant


class Expunging:
    """`vault.expunge`."""

    def __init__(self, stores: Stores, watching: Watching, holding: Holding, clock: Clock) -> None:
        self._stores = stores
        self._watching = watching
        self._holding = holding
        self._clock = clock

    async def expunge(self, grant: Grant, request: api.Expunge) -> api.Expunged:
        """Answer `vault.expunge`."""
        ranges = None if request.uids is None else merge_ranges(request.uids)
        tenant, principal, mailbox = place = grant.tenant, request.principal, request.mailbox

        async def work(connection: Connection) -> tuple[list[Record], int, list[int]]:
            await lock_principal(connection, tenant, principal)
            boxes = await lock_mailboxes(connection, tenant, principal, [mailbox])
            if mailbox not in boxes:
                raise NotFoundError("no such mailbox")
            modseq = boxes[mailbox]["highest_modseq"]
            held = await self._holding.covers(connection, tenant, principal=principal, mailbox=mailbox)
            if held:
                uids = await flagged_uids(connection, tenant, mailbox, ranges)
                rows, slots = await keep_back(connection, place, uids, modseq + 1, self._clock.now_ms())
                event = write_event(grant, principal, mailbox, [row["body"] for row in rows])
            else:
                rows = await delete_flagged(connection, tenant, mailbox, ranges)
                slots = await account_removal(connection, place, rows, modseq + 1, self._clock.now_ms())
                event = shred_event(grant, tenant, principal, mailbox, rows)
            if not rows:
                return rows, modseq, slots
            modseq += 1
            gone = ranges_of(sorted(row["uid"] for row in rows))
            await note_expunged(connection, tenant, mailbox, modseq, gone)
            await note_events(connection, [event])
            return rows, modseq, slots

        rows, modseq, slots = await in_transaction(self._stores.pool, work)
        await erase(self._stores, tenant, slots)
        if rows:
            self._watching.changed([(tenant, principal, mailbox, modseq)])
        return api.Expunged(sorted(row["uid"] for row in rows), modseq)


async def account_removal(
    connection: Connection, place: Place, rows: Sequence[Record], modseq: int, now_ms: int
) -> list[int]:
    """Follow up the deletion of message rows: counts, quota, bodies, and what was made of them. Return the
    slots that are to be overwritten."""
    if not rows:
        return []
    tenant, principal, mailbox = place
    octets = sum(row["size"] for row in rows)
    gone = MailboxDelta(
        modseq,
        len(rows),
        sum(not row["flags"] & SEEN for row in rows),
        sum(bool(row["flags"] & DELETED) for row in rows),
        octets,
    )
    await count_mailbox(connection, tenant, mailbox, negative(gone))
    await use_quota(connection, tenant, principal, -octets, -len(rows))
    derived = await drop_derived(connection, tenant, mailbox, (row["uid"] for row in rows))
    slots = [row["slot"] for row in rows] + derived.slots
    await erase_later(connection, tenant, slots)
    bodies = Counter(row["body"] for row in rows)
    bodies.update(derived.bodies)
    await release_bodies(connection, tenant, bodies, now_ms)
    return slots


def shred_event(
    grant: Grant, tenant: bytes, principal: bytes, mailbox: bytes, rows: Sequence[Record]
) -> bytes:
    """Describe for the ledger what was removed."""
    bodies = [row["body"] for row in rows]
    return pack_event(
        EventName.SHRED, event_fields(grant, tenant, bodies, principal=principal, mailbox=mailbox)
    )
