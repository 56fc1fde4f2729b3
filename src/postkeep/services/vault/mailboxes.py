"""The list of a principal's mailboxes: reading it, and changing it all or nothing."""

from collections.abc import Sequence
from typing import Final

import msgspec
from asyncpg import Record, UniqueViolationError

from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, InvalidInputError, LimitError, NotFoundError, RefusedError
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault import api
from postkeep.services.vault.derived import drop_all_derived, let_go
from postkeep.services.vault.erasing import erase
from postkeep.services.vault.events import event_fields, pack_event
from postkeep.services.vault.expunging import account_removal, shred_event
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.holding import Holding
from postkeep.services.vault.removal import BATCH_MESSAGES, Removal
from postkeep.services.vault.rows import mailbox_row
from postkeep.services.vault.validation import check_epochs, check_id, check_name
from postkeep.services.vault.watching import Watching
from postkeep.stores.postgres import Connection, database_errors, in_transaction
from postkeep.stores.vault_changes import delete_some, lock_mailboxes, lock_principal, note_events
from postkeep.stores.vault_deposits import ROLES, EpochInsert, ensure_mailboxes, store_epochs
from postkeep.stores.vault_holds import hold_mailbox
from postkeep.stores.vault_mailboxes import (
    MailboxFields,
    advance_list,
    create_mailbox,
    delete_mailbox,
    deleted_sizes,
    list_at_version,
    list_mailboxes,
    mailbox_exists,
    update_mailbox,
)
from postkeep.stores.vault_rights import advance_readers
from postkeep.tickets.clear import Grant

MAILBOXES_MAX: Final = 10_000  # mailboxes of one principal: a list that a client can still show
CHANGES_MAX: Final = 1000  # changes in one call


class Mailboxes:
    """`vault.mailboxes` and `vault.change_mailboxes`."""

    def __init__(
        self,
        stores: Stores,
        watching: Watching,
        clock: Clock,
        removal: Removal,
        holding: Holding,
        *,
        trail: Trail,
    ) -> None:
        self._stores = stores
        self._holding = holding
        self._removal = removal
        self._watching = watching
        self._clock = clock
        self._trail = trail

    async def mailboxes(self, grant: Grant, request: api.ListMailboxes) -> api.MailboxList:
        """Answer `vault.mailboxes`."""
        tenant, principal = grant.tenant, request.principal
        if request.known:
            unchanged = await self._at_version(grant, request)
            if unchanged is not None:
                return unchanged
        with database_errors():
            rows = await list_mailboxes(self._stores.pool, tenant, principal)
        if not any(row["role"] == "inbox" for row in rows):

            async def work(connection: Connection) -> list[Record]:
                wanted = [(tenant, principal, "inbox")]
                await ensure_mailboxes(connection, wanted, self._clock.now_seconds())
                return await list_mailboxes(connection, tenant, principal)

            rows = await in_transaction(self._stores.pool, work)
        if grant.mailboxes is not None:
            rows = [row for row in rows if row["mailbox"] in grant.mailboxes]
        self._note_names(grant, principal, [row["mailbox"] for row in rows if row["name_epoch"] is not None])
        version, entries = (rows[0]["list_version"], rows[0]["entries_version"]) if rows else (0, 0)
        boxes = await self._with_deleted_sizes(grant, request, [mailbox_row(row) for row in rows])
        return api.MailboxList(boxes, version, entries)

    async def _at_version(self, grant: Grant, request: api.ListMailboxes) -> api.MailboxList | None:
        """Answer from a list that has not changed since the caller read it; None: it has."""
        with database_errors():
            rows = await list_at_version(
                self._stores.pool, grant.tenant, request.principal, request.known, request.mailboxes
            )
        if not rows:
            return None
        allowed = grant.mailboxes
        boxes = [
            mailbox_row(row)
            for row in rows
            if row["mailbox"] is not None and (allowed is None or row["mailbox"] in allowed)
        ]
        boxes = await self._with_deleted_sizes(grant, request, boxes)
        return api.MailboxList(boxes, rows[0]["list_version"], rows[0]["entries_version"])

    async def _with_deleted_sizes(
        self, grant: Grant, request: api.ListMailboxes, boxes: list[api.MailboxRow]
    ) -> list[api.MailboxRow]:
        wanted = [box.id for box in boxes if box.deleted] if request.deleted_sizes else []
        if not wanted:
            return boxes
        with database_errors():
            sizes = await deleted_sizes(self._stores.pool, grant.tenant, wanted)
        return [msgspec.structs.replace(box, deleted_size=sizes.get(box.id, 0)) for box in boxes]

    def _note_names(self, grant: Grant, principal: bytes, boxes: list[bytes]) -> None:
        """Tell of sealed names that go out: the reader has kms open the epochs that they are sealed with."""
        if boxes:
            fields = event_fields(grant, grant.tenant, boxes, principal=principal, category=Category.METADATA)
            self._trail.note(EventName.READ, **fields)

    async def change_mailboxes(self, grant: Grant, request: api.ChangeMailboxes) -> api.MailboxList:
        """Answer `vault.change_mailboxes`."""
        check_epochs(request.epochs)
        _check_changes(request, grant)
        tenant, principal = grant.tenant, request.principal

        async def work(connection: Connection) -> tuple[list[Record], list[int]]:
            owner = await lock_principal(connection, tenant, principal)
            if owner is None or owner["list_version"] != request.version:
                raise ConflictError("the list of mailboxes has changed")
            ids = sorted({change.id for change in request.changes})
            boxes = await lock_mailboxes(connection, tenant, principal, ids)
            epochs = [EpochInsert(tenant, principal, item.epoch, item.sealed) for item in request.epochs]
            await store_epochs(connection, epochs)
            uid_validity = max(self._clock.now_seconds(), owner["uid_validity_last"] + 1)
            slots: list[int] = []
            for change in request.changes:
                try:
                    slots += await self._apply(connection, grant, principal, change, boxes, uid_validity)
                except UniqueViolationError as exc:
                    raise ConflictError("the role belongs to another mailbox") from exc
                uid_validity += change.create
            await advance_list(connection, tenant, principal, uid_validity)
            await advance_readers(connection, tenant, principal)
            rows = await list_mailboxes(connection, tenant, principal)
            _check_list(rows)
            await note_events(connection, [_change_event(grant, principal, request.changes)])
            return rows, slots

        rows, slots = await in_transaction(self._stores.pool, work)
        await erase(self._stores, tenant, slots)
        if any(change.delete for change in request.changes):
            await self._removal.clear_graves(grant, tenant)
        version, entries = rows[0]["list_version"], rows[0]["entries_version"]
        self._watching.changed([(tenant, principal, b"", version)])
        return api.MailboxList([mailbox_row(row) for row in rows], version, entries)

    async def _apply(  # noqa: PLR0917 - whose list, the change, and what it is made in
        self,
        connection: Connection,
        grant: Grant,
        principal: bytes,
        change: api.MailboxChange,
        boxes: dict[bytes, Record],
        uid_validity: int,
    ) -> list[int]:
        """Make one change; return the slots to be overwritten."""
        tenant, fields = grant.tenant, _fields(change)
        if change.create:
            if await mailbox_exists(connection, tenant, change.id):
                raise ConflictError("the identifier is taken")
            await create_mailbox(connection, tenant, principal, change.id, fields, uid_validity=uid_validity)
        elif change.id not in boxes:
            raise NotFoundError("no such mailbox")
        elif change.delete:
            return await self._delete(connection, grant, principal, boxes.pop(change.id))
        else:
            await update_mailbox(connection, tenant, principal, change.id, fields)
        return []

    async def _delete(self, connection: Connection, grant: Grant, principal: bytes, box: Record) -> list[int]:
        """Delete a mailbox with all its messages; return the slots to be overwritten.

        A large one is only taken from its owner here, and destroyed afterwards in batches; one under legal
        hold is taken from its owner and stays.
        """
        if box["role"] == "inbox":
            raise RefusedError("the inbox can't be deleted")
        tenant, mailbox = grant.tenant, box["mailbox"]
        if await self._holding.covers(connection, tenant, principal=principal, mailbox=mailbox):
            await hold_mailbox(connection, tenant, principal, box)
            derived = await drop_all_derived(connection, tenant, mailbox)
            return await let_go(connection, tenant, derived, self._clock.now_ms())
        if box["messages"] > BATCH_MESSAGES:
            await self._removal.bury(connection, tenant, principal, box)
            return []
        rows = await delete_some(connection, tenant, mailbox, BATCH_MESSAGES)
        place, modseq = (tenant, principal, mailbox), box["highest_modseq"] + 1
        slots = await account_removal(connection, place, rows, modseq, self._clock.now_ms())
        if rows:
            await note_events(connection, [shred_event(grant, tenant, principal, mailbox, rows)])
        await delete_mailbox(connection, tenant, mailbox)
        return slots


