"""Copying and moving messages between mailboxes of one principal."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from asyncpg import Record

from postkeep.base.clock import Clock
from postkeep.base.errors import NotFoundError, QuotaError
from postkeep.model.audit import EventName
from postkeep.services.vault import api
from postkeep.services.vault.derived import drop_derived, let_go
from postkeep.services.vault.erasing import erase
from postkeep.services.vault.events import event_fields, pack_event
from postkeep.services.vault.flags import DELETED, SEEN
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.keeping import keep_back
from postkeep.services.vault.uids import merge_ranges, ranges_of
from postkeep.services.vault.watching import Watching
from postkeep.services.vault.writes import Writes
from postkeep.stores.postgres import Connection, in_transaction
from postkeep.stores.vault_changes import (
    CopyRow,
    MailboxDelta,
    copy_keywords,
    copy_rows,
    copy_sources,
    count_mailbox,
    delete_uids,
    keep_bodies,
    lock_mailboxes,
    lock_principal,
    negative,
    note_events,
    note_expunged,
    use_quota,
)
from postkeep.stores.vault_holds import mailbox_held
from postkeep.tickets.clear import Grant


class Changing:
    """The methods that change messages without losing any."""

    def __init__(self, stores: Stores, writes: Writes, watching: Watching, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock
        self._writes = writes
        self._watching = watching

    async def copy(self, grant: Grant, request: api.CopyMessages) -> api.Copied:
        """Answer `vault.copy`. A copy gets slots of its own, so that one can be destroyed without the other;
        a message that is moved keeps its slot."""
        ranges = merge_ranges(request.uids)

        async def work(connection: Connection) -> tuple[api.Copied, int, list[int]]:
            return await self._copy(connection, grant, request, ranges)

        with self._writes.writing():
            copied, target_modseq, slots = await in_transaction(self._stores.pool, work)
        await erase(self._stores, grant.tenant, slots)
        if copied.pairs:
            owner = grant.tenant, request.principal
            self._watching.changed([(*owner, request.target, target_modseq)])
            if request.move:
                self._watching.changed([(*owner, request.mailbox, copied.highest_modseq)])
        return copied

    async def _copy(
        self,
        connection: Connection,
        grant: Grant,
        request: api.CopyMessages,
        ranges: Sequence[tuple[int, int]],
    ) -> tuple[api.Copied, int, list[int]]:
        """Return also the modseq of the target, and slots that are to be overwritten."""
        tenant, source, target = grant.tenant, request.mailbox, request.target
        owner = await lock_principal(connection, tenant, request.principal)
        boxes = await lock_mailboxes(connection, tenant, request.principal, sorted({source, target}))
        if owner is None or source not in boxes or target not in boxes:
            raise NotFoundError("no such mailbox")
        rows = await copy_sources(connection, tenant, source, ranges)
        source_modseq, target_modseq = boxes[source]["highest_modseq"], boxes[target]["highest_modseq"]
        if not rows:
            return api.Copied(boxes[target]["uid_validity"], [], source_modseq), target_modseq, []
        octets = sum(row["size"] for row in rows)
        limit = owner["limit_bytes"]
        if not request.move and limit is not None and owner["used_bytes"] + octets > limit:
            raise QuotaError("the copies do not fit")
        now_ms = self._clock.now_ms()
        held = request.move and await mailbox_held(connection, tenant, source, now_ms)
        if request.move and not held:
            slots = [row["slot"] for row in rows]
        else:
            rows, slots = await self._copy_wraps(rows)
            octets = sum(row["size"] for row in rows)
        target_modseq += 1
        first = boxes[target]["uid_next"]
        copies = [CopyRow(row["uid"], first + n, target_modseq, slots[n]) for n, row in enumerate(rows)]
        await copy_rows(connection, tenant, source, target, copies, now_ms)
        if worded := [row["uid"] for row in rows if row["worded"]]:
            await copy_keywords(connection, tenant, source, target, worded)
        added = _count(rows, target_modseq)._replace(uids=len(rows))
        await count_mailbox(connection, tenant, target, added)
        dropped: list[int] = []
        if request.move:
            source_modseq = (target_modseq if source == target else source_modseq) + 1
            uids = [row["uid"] for row in rows]
            if held:  # what leaves a mailbox under hold stays there too, out of sight
                place = tenant, request.principal, source
                _, dropped = await keep_back(connection, place, uids, source_modseq, now_ms)
            else:
                await delete_uids(connection, tenant, source, uids)
                gone = _count(rows, source_modseq)
                await count_mailbox(connection, tenant, source, negative(gone))
                derived = await drop_derived(connection, tenant, source, uids)
                dropped = await let_go(connection, tenant, derived, now_ms)
            await note_expunged(connection, tenant, source, source_modseq, ranges_of(uids))
        if held or not request.move:
            await keep_bodies(connection, tenant, Counter(row["body"] for row in rows))
            await use_quota(connection, tenant, request.principal, octets, len(rows))
            if not request.move and source == target:
                source_modseq = target_modseq
        await note_events(
            connection, [write_event(grant, request.principal, source, [row["body"] for row in rows])]
        )
        pairs = [(copy.uid, copy.new_uid) for copy in copies]
        return api.Copied(boxes[target]["uid_validity"], pairs, source_modseq), target_modseq, dropped

    async def _copy_wraps(self, rows: Sequence[Record]) -> tuple[list[Record], list[int]]:
        """Give each message a second slot with the same wraps."""
        loop = asyncio.get_running_loop()
        slots = self._stores.slots
        wraps = await loop.run_in_executor(
            self._stores.threads, slots.read_many, [row["slot"] for row in rows]
        )
        there = [(row, wrapped) for row, wrapped in zip(rows, wraps, strict=True) if wrapped is not None]
        written = await loop.run_in_executor(
            self._stores.threads, slots.write_many, [wrapped for _, wrapped in there]
        )
        return [row for row, _ in there], list(written)


def _count(rows: Sequence[Record], modseq: int) -> MailboxDelta:
    return MailboxDelta(
        modseq,
        len(rows),
        sum(not row["flags"] & SEEN for row in rows),
        sum(bool(row["flags"] & DELETED) for row in rows),
        sum(row["size"] for row in rows),
    )


def write_event(grant: Grant, principal: bytes, mailbox: bytes, bodies: Sequence[bytes] | bytes) -> bytes:
    """Describe for the ledger what was changed."""
    return pack_event(
        EventName.WRITE, event_fields(grant, grant.tenant, bodies, principal=principal, mailbox=mailbox)
    )
