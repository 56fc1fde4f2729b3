"""Removing a principal or a tenant with everything that is its own. Interrupted, it goes on when repeated."""

from functools import partial

from asyncpg import Record

from postkeep.base.clock import Clock
from postkeep.services.vault import api
from postkeep.services.vault.dropping import drop_queued
from postkeep.services.vault.erasing import erase
from postkeep.services.vault.expunging import account_removal, shred_event
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.holding import Holding
from postkeep.services.vault.uids import ranges_of
from postkeep.services.vault.validation import check_id
from postkeep.services.vault.watching import Watching
from postkeep.stores.postgres import Connection, database_errors, in_transaction
from postkeep.stores.vault_changes import (
    delete_some,
    lock_mailboxes,
    lock_principal,
    note_events,
    note_expunged,
    use_quota,
)
from postkeep.stores.vault_graves import GRAVES, bury_mailbox, ensure_graves, graves
from postkeep.stores.vault_mailboxes import delete_mailbox, list_mailboxes
from postkeep.stores.vault_upkeep import (
    drop_principal,
    drop_tenant,
    queued_items,
    sent_items,
    tenant_principals,
)
from postkeep.tickets.clear import Grant

BATCH_MESSAGES = 5000  # messages in one transaction: keeps its locks below a second


class Removal:
    """`vault.remove_principal` and `vault.remove_tenant`, and the end of large mailboxes."""

    def __init__(self, stores: Stores, watching: Watching, holding: Holding, clock: Clock) -> None:
        self._stores = stores
        self._watching = watching
        self._holding = holding
        self._clock = clock

    async def remove_principal(self, grant: Grant, request: api.RemovePrincipal) -> api.Removed:
        """Answer `vault.remove_principal`."""
        tenant, principal = request.warrant.tenant, request.warrant.principal
        check_id(principal)
        await self._holding.check_free(self._stores.pool, tenant, principal=principal)
        while request.queued and (
            rows := await in_transaction(
                self._stores.pool, lambda connection: self._drop_sent(connection, grant, tenant, principal)
            )
        ):
            await erase(self._stores, tenant, [row["slot"] for row in rows])
        return api.Removed(await self._remove_principal(grant, tenant, principal))

    async def remove_tenant(self, grant: Grant, request: api.RemoveTenant) -> api.Removed:
        """Answer `vault.remove_tenant`."""
        tenant, pool = request.warrant.tenant, self._stores.pool
        check_id(tenant)
        await self._holding.check_free(pool, tenant)
        count = 0
        await self.drop_queue(grant, tenant)
        with database_errors():
            principals = await tenant_principals(pool, tenant)
        for principal in principals:
            count += await self._remove_principal(grant, tenant, principal)
        await in_transaction(pool, lambda connection: drop_tenant(connection, tenant))
        return api.Removed(count)

    async def drop_queue(self, grant: Grant, tenant: bytes) -> int:
        """Destroy what of a tenant's mail waits to go out, batch by batch; return how many items."""
        count = 0
        while rows := await in_transaction(
            self._stores.pool, lambda connection: self._drop_queue(connection, grant, tenant)
        ):
            await erase(self._stores, tenant, [row["slot"] for row in rows])
            count += len(rows)
        return count

    async def bury(self, connection: Connection, tenant: bytes, principal: bytes, box: Record) -> None:
        """Take a large mailbox from its owner, in the owner's transaction; `clear_graves` destroys it."""
        await ensure_graves(connection, tenant)
        await use_quota(connection, tenant, principal, -box["size"], -box["messages"])
        await use_quota(connection, tenant, GRAVES, box["size"], box["messages"])
        await bury_mailbox(connection, tenant, box["mailbox"])

    async def clear_graves(self, grant: Grant, tenant: bytes | None) -> int:
        """Destroy what is buried, batch by batch; return how many messages. Interrupted, it is repeated."""
        with database_errors():
            boxes = await graves(self._stores.pool, tenant)
        count = 0
        for owner, mailbox in boxes:
            while removed := await self._remove_some(grant, owner, GRAVES, mailbox):
                count += removed
            await in_transaction(self._stores.pool, partial(delete_mailbox, tenant=owner, mailbox=mailbox))
        return count

    async def _remove_principal(self, grant: Grant, tenant: bytes, principal: bytes) -> int:
        count = await self.clear_graves(grant, tenant)
        with database_errors():
            boxes = await list_mailboxes(self._stores.pool, tenant, principal)
        for box in boxes:
            while removed := await self._remove_some(grant, tenant, principal, box["mailbox"]):
                count += removed

        async def drop(connection: Connection) -> bool:
            await lock_principal(connection, tenant, principal)
            left = await list_mailboxes(connection, tenant, principal)
            if any(box["messages"] for box in left):
                return False
            await drop_principal(connection, tenant, principal)
            return True

        if not await in_transaction(self._stores.pool, drop):  # mail came in meanwhile
            return count + await self._remove_principal(grant, tenant, principal)
        self._watching.changed([(tenant, principal, b"", 0)])
        return count

    async def _remove_some(self, grant: Grant, tenant: bytes, principal: bytes, mailbox: bytes) -> int:
        async def work(connection: Connection) -> tuple[int, list[int]]:
            await lock_principal(connection, tenant, principal)
            boxes = await lock_mailboxes(connection, tenant, principal, [mailbox])
            if principal != GRAVES:  # what lies there was free when it was buried
                await self._holding.check_free(connection, tenant, principal=principal)
            if mailbox not in boxes:
                return 0, []
            rows = await delete_some(connection, tenant, mailbox, BATCH_MESSAGES)
            if not rows:
                return 0, []
            modseq = boxes[mailbox]["highest_modseq"] + 1
            place, now_ms = (tenant, principal, mailbox), self._clock.now_ms()
            slots = await account_removal(connection, place, rows, modseq, now_ms)
            if principal != GRAVES:  # nobody opens what lies there
                gone = ranges_of(sorted(row["uid"] for row in rows))
                await note_expunged(connection, tenant, mailbox, modseq, gone)
            await note_events(connection, [shred_event(grant, tenant, principal, mailbox, rows)])
            return len(rows), slots

        count, slots = await in_transaction(self._stores.pool, work)
        await erase(self._stores, tenant, slots)
        return count

    async def _drop_queue(self, connection: Connection, grant: Grant, tenant: bytes) -> list[Record]:
        rows = await queued_items(connection, tenant, BATCH_MESSAGES)
        await drop_queued(connection, grant, rows, self._clock.now_ms())
        return rows

    async def _drop_sent(
        self, connection: Connection, grant: Grant, tenant: bytes, principal: bytes
    ) -> list[Record]:
        rows = await sent_items(connection, tenant, principal, BATCH_MESSAGES)
        await drop_queued(connection, grant, rows, self._clock.now_ms())
        return rows
