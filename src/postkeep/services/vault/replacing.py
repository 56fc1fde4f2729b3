"""A message that takes the place of another one: both in one transaction (RFC 8508)."""

from typing import Final

from postkeep.base.clock import Clock
from postkeep.base.errors import NotFoundError
from postkeep.services.vault.api import DepositResult, Replaced
from postkeep.services.vault.changing import write_event
from postkeep.services.vault.erasing import erase
from postkeep.services.vault.expunging import account_removal, shred_event
from postkeep.services.vault.groups import DepositGroups, Stores
from postkeep.services.vault.holding import Holding
from postkeep.services.vault.keeping import keep_back
from postkeep.services.vault.placing import DepositRequest
from postkeep.services.vault.storing import RowStore
from postkeep.services.vault.watching import Watching
from postkeep.services.vault.writes import Writes
from postkeep.stores.postgres import Connection
from postkeep.stores.vault_changes import delete_these, lock_mailboxes, note_events, note_expunged

MESSAGE_GONE: Final = "not_found.message"
"""The code of the refusal when the message that is to be replaced is there no more."""


class Replacing:
    """`vault.append` with `replaces`."""

    def __init__(  # noqa: PLR0917 - what it works with
        self,
        stores: Stores,
        groups: DepositGroups,
        rows: RowStore,
        watching: Watching,
        holding: Holding,
        writes: Writes,
        clock: Clock,
    ) -> None:
        self._stores = stores
        self._groups = groups
        self._rows = rows
        self._watching = watching
        self._holding = holding
        self._writes = writes
        self._clock = clock

    async def replace(self, request: DepositRequest, replaced: Replaced) -> list[DepositResult]:
        """Store a request in the place of a message. Raise NotFoundError or QuotaError, and nothing has
        changed; a request that is repeated gets its first answer."""
        tenant = request.grant.tenant
        gone: list[tuple[list[int], int]] = []

        async def remove(connection: Connection) -> None:
            gone.append(await self._remove(connection, request, replaced))

        with self._writes.writing():
            await self._groups.write_bytes([request])
            results = await self._rows.store_after(request, (replaced.principal, replaced.mailbox), remove)
        for slots, modseq in gone[-1:]:
            await erase(self._stores, tenant, slots)
            self._watching.changed([(tenant, replaced.principal, replaced.mailbox, modseq)])
        return results

    async def _remove(
        self, connection: Connection, request: DepositRequest, replaced: Replaced
    ) -> tuple[list[int], int]:
        """Remove the message as an expunge does; return the slots to overwrite, and the modseq of it."""
        tenant, principal, mailbox = place = request.grant.tenant, replaced.principal, replaced.mailbox
        boxes = await lock_mailboxes(connection, tenant, principal, [mailbox])
        if mailbox not in boxes:
            raise NotFoundError("no such mailbox", code=MESSAGE_GONE)
        modseq = boxes[mailbox]["highest_modseq"] + 1
        now_ms = self._clock.now_ms()
        if await self._holding.covers(connection, tenant, principal=principal, mailbox=mailbox):
            rows, slots = await keep_back(connection, place, [replaced.uid], modseq, now_ms)
            event = write_event(request.grant, principal, mailbox, [row["body"] for row in rows])
        else:
            rows = await delete_these(connection, tenant, mailbox, [replaced.uid])
            slots = await account_removal(connection, place, rows, modseq, now_ms)
            event = shred_event(request.grant, tenant, principal, mailbox, rows)
        if not rows:
            raise NotFoundError("the message has gone", code=MESSAGE_GONE)
        await note_expunged(connection, tenant, mailbox, modseq, [(replaced.uid, replaced.uid)])
        await note_events(connection, [event])
        return slots, modseq
