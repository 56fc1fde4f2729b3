"""Sealed entries of mailboxes and accounts: read since a version, replaced one blob at a time."""

from collections.abc import Mapping
from typing import Final

import msgspec

from postkeep.base.errors import ConflictError, InvalidInputError, LimitError, NotFoundError, RefusedError
from postkeep.base.ids import NOBODY
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault.entries_api import (
    EntriesBlob,
    EntriesList,
    EntriesSet,
    FetchEntries,
    Scope,
    SetEntries,
)
from postkeep.services.vault.events import event_fields, pack_event
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.validation import INDEX_MAX, check_epochs, check_id
from postkeep.services.vault.watching import Watching
from postkeep.stores.postgres import Connection, database_errors, in_transaction
from postkeep.stores.vault_changes import lock_mailboxes, lock_principal, note_events
from postkeep.stores.vault_deposits import EpochInsert, store_epochs
from postkeep.stores.vault_entries import (
    BlobPlace,
    entries_octets,
    entries_version,
    put_entries,
    read_entries,
)
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

BLOB_BYTES_MAX: Final = 512 * 1024  # octets of one sealed blob: the face allows half of that in the clear
PRINCIPAL_BYTES_MAX: Final = 16 * 1024 * 1024  # octets of all blobs of a principal: they fit in one answer


class Entries:
    """`vault.entries` and `vault.set_entries`."""

    def __init__(self, stores: Stores, watching: Watching, trail: Trail) -> None:
        self._stores = stores
        self._watching = watching
        self._trail = trail

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the methods by their names on the wire."""
        return {
            "vault.entries": (FetchEntries, self.entries),
            "vault.set_entries": (SetEntries, self.set_entries),
        }

    async def entries(self, grant: Grant, request: FetchEntries) -> EntriesList:
        """Answer `vault.entries`."""
        tenant, principal = grant.tenant, request.principal
        with database_errors():
            rows = await read_entries(self._stores.pool, tenant, principal, request.since, request.mailbox)
        allowed, own = grant.mailboxes, principal == grant.principal
        blobs = [
            EntriesBlob(
                row["mailbox"],
                Scope(row["scope"]),
                row["version"],
                row["epoch"],
                row["epoch_index"],
                row["sealed"],
            )
            for row in rows
            if row["mailbox"] is not None
            and (allowed is None or row["mailbox"] in allowed)
            and (own or row["scope"] == Scope.SHARED)
        ]
        if blobs:
            boxes = [blob.mailbox for blob in blobs]
            fields = event_fields(grant, tenant, boxes, principal=principal, category=Category.METADATA)
            self._trail.note(EventName.READ, **fields)
        return EntriesList(blobs, rows[0]["entries_version"] if rows else 0)

    async def set_entries(self, grant: Grant, request: SetEntries) -> EntriesSet:
        """Answer `vault.set_entries`."""
        _check(grant, request)
        tenant, principal = grant.tenant, request.principal
        place = BlobPlace(tenant, principal, request.mailbox, request.scope)

        async def work(connection: Connection) -> tuple[int, int]:
            owner = await lock_principal(connection, tenant, principal)
            if owner is None:
                raise NotFoundError("no such principal")
            if request.mailbox != NOBODY:
                of = request.owner or principal
                boxes = await lock_mailboxes(connection, tenant, of, [request.mailbox])
                if request.mailbox not in boxes:
                    raise NotFoundError("no such mailbox")
            if await entries_version(connection, place) != request.version:
                raise ConflictError("the entries have changed")
            if await entries_octets(connection, place) + len(request.sealed) > PRINCIPAL_BYTES_MAX:
                raise LimitError(public_text="The annotations of all mailboxes together are too large.")
            epochs = [EpochInsert(tenant, principal, item.epoch, item.sealed) for item in request.epochs]
            await store_epochs(connection, epochs)
            version = await put_entries(connection, place, request.epoch, request.index, request.sealed)
            boxes_told = [request.mailbox]
            fields = event_fields(grant, tenant, boxes_told, principal=principal)
            await note_events(connection, [pack_event(EventName.WRITE, fields)])
            return version, owner["list_version"]

        version, list_version = await in_transaction(self._stores.pool, work)
        self._watching.changed([(tenant, principal, b"", list_version)])
        return EntriesSet(version)


def _check(grant: Grant, request: SetEntries) -> None:
    check_epochs(request.epochs)
    for item in request.epochs:
        if item.tenant != grant.tenant or item.principal != request.principal:
            raise RefusedError("an epoch of another principal")
    check_id(request.epoch)
    if request.scope is Scope.PRIVATE and request.principal != grant.principal:
        raise RefusedError("private annotations are the reader's own")
    if request.owner and (request.scope is Scope.SHARED or request.mailbox == NOBODY):
        raise InvalidInputError("shared annotations lie with the owner")
    if request.mailbox != NOBODY:
        check_id(request.mailbox)
    if not 0 <= request.index <= INDEX_MAX:
        raise InvalidInputError("an index beyond the epoch's chain")
    if not 0 < len(request.sealed) <= BLOB_BYTES_MAX:
        raise LimitError("a blob of an impossible size", public_text="The annotations are too large.")