def _check_changes(request: api.ChangeMailboxes, grant: Grant) -> None:
    if not 0 < len(request.changes) <= CHANGES_MAX:
        raise LimitError(f"{len(request.changes)} changes to mailboxes")
    for epoch in request.epochs:
        if epoch.tenant != grant.tenant or epoch.principal != request.principal:
            raise RefusedError("an epoch of another principal")
    for change in request.changes:
        check_id(change.id)
        if change.name is not None:
            check_name(change.name)
        if change.role not in (None, "", *ROLES):
            raise InvalidInputError(f"no mailbox has the role {change.role[:20]!r}")
        if change.create and (change.delete or (change.name is None and not change.role)):
            raise InvalidInputError("a new mailbox has a name or a role")


def _check_list(rows: Sequence[Record]) -> None:
    """Hold the list to its rules after all changes: one inbox, no role twice, a name for each."""
    roles = [row["role"] for row in rows if row["role"]]
    if roles.count("inbox") != 1 or len(set(roles)) != len(roles):
        raise ConflictError("every role belongs to one mailbox, and one is the inbox")
    if any(not row["role"] and row["name_epoch"] is None for row in rows):
        raise InvalidInputError("a mailbox without a role needs a name")
    if len(rows) > MAILBOXES_MAX:
        raise LimitError(public_text=f"There can be {MAILBOXES_MAX} mailboxes.")


def _fields(change: api.MailboxChange) -> MailboxFields:
    name = change.name
    return MailboxFields(
        change.role,
        name.epoch if name else None,
        name.index if name else None,
        name.sealed if name else None,
        change.subscribed,
        change.selectable,
    )


def _change_event(grant: Grant, principal: bytes, changes: Sequence[api.MailboxChange]) -> bytes:
    ids = [change.id for change in changes]
    return pack_event(EventName.WRITE, event_fields(grant, grant.tenant, ids, principal=principal))
