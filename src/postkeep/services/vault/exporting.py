"""Exports: sealed mail of one person for the holder of an approved grant, page by page.

The vault compares each request with what was approved, and tells the ledger durably before it answers: the
owner sees who has read what, and on which request.
"""

import asyncio
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from asyncpg import Record

from postkeep.base.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
)
from postkeep.base.ids import NOBODY
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.model.selection import PURPOSE, Selection, export_subject
from postkeep.model.ticket import TicketKind
from postkeep.services.ledger.trail import EventFields, Trail
from postkeep.services.vault import export_api as api
from postkeep.services.vault.api import Done, EpochRow, SealedContent
from postkeep.services.vault.events import event_fields
from postkeep.services.vault.flags import flag_names
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.reading import Reading, Wanted
from postkeep.services.vault.rows import mailbox_row
from postkeep.services.vault.validation import TIME_MS_MAX
from postkeep.stores.packs import Location
from postkeep.stores.postgres import database_errors
from postkeep.stores.vault_export import count_messages, read_page
from postkeep.stores.vault_mailboxes import list_mailboxes, read_epochs
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

PAGE_MESSAGES_MAX: Final = 1000  # messages in one answer
PAGE_BYTES_MAX: Final = 8 * 1024 * 1024  # octets of sealed bodies in one answer
DIGEST_BYTES: Final = 32  # SHA-256


class Exporting:
    """`vault.export_begin`, `vault.export_page` and `vault.export_end`."""

    def __init__(self, stores: Stores, reading: Reading, trail: Trail) -> None:
        self._stores = stores
        self._reading = reading
        self._trail = trail

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the methods by their names on the wire."""
        return {
            "vault.export_begin": (api.ExportBegin, self.begin),
            "vault.export_page": (api.ExportPage, self.page),
            "vault.export_end": (api.ExportEnd, self.end),
        }

    async def begin(self, grant: Grant, request: api.ExportBegin) -> api.ExportBegun:
        """Answer `vault.export_begin`."""
        _check_approved(grant, request.principal, request.selection)
        chosen = request.selection
        with database_errors():
            rows = await list_mailboxes(self._stores.pool, grant.tenant, request.principal)
            rows = [row for row in rows if chosen.mailbox in {b"", row["mailbox"]}]
            times = (chosen.since_ms, chosen.until_ms or TIME_MS_MAX)
            messages = await count_messages(
                self._stores.pool, grant.tenant, request.principal, chosen.mailbox, *times
            )
        if chosen.mailbox and not rows:
            raise NotFoundError("no such mailbox")
        named = [row for row in rows if row["name_epoch"] is not None]
        epochs = await self._epochs(grant, [row["name_epoch"] for row in named])
        await self._tell(EventName.EXPORT, grant, "begin", EventFields(count=messages))
        if named:
            await self._tell_read(grant, b"", [row["mailbox"] for row in named], Category.METADATA)
        return api.ExportBegun([mailbox_row(row) for row in rows], epochs, messages)

    async def page(self, grant: Grant, request: api.ExportPage) -> api.ExportedPage:
        """Answer `vault.export_page`."""
        chosen = request.selection
        _check_approved(grant, request.principal, chosen)
        if chosen.mailbox not in {b"", request.mailbox}:
            raise RefusedError("another mailbox than the approved one", code="refused.mailbox")
        if min(request.uid, request.length) < 1 or request.offset < 0:
            raise InvalidInputError("a page begins at a message, and has room")

        def record(bodies: list[bytes]) -> asyncio.Task[int]:
            return asyncio.create_task(self._tell_read(grant, request.mailbox, bodies, Category.CONTENT))

        wanted, parts = await self._reading.read_chosen(lambda: self._choose(grant, request), record)
        if not wanted:
            return api.ExportedPage([], [], 0)
        epochs = await self._epochs(grant, [row["epoch"] for row, _ in wanted])
        about = {row["uid"]: row for row, _ in wanted}
        messages = [_message(about[part.uid], part) for part in parts]
        return api.ExportedPage(messages, epochs, *_next(*wanted[-1]))

    async def end(self, grant: Grant, request: api.ExportEnd) -> Done:
        """Answer `vault.export_end`."""
        _check_approved(grant, request.principal, request.selection)
        if len(request.digest) != DIGEST_BYTES or request.messages < 0:
            raise InvalidInputError("not the end of an export")
        told = EventFields(count=request.messages, digest=request.digest.hex())
        await self._tell(EventName.EXPORT, grant, "end", told)
        return Done()

    async def _choose(self, grant: Grant, request: api.ExportPage) -> Wanted:
        """Pick what fits in one answer: the first body as far as there is room, others as a whole."""
        chosen = request.selection
        times = (chosen.since_ms, chosen.until_ms or TIME_MS_MAX)
        with database_errors():
            rows = await read_page(
                self._stores.pool,
                grant.tenant,
                request.principal,
                request.mailbox,
                request.uid,
                *times,
                PAGE_MESSAGES_MAX,
            )
        wanted: Wanted = []
        left = PAGE_BYTES_MAX
        for row in rows:
            offset = 0
            if request.offset and not wanted:
                if row["uid"] != request.uid:
                    raise ConflictError("the message has gone while it was read", code="conflict.export")
                offset = min(request.offset, row["length"])
            length = row["length"] - offset
            if not wanted:
                length = min(length, request.length, left)
            elif length > left:
                break
            left -= length
            wanted.append((row, Location(row["pack"], row["offset"] + offset, length)))
            if offset + length < row["length"]:
                break  # the rest of it comes first
        return wanted

    async def _epochs(self, grant: Grant, epochs: Sequence[bytes]) -> list[EpochRow]:
        if not epochs:
            return []
        wanted = sorted(set(epochs))
        with database_errors():
            rows = await read_epochs(self._stores.pool, grant.tenant, grant.principal, wanted)
        return [EpochRow(epoch, sealed) for epoch, sealed in rows]

    async def _tell_read(
        self, grant: Grant, mailbox: bytes, objects: Sequence[bytes], category: Category
    ) -> int:
        told = event_fields(grant, grant.tenant, objects, mailbox=mailbox, category=category)
        return await self._trail.record(EventName.READ, **(told | EventFields(note=grant.request)))

    async def _tell(self, event: EventName, grant: Grant, word: str, told: EventFields) -> None:
        fields = event_fields(grant, grant.tenant, [])
        await self._trail.record(event, **(fields | told | EventFields(note=f"{grant.request} {word}")))


def _check_approved(grant: Grant, principal: bytes, selection: Selection) -> None:
    """Raise RefusedError unless the grant is for exactly this part of this person's mail."""
    if grant.kind is not TicketKind.GRANT or grant.purpose != PURPOSE or grant.principal == NOBODY:
        raise RefusedError("not the grant of an export", code="refused.purpose")
    if principal != grant.principal:
        raise RefusedError("another person's mail", code="refused.principal")
    subject = export_subject(grant.tenant, principal, selection).hex()
    if not hmac.compare_digest(subject, grant.subject):
        raise RefusedError("not what was approved", code="refused.subject")


def _next(row: Record, part: Location) -> tuple[int, int]:
    """Say where the next page begins: in the last body if it was cut, or after it."""
    given = part.offset + part.length - row["offset"]
    return (row["uid"], given) if given < row["length"] else (row["uid"] + 1, 0)


def _message(row: Record, part: SealedContent) -> api.ExportedMessage:
    flags = flag_names(row["flags"], row["keywords"])
    return api.ExportedMessage(row["uid"], flags, row["internal_ms"], part)
