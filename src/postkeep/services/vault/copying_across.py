"""Copying messages between mailboxes of different principals: the body stays, its keys are wrapped anew."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from asyncpg import Record

from postkeep.base.clock import Clock
from postkeep.base.errors import InvalidInputError, LimitError, NotFoundError, QuotaError, RefusedError
from postkeep.services.vault.api import WRAPS_BYTES, Copied
from postkeep.services.vault.changing import write_event
from postkeep.services.vault.flags import DELETED, SEEN
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.rights_api import LETTERS, CopyAcross, Rewrapped
from postkeep.services.vault.sharing import letters_on
from postkeep.services.vault.validation import INDEX_MAX, check_epochs, check_id
from postkeep.services.vault.watching import Watching
from postkeep.services.vault.writes import Writes
from postkeep.stores.postgres import Connection, in_transaction
from postkeep.stores.vault_changes import (
    MailboxDelta,
    copy_sources,
    count_mailbox,
    keep_bodies,
    lock_mailboxes,
    lock_principal,
    note_events,
    use_quota,
)
from postkeep.stores.vault_copies import AcrossRow, Kept, copy_across
from postkeep.stores.vault_deposits import EpochInsert, store_epochs
from postkeep.stores.vault_rights import rights_between
from postkeep.tickets.clear import Grant

MESSAGES_MAX: Final = 1_000  # messages in one call: 200 KB of wraps, and locks for some 50 ms
_ALL_BITS: Final = 0x7FFF


class CopyingAcross:
    """`vault.copy_across`."""

    def __init__(self, stores: Stores, writes: Writes, watching: Watching, clock: Clock) -> None:
        self._stores = stores
        self._writes = writes
        self._watching = watching
        self._clock = clock

    async def copy_across(self, grant: Grant, request: CopyAcross) -> Copied:
        """Answer `vault.copy_across`: all of the messages that are still there, or none."""
        _check(grant, request)
        loop, slots = asyncio.get_running_loop(), self._stores.slots
        wraps = [message.wraps for message in request.messages]
        with self._writes.writing():
            written = await loop.run_in_executor(self._stores.threads, slots.write_many, wraps)
            wanted = dict(zip([message.uid for message in request.messages], written, strict=True))

            async def work(connection: Connection) -> tuple[Copied, int]:
                return await self._copy(connection, grant, request, wanted)

            copied, modseq = await in_transaction(self._stores.pool, work)
        if copied.pairs:
            self._watching.changed([(grant.tenant, request.owner, request.target, modseq)])
        return copied

    async def _copy(
        self, connection: Connection, grant: Grant, request: CopyAcross, slots: dict[int, int]
    ) -> tuple[Copied, int]:
        tenant, owner = grant.tenant, request.owner
        quota = await lock_principal(connection, tenant, owner)
        boxes: dict[bytes, Record] = {}
        places = ((request.mailbox, request.principal), (request.target, owner))
        for mailbox, principal in sorted(places):  # in one order, whoever copies where
            boxes |= await lock_mailboxes(connection, tenant, principal, [mailbox])
        if quota is None or len(boxes) != len(places):
            raise NotFoundError("no such mailbox")
        box, source = boxes[request.target], boxes[request.mailbox]
        rows = await copy_sources(connection, tenant, request.mailbox, [(uid, uid) for uid in sorted(slots)])
        wanted = {message.uid: message for message in request.messages}
        rows = [row for row in rows if row["body"] == wanted[row["uid"]].body]
        if not rows:
            return Copied(box["uid_validity"], [], source["highest_modseq"]), 0
        octets = sum(row["size"] for row in rows)
        if quota["limit_bytes"] is not None and quota["used_bytes"] + octets > quota["limit_bytes"]:
            raise QuotaError("the copies do not fit")
        kept = await self._kept(connection, grant, request)
        modseq, first = box["highest_modseq"] + 1, box["uid_next"]
        copies = [
            _across(wanted[row["uid"]], first + number, slots[row["uid"]]) for number, row in enumerate(rows)
        ]
        await store_epochs(
            connection, [EpochInsert(tenant, owner, item.epoch, item.sealed) for item in request.epochs]
        )
        route = (request.mailbox, request.target)
        await copy_across(connection, tenant, route, copies, modseq, kept, self._clock.now_ms())
        await count_mailbox(connection, tenant, request.target, _count(rows, modseq, kept, octets))
        await keep_bodies(connection, tenant, Counter(row["body"] for row in rows))
        await use_quota(connection, tenant, owner, octets, len(rows))
        bodies = [row["body"] for row in rows]
        await note_events(connection, [write_event(grant, owner, request.target, bodies)])
        pairs = [(copy.uid, copy.new_uid) for copy in copies]
        return Copied(box["uid_validity"], pairs, source["highest_modseq"]), modseq

    async def _kept(self, connection: Connection, grant: Grant, request: CopyAcross) -> Kept:
        """Say which flags go along: those that could be set there (RFC 4314 section 4)."""
        letters = LETTERS
        if request.owner != grant.principal:
            now_ms = self._clock.now_ms()
            rows = await rights_between(connection, grant.tenant, request.owner, grant.principal)
            letters = letters_on([row for row in rows if row.stands(now_ms)], request.target)
        others = _ALL_BITS & ~(SEEN | DELETED)
        bits = (SEEN if "s" in letters else 0) | (DELETED if "t" in letters else 0)
        return Kept(bits | (others if "w" in letters else 0), "w" in letters)


def _across(message: Rewrapped, new_uid: int, slot: int) -> AcrossRow:
    return AcrossRow(message.uid, new_uid, slot, message.epoch, message.index)


def _count(rows: Sequence[Record], modseq: int, kept: Kept, octets: int) -> MailboxDelta:
    flags = [row["flags"] & kept.bits for row in rows]
    return MailboxDelta(
        modseq,
        len(rows),
        sum(not bits & SEEN for bits in flags),
        sum(bool(bits & DELETED) for bits in flags),
        octets,
        len(rows),
    )


def _check(grant: Grant, request: CopyAcross) -> None:
    if request.principal == request.owner:
        raise InvalidInputError("within one principal messages are copied as they are")
    if not 0 < len(request.messages) <= MESSAGES_MAX:
        raise LimitError(f"{len(request.messages)} messages in one call")
    if len({message.uid for message in request.messages}) != len(request.messages):
        raise InvalidInputError("a message twice")
    check_epochs(request.epochs)
    if any(item.principal != request.owner or item.tenant != grant.tenant for item in request.epochs):
        raise RefusedError("an epoch of another principal")
    for message in request.messages:
        check_id(message.epoch)
        if not 0 <= message.index <= INDEX_MAX:
            raise InvalidInputError("an index beyond the epoch's chain")
        if len(message.wraps) != WRAPS_BYTES or message.wraps == bytes(WRAPS_BYTES):
            raise InvalidInputError("wraps of the wrong size")
