"""What destruction orders ask of the vault: an outline of what there is, marks to look for afterwards, the
removal of messages and mailboxes, the end of a category of a tenant's data, and giving back the room."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from postkeep.base.clock import Clock
from postkeep.base.errors import InvalidInputError, LimitError
from postkeep.crypto.fingerprint import Fingerprint, fingerprint
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.model.warrant import Unit, Warrant
from postkeep.services.vault import api, destruction_api
from postkeep.services.vault.derived import drop_some_derived, let_go
from postkeep.services.vault.erasing import erase
from postkeep.services.vault.events import event_fields, pack_event
from postkeep.services.vault.expunging import account_removal, shred_event
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.holding import Holding
from postkeep.services.vault.removal import BATCH_MESSAGES, Removal
from postkeep.services.vault.uids import UID_MAX, Range, merge_ranges, ranges_of
from postkeep.services.vault.upkeep import Upkeep
from postkeep.services.vault.validation import check_id
from postkeep.services.vault.watching import Watching
from postkeep.stores.postgres import Connection, database_errors, in_transaction
from postkeep.stores.vault_changes import lock_mailboxes, lock_principal, note_events, note_expunged
from postkeep.stores.vault_destruction import (
    count_in,
    delete_in,
    outline,
    queue_slots,
    slots_in,
    some_slots,
    tenant_slots,
    vacuum,
)
from postkeep.stores.vault_mailboxes import advance_list, delete_mailbox, list_mailboxes
from postkeep.tickets.clear import Grant

OUTLINE_MAX: Final = 1000  # messages in one answer: what a person looks through
MARKS_MAX: Final = 16  # fingerprints taken of one order's messages: each costs a pass over every byte
VACUUM_SECONDS_MAX: Final = 900.0  # one table: bounds a database that hangs, not one that is large
PACKS_AT_ONCE: Final = 1_000_000  # every pack there is
CONTENT_WRAP: Final = (0, api.WRAPS_BYTES // 2)
"""Offset and length of the content key's half of a message's wraps."""
SLOTS_AT_ONCE: Final = 10_000  # slots overwritten with one sync


class Destroying:
    """`vault.outline`, `vault.mark`, `vault.destroy`, `vault.destroy_category` and `vault.purge`."""

    def __init__(  # noqa: PLR0917 - what it works with
        self,
        stores: Stores,
        watching: Watching,
        upkeep: Upkeep,
        removal: Removal,
        holding: Holding,
        clock: Clock,
    ) -> None:
        self._stores = stores
        self._watching = watching
        self._upkeep = upkeep
        self._removal = removal
        self._holding = holding
        self._clock = clock

    async def outline(self, _grant: Grant, request: destruction_api.LookOver) -> destruction_api.Outline:
        """Answer `vault.outline`."""
        check_id(request.principal)
        with database_errors():
            boxes = await list_mailboxes(self._stores.pool, request.tenant, request.principal)
            own = any(box["mailbox"] == request.mailbox for box in boxes)
            rows = (
                await outline(
                    self._stores.pool, request.tenant, request.mailbox, request.after_uid, OUTLINE_MAX
                )
                if own
                else []
            )
        listed = [
            destruction_api.MailboxOutline(
                box["mailbox"], box["role"], box["messages"], box["size"], box["uid_next"]
            )
            for box in boxes
        ]
        return destruction_api.Outline(listed, [destruction_api.MessageOutline(*row) for row in rows])

    async def mark(self, _grant: Grant, request: destruction_api.Mark) -> destruction_api.Marked:
        """Answer `vault.mark`: fingerprints of the content halves of some messages' wraps."""
        pool, warrant = self._stores.pool, request.warrant
        check_id(warrant.tenant)
        with database_errors():
            if warrant.mailbox:
                ranges = self._ranges(warrant.uids)
                slots = await slots_in(pool, warrant.tenant, warrant.mailbox, ranges, MARKS_MAX)
                total = await count_in(pool, warrant.tenant, warrant.mailbox, ranges)
            elif warrant.category == Category.OPERATIONS:
                slots = await queue_slots(pool, warrant.tenant, MARKS_MAX)
                total = len(slots)
            else:
                slots = await some_slots(pool, warrant.tenant, warrant.owner, MARKS_MAX)
                total = len(slots)
        loop = asyncio.get_running_loop()
        records = await loop.run_in_executor(self._stores.threads, self._stores.slots.read_many, slots)
        return destruction_api.Marked(_prints(records, request.salt), total)

    async def destroy(self, grant: Grant, request: destruction_api.Destroy) -> api.Removed:
        """Answer `vault.destroy`. Batch by batch; repeated after an interruption it goes on."""
        warrant = request.warrant
        tenant, principal, mailbox = warrant.tenant, warrant.principal, warrant.mailbox
        for identifier in (tenant, principal, mailbox):
            check_id(identifier)
        ranges, count = self._ranges(warrant.uids), 0
        while removed := await self._remove_some(grant, warrant, ranges):
            count += removed
        if warrant.unit is Unit.MAILBOX:
            await in_transaction(
                self._stores.pool,
                partial(self._drop_mailbox, tenant=tenant, owner=principal, mailbox=mailbox),
            )
        self._watching.changed([(tenant, principal, b"", 0)])
        return api.Removed(count)

    async def destroy_category(self, grant: Grant, request: destruction_api.DestroyCategory) -> api.Removed:
        """Answer `vault.destroy_category`."""
        tenant, category = request.warrant.tenant, request.warrant.category
        check_id(tenant)
        await self._holding.check_free(self._stores.pool, tenant)
        if category == Category.CONTENT:
            return api.Removed(await self._erase_content(grant, tenant))
        if category == Category.OPERATIONS:
            return api.Removed(await self._removal.drop_queue(grant, tenant))
        raise InvalidInputError("no category that is destroyed alone")

    async def _erase_content(self, grant: Grant, tenant: bytes) -> int:
        """Overwrite the content half of the wraps of a tenant's mail; return how many."""
        pool, count, after = self._stores.pool, 0, -1
        erase_content = partial(self._stores.slots.erase_part, offset=CONTENT_WRAP[0], length=CONTENT_WRAP[1])
        while True:
            with database_errors():
                slots = await tenant_slots(pool, tenant, after, SLOTS_AT_ONCE)
            if not slots:
                break
            await asyncio.get_running_loop().run_in_executor(self._stores.threads, erase_content, slots)
            count, after = count + len(slots), slots[-1]
        await self._drop_derived(tenant)
        event = pack_event(EventName.SHRED, {**event_fields(grant, tenant, []), "count": count})
        await in_transaction(pool, lambda connection: note_events(connection, [event]))
        return count

    async def _drop_derived(self, tenant: bytes) -> None:
        """Destroy what readers have made of a tenant's messages, batch by batch."""

        async def work(connection: Connection) -> list[int]:
            derived = await drop_some_derived(connection, tenant, SLOTS_AT_ONCE)
            return await let_go(connection, tenant, derived, self._clock.now_ms())

        while slots := await in_transaction(self._stores.pool, work):
            await erase(self._stores, tenant, slots)

    async def purge(self, _grant: Grant, request: destruction_api.Purge) -> api.Maintained:
        """Answer `vault.purge`: finish erasures, rewrite packs with dead bytes if asked, vacuum tables."""
        report = await self._upkeep.run(0.0, PACKS_AT_ONCE if request.packs else 0)
        with database_errors():
            await vacuum(self._stores.pool, VACUUM_SECONDS_MAX)
        return api.Maintained(*report)

    async def _remove_some(self, grant: Grant, warrant: Warrant, ranges: Sequence[Range]) -> int:
        tenant, principal, mailbox = warrant.tenant, warrant.principal, warrant.mailbox

        async def work(connection: Connection) -> tuple[int, list[int]]:
            await lock_principal(connection, tenant, principal)
            boxes = await lock_mailboxes(connection, tenant, principal, [mailbox])
            await self._holding.check_free(connection, tenant, principal=principal, mailbox=mailbox)
            if mailbox not in boxes:
                return 0, []
            rows = await delete_in(connection, tenant, mailbox, ranges, BATCH_MESSAGES)
            if not rows:
                return 0, []
            modseq = boxes[mailbox]["highest_modseq"] + 1
            gone = ranges_of(sorted(row["uid"] for row in rows))
            await note_expunged(connection, tenant, mailbox, modseq, gone)
            place, now_ms = (tenant, principal, mailbox), self._clock.now_ms()
            slots = await account_removal(connection, place, rows, modseq, now_ms)
            await note_events(connection, [shred_event(grant, tenant, principal, mailbox, rows)])
            return len(rows), slots

        count, slots = await in_transaction(self._stores.pool, work)
        await erase(self._stores, tenant, slots)
        return count

    async def _drop_mailbox(
        self, connection: Connection, *, tenant: bytes, owner: bytes, mailbox: bytes
    ) -> None:
        """Drop an empty mailbox that has no role: those with one stay, as every person has them."""
        principal = await lock_principal(connection, tenant, owner)
        boxes = await lock_mailboxes(connection, tenant, owner, [mailbox])
        if principal is None or mailbox not in boxes or boxes[mailbox]["role"]:
            return
        if boxes[mailbox]["messages"]:
            return  # mail that came after the order: it is not what was ordered
        await delete_mailbox(connection, tenant, mailbox)
        await advance_list(connection, tenant, owner, principal["uid_validity_last"])

    @staticmethod
    def _ranges(uids: list[tuple[int, int]]) -> list[Range]:
        if not uids:
            raise LimitError("no messages named")
        return merge_ranges([(low, min(high, UID_MAX)) for low, high in uids])


def _prints(records: Sequence[bytes | None], salt: bytes) -> list[Fingerprint]:
    offset, length = CONTENT_WRAP
    return [
        fingerprint(record[offset : offset + length], salt)
        for record in records
        if record is not None and any(record[offset : offset + length])
    ]
