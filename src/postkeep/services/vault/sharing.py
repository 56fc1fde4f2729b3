"""Rights on mailboxes of others: kept here, and held against every call that names another principal.

The table of rules says which methods may do that (`shared`); `guarded` puts the one check around all of them,
so that no handler has to think of it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, InvalidInputError, LimitError, NotFoundError, RefusedError
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.model.ticket import TicketKind
from postkeep.services.ledger.trail import EventFields, Trail
from postkeep.services.vault.api import Done
from postkeep.services.vault.events import event_fields, pack_event
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.needed_rights import NEEDS, Need, owners_of
from postkeep.services.vault.rights_api import (
    LETTERS,
    GetRights,
    ListShared,
    OpenShared,
    Right,
    RightsList,
    RightsSet,
    SetRights,
    SharedList,
    SharedMailbox,
)
from postkeep.services.vault.rows import mailbox_row
from postkeep.services.vault.validation import TIME_MS_MAX, check_id
from postkeep.services.vault.watching import Watching
from postkeep.stores.postgres import Connection, database_errors, in_transaction
from postkeep.stores.vault_changes import lock_mailboxes, lock_principal, note_events
from postkeep.stores.vault_deposits import ensure_mailboxes
from postkeep.stores.vault_mailboxes import list_mailboxes
from postkeep.stores.vault_rights import (
    RightsRow,
    advance_readers,
    drop_rights,
    put_rights,
    rights_between,
    rights_given,
    rights_held,
)
from postkeep.tickets.channel import Handler, holds_shares
from postkeep.tickets.clear import Grant
from postkeep.tickets.rules import RULES, VAULT

RIGHTS_MAX: Final = 10_000  # rows of one owner: a thousand readers of ten mailboxes

_CODE: Final = "refused.rights"
_SHARED: Final = frozenset(
    rule.method for rule in RULES if rule.shared and rule.method.partition(".")[0] == VAULT
)
_Table = Mapping[str, tuple[type[msgspec.Struct], Handler]]


class Sharing:
    """`vault.rights`, `vault.set_rights`, `vault.shared`, `vault.open_shared`, and the guard."""

    def __init__(self, stores: Stores, watching: Watching, trail: Trail, clock: Clock) -> None:
        self._stores = stores
        self._watching = watching
        self._trail = trail
        self._clock = clock

    def handlers(self) -> _Table:
        """Return the methods by their names on the wire."""
        return {
            "vault.rights": (GetRights, self.rights),
            "vault.set_rights": (SetRights, self.set_rights),
            "vault.shared": (ListShared, self.shared),
            "vault.open_shared": (OpenShared, self.open_shared),
        }

    def guarded(self, table: _Table) -> dict[str, tuple[type[msgspec.Struct], Handler]]:
        """Put the check of rights around every method that may name another principal."""
        unknown = _SHARED - NEEDS.keys()
        if unknown:
            raise ValueError(f"no rights are named for {', '.join(sorted(unknown))}")
        return {
            method: (request, self._guard(method, handler) if method in _SHARED else handler)
            for method, (request, handler) in table.items()
        }

    def _guard(self, method: str, handler: Handler) -> Handler:
        needs = NEEDS[method]

        @holds_shares
        async def guarded(grant: Grant, request: Any) -> msgspec.Struct:
            if grant.kind is TicketKind.USER and owners_of(request) != {grant.principal}:
                others = [need for need in needs(request) if need.owner != grant.principal]
                await self._check(grant, others)
            return await handler(grant, request)

        return guarded

    async def _check(self, grant: Grant, needs: Iterable[Need]) -> None:
        """Raise RefusedError unless the ticket's principal has these rights now."""
        held: dict[bytes, list[RightsRow]] = {}
        for need in needs:
            rows = held.get(need.owner)
            if rows is None:
                with database_errors():
                    rows = await rights_between(self._stores.pool, grant.tenant, need.owner, grant.principal)
                rows = held[need.owner] = self._standing(rows)
            if need.mailbox is None:
                fits = any(set(need.letters) <= set(row.letters) for row in rows)
            else:
                fits = set(need.letters) <= set(letters_on(rows, need.mailbox))
            if not rows or not fits:
                fields = event_fields(
                    grant, grant.tenant, [], principal=need.owner, mailbox=need.mailbox or b""
                )
                told = fields | EventFields(outcome="refused", code=_CODE)
                self._trail.note(EventName.ACCESS_REFUSE, **told)
                raise RefusedError(
                    f"it takes {need.letters!r} on the mailbox",
                    code=_CODE,
                    public_text="You have no right to do that with this mailbox: ask its owner.",
                )

    def _standing(self, rows: Iterable[RightsRow]) -> list[RightsRow]:
        now_ms = self._clock.now_ms()
        return [row for row in rows if row.stands(now_ms)]

    async def rights(self, grant: Grant, request: GetRights) -> RightsList:
        """Answer `vault.rights`."""
        with database_errors():
            rows = self._standing(await rights_given(self._stores.pool, grant.tenant, request.principal))
        if request.mailbox:
            rows = [row for row in rows if row.mailbox in {None, request.mailbox}]
            own = {row.reader for row in rows if row.mailbox is not None}
            rows = [row for row in rows if row.mailbox is not None or row.reader not in own]
        return RightsList([Right(row.reader, row.letters, row.mailbox or b"", row.until_ms) for row in rows])

    async def set_rights(self, grant: Grant, request: SetRights) -> RightsSet:
        """Answer `vault.set_rights`."""
        row = _checked(request)
        tenant, owner, reader = grant.tenant, request.principal, request.reader

        async def work(connection: Connection) -> list[RightsRow]:
            if await lock_principal(connection, tenant, owner) is None:
                raise NotFoundError("no such mailbox")
            if row.mailbox is not None and not await lock_mailboxes(connection, tenant, owner, [row.mailbox]):
                raise NotFoundError("no such mailbox")
            there = await rights_between(connection, tenant, owner, reader)
            covered = row.mailbox is not None and any(other.mailbox is None for other in there)
            if row.letters or covered:
                await put_rights(connection, tenant, row)
            else:
                await drop_rights(connection, tenant, owner, row.mailbox, reader)
                if row.mailbox is None:  # an empty row of a single mailbox only takes from the one for all
                    for other in there:
                        if other.mailbox is not None and not other.letters:
                            await drop_rights(connection, tenant, owner, other.mailbox, reader)
            if len(await rights_given(connection, tenant, owner)) > RIGHTS_MAX:
                raise LimitError(f"{RIGHTS_MAX} rights on one owner's mailboxes")
            fields = event_fields(grant, tenant, [reader], principal=owner, mailbox=request.mailbox)
            fields["note"] = f"{reader.hex()} {row.letters or 'none'}"
            await note_events(connection, [pack_event(EventName.SHARE, fields)])
            await advance_readers(connection, tenant, owner, reader)
            return await rights_between(connection, tenant, owner, reader)

        left = await in_transaction(self._stores.pool, work)
        self._tell(tenant, owner, reader)
        held = [other for other in self._standing(left) if other.letters]
        letters = {letter for other in held for letter in other.letters}
        ends = [other.until_ms for other in held]
        until_ms = None if None in ends else max((end for end in ends if end is not None), default=None)
        return RightsSet("".join(letter for letter in LETTERS if letter in letters), until_ms)

    async def shared(self, grant: Grant, request: ListShared) -> SharedList:
        """Answer `vault.shared`."""
        tenant = grant.tenant
        boxes: list[SharedMailbox] = []
        versions: dict[bytes, int] = {}
        with database_errors():
            held = self._standing(await rights_held(self._stores.pool, tenant, request.principal))
            for owner in dict.fromkeys(row.owner for row in held):
                rows = [row for row in held if row.owner == owner]
                listed = await list_mailboxes(self._stores.pool, tenant, owner)
                found = [(box, letters_on(rows, box["mailbox"])) for box in listed]
                seen = [
                    SharedMailbox(owner, mailbox_row(box), letters)
                    for box, letters in found
                    if "l" in letters or "r" in letters
                ]
                self._note_names(grant, owner, seen)
                self._watching.share(tenant, owner, request.principal, [box.row.id for box in seen])
                versions[owner] = listed[0]["list_version"] if listed else 0
                boxes += seen
        ends = [row.until_ms for row in held if row.until_ms is not None]
        return SharedList(boxes, versions, min(ends, default=None))

    async def open_shared(self, grant: Grant, request: OpenShared) -> Done:
        """Answer `vault.open_shared`: only for an owner whom nobody has rights on, and who has no mail."""
        tenant, owner, manager = request.tenant, request.principal, request.manager
        for identifier in (tenant, owner, manager):
            check_id(identifier)

        async def work(connection: Connection) -> None:
            await ensure_mailboxes(connection, [(tenant, owner, "inbox")], self._clock.now_seconds())
            await lock_principal(connection, tenant, owner)
            there = await rights_given(connection, tenant, owner)
            if any(row.reader == manager and row.letters == LETTERS and row.mailbox is None for row in there):
                return
            boxes = await list_mailboxes(connection, tenant, owner)
            if there or any(box["messages"] for box in boxes):
                raise ConflictError(
                    public_text="The mailbox is there already: whoever manages it shares it with others."
                )
            await put_rights(connection, tenant, RightsRow(owner, None, manager, LETTERS, None))
            fields = event_fields(grant, tenant, [manager], principal=owner)
            fields["note"] = f"{manager.hex()} {LETTERS}"
            await note_events(connection, [pack_event(EventName.SHARE, fields)])
            await advance_readers(connection, tenant, owner, manager)

        await in_transaction(self._stores.pool, work)
        self._tell(tenant, owner, manager)
        return Done()

    def _tell(self, tenant: bytes, owner: bytes, reader: bytes) -> None:
        """Have the reader's sessions look again, and forget whom the owner's changes were told to."""
        self._watching.changed([(tenant, owner, b"", 0), (tenant, reader, b"", 0)])

    def _note_names(self, grant: Grant, owner: bytes, boxes: list[SharedMailbox]) -> None:
        named = [box.row.id for box in boxes if box.row.name is not None]
        if named:
            fields = event_fields(grant, grant.tenant, named, principal=owner, category=Category.METADATA)
            self._trail.note(EventName.READ, **fields)


def letters_on(rows: Iterable[RightsRow], mailbox: bytes) -> str:
    """Return the letters on one mailbox (empty: on all of them): its own row counts before that for all."""
    found = {row.mailbox: row.letters for row in rows}
    return found.get(mailbox, found.get(None, "")) if mailbox else found.get(None, "")


def _checked(request: SetRights) -> RightsRow:
    check_id(request.principal)
    check_id(request.reader)
    if request.mailbox:
        check_id(request.mailbox)
    if request.reader == request.principal:
        raise InvalidInputError(public_text="The owner's own rights can't be changed.")
    if not set(request.letters) <= set(LETTERS):
        raise InvalidInputError(public_text=f"The rights are {LETTERS}.")
    if request.until_ms is not None and not 0 < request.until_ms < TIME_MS_MAX:
        raise InvalidInputError("an end in milliseconds since the epoch")
    letters = "".join(letter for letter in LETTERS if letter in request.letters)
    return RightsRow(request.principal, request.mailbox or None, request.reader, letters, request.until_ms)
