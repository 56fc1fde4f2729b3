"""`vault.pages` and `vault.put_pages`: summaries of many messages, sealed as one by whoever has read them.

A page is stored only while it is exact, under the lock of its mailbox, and goes with the first of its
messages that goes (`derived`). Its bytes stand in its row, its wraps in a slot.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from postkeep.base.errors import InvalidInputError, LimitError, NotFoundError, RefusedError
from postkeep.model.categories import Category
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault import api
from postkeep.services.vault.answering import begin_record, need_mailbox
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.pages_api import (
    PAGE_SHIFT,
    FetchPages,
    NewPage,
    PageList,
    PutPages,
    SealedPage,
)
from postkeep.services.vault.uids import UID_MAX, merge_blocks
from postkeep.services.vault.validation import check_epochs, check_id, check_index, check_wraps
from postkeep.services.vault.writes import Writes
from postkeep.stores.postgres import Connection, database_errors, in_transaction
from postkeep.stores.vault_borders import big_endian, native
from postkeep.stores.vault_changes import lock_mailboxes
from postkeep.stores.vault_deposits import EpochInsert, store_epochs
from postkeep.stores.vault_pages import PageInsert, put_pages, read_pages
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024  # octets of pages in one answer
ANSWER_PAGES_MAX: Final = 4096  # pages in one answer: half a million messages
PUT_PAGES_MAX: Final = 256  # pages in one request: 32,768 messages read at a stretch
PUT_BYTES_MAX: Final = 16 * 1024 * 1024  # octets of pages in one request
PAGE_UIDS_MAX: Final = 1 << PAGE_SHIFT
BLOCK_MAX: Final = UID_MAX >> PAGE_SHIFT


class Paging:
    """Keeps pages and gives them out."""

    def __init__(self, stores: Stores, writes: Writes, trail: Trail) -> None:
        self._stores = stores
        self._writes = writes
        self._trail = trail

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the methods by their names on the wire."""
        return {
            "vault.pages": (FetchPages, self.pages),
            "vault.put_pages": (PutPages, self.put_pages),
        }

    async def pages(self, grant: Grant, request: FetchPages) -> PageList:
        """Answer `vault.pages`. Nothing is answered before the ledger has it."""
        if any(not 0 <= low <= high <= BLOCK_MAX for low, high in request.blocks):
            raise InvalidInputError("not a range of blocks")
        blocks = merge_blocks(request.blocks)
        place = grant.tenant, request.principal, request.mailbox
        with database_errors():
            rows = await read_pages(
                self._stores.pool, *place, request.kind, blocks, ANSWER_PAGES_MAX, ANSWER_BYTES_MAX
            )
        if not rows:
            await need_mailbox(self._stores.pool, *place)
            return PageList([])
        recorded = begin_record(
            self._trail,
            grant,
            request.principal,
            request.mailbox,
            [row["page"] for row in rows],
            Category.METADATA,
            messages=sum(row["messages"] for row in rows),
        )
        try:
            wraps = await asyncio.get_running_loop().run_in_executor(
                self._stores.threads, self._stores.slots.read_many, [row["slot"] for row in rows]
            )
        finally:
            await recorded
        found = [
            SealedPage(row[0], row[1], row[2], row[3], wrapped, row[6])
            for row, wrapped in zip(rows, wraps, strict=True)
            if wrapped is not None  # otherwise one of its messages has just gone
        ]
        return PageList(found, more=rows[0]["pages"] > len(rows))

    async def put_pages(self, grant: Grant, request: PutPages) -> api.Done:
        """Answer `vault.put_pages`."""
        _check_put(grant, request)
        tenant, principal, mailbox = grant.tenant, request.principal, request.mailbox
        loop = asyncio.get_running_loop()
        with self._writes.writing():
            slots = await loop.run_in_executor(
                self._stores.threads, self._stores.slots.write_many, [page.wraps for page in request.pages]
            )

            async def work(connection: Connection) -> set[int]:
                boxes = await lock_mailboxes(connection, tenant, principal, [mailbox])
                if mailbox not in boxes:
                    raise NotFoundError("no such mailbox")
                await store_epochs(
                    connection,
                    [EpochInsert(e.tenant, e.principal, e.epoch, e.sealed) for e in request.epochs],
                )
                full = boxes[mailbox]["uid_next"] >> PAGE_SHIFT  # blocks below it get no more UIDs
                rows = [
                    _row(page, slot)
                    for page, slot in zip(request.pages, slots, strict=True)
                    if page.block < full
                ]
                return await put_pages(connection, tenant, mailbox, rows, PAGE_SHIFT)

            kept = await in_transaction(self._stores.pool, work)
            # Wraps of pages that were not stored. What a crash or an error leaves of them upkeep finds.
            unused = [slot for slot in slots if slot not in kept]
            if unused:
                await loop.run_in_executor(self._stores.threads, self._stores.slots.erase_many, unused)
        return api.Done()


def _row(page: NewPage, slot: int) -> PageInsert:
    return PageInsert(
        page.kind,
        page.block,
        big_endian(native(page.uids, "I")),
        page.page,
        page.epoch,
        page.index,
        page.sealed,
        slot,
    )


def _check_put(grant: Grant, request: PutPages) -> None:
    """Accept pages that can be what they say; whether they are exact is found out under lock."""
    if not 0 < len(request.pages) <= PUT_PAGES_MAX:
        raise LimitError(f"{len(request.pages)} pages in one request")
    if sum(len(page.sealed) for page in request.pages) > PUT_BYTES_MAX:
        raise LimitError("pages of more octets than one request holds")
    check_epochs(request.epochs)
    if any(e.tenant != grant.tenant or e.principal != request.principal for e in request.epochs):
        raise RefusedError("an epoch of another principal")
    for page in request.pages:
        check_id(page.page)
        check_id(page.epoch)
        check_index(page.index)
        check_wraps(page.wraps)
        if not 0 <= page.block <= BLOCK_MAX or not page.sealed:
            raise InvalidInputError("a page of no block, or without anything in it")
        if len(page.uids) % 4 or not 0 < len(page.uids) // 4 <= PAGE_UIDS_MAX:
            raise InvalidInputError("a page covers 1 to 128 messages")
