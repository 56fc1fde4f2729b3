"""Mailboxes of others that are shared with the person who is signed in: their names, keys and owners.

A person's lie below `Other Users/<address>`, a group's below `Shared/<address>`. Names are sealed to the
owner, whose epochs kms opens for the reader's ticket only as far as they are shared.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from postkeep.base.errors import IntegrityError, NotFoundError, RefusedError
from postkeep.base.ids import new_id
from postkeep.crypto.epoch import EpochStep
from postkeep.crypto.message import open_name, seal_name
from postkeep.faces.imap.keepers import Keepers
from postkeep.faces.imap.keyring import Keyring
from postkeep.faces.imap.names import (
    NAMESPACES,
    OTHERS,
    ROLE_NAMES,
    SEPARATOR,
    SHARED,
    Named,
    canonical,
)
from postkeep.services.authority.colleagues_api import Colleague, Colleagues, FindColleagues
from postkeep.services.delivery.epochs import EpochBook, OpenEpoch
from postkeep.services.vault.api import ChangeMailboxes, MailboxChange, MailboxRow, NewEpoch, SealedName
from postkeep.services.vault.rights_api import ListShared, SharedList

WRITERS_MAX: Final = 4
"""Owners whom one session seals to in turn without beginning a new epoch each time."""
_ESCAPED: Final = str.maketrans({"/": "=2F", "*": "=2A", "%": "=25", "=": "=3D"})
"""Characters of addresses that mean something in names of mailboxes."""


class SharedMailboxes:
    """What others share with one account. It dies with the session."""

    def __init__(self, keepers: Keepers, tenant: bytes, principal: bytes, session: bytes) -> None:
        self._keepers = keepers
        self._tenant = tenant
        self._principal = principal
        self._session = session
        self._owners: dict[bytes, Colleague] = {}
        self._keyrings: dict[bytes, Keyring] = {}
        self._names: dict[tuple[bytes, bytes, int], str] = {}
        self._listed = SharedList([])
        self._book = EpochBook(lambda: keepers.anchors.directory, keepers.clock, writers_max=WRITERS_MAX)

    def is_due(self) -> bool:
        """Whether a right has ended since the list was read."""
        until_ms = self._listed.until_ms
        return until_ms is not None and self._keepers.clock.now_ms() >= until_ms

    def __contains__(self, mailbox: bytes) -> bool:
        """Whether a mailbox is among them."""
        return any(box.row.id == mailbox for box in self._listed.mailboxes)

    def __bool__(self) -> bool:
        """Whether anything is shared."""
        return bool(self._listed.mailboxes)

    async def read(self, ticket: bytes) -> list[Named]:
        """Return the mailboxes as they are now, under their names.

        Those of an owner whose keys are not shared (any more) are left out: nobody could say their names.
        """
        self._listed = listed = await self._keepers.vault.shared(ListShared(self._principal), ticket=ticket)
        owners = list(dict.fromkeys(box.owner for box in listed.mailboxes))
        unknown = [owner for owner in owners if owner not in self._owners]
        if unknown:
            await self.find(principals=unknown)
        found: list[Named] = []
        for owner in owners:
            if owner not in self._owners:
                continue  # gone from the directory, and its mail not yet
            try:
                await self._open_names(owner, ticket)
            except (RefusedError, NotFoundError):
                continue
            prefix = prefix_of(self._owners[owner])
            for box in listed.mailboxes:
                name = self._name(box.row) if box.owner == owner else ""
                if name:
                    row = msgspec.structs.replace(box.row, role="", subscribed=False)
                    found.append(Named(prefix + name, row, owner, box.letters))
        return found

    async def find(self, addresses: Iterable[str] = (), principals: Iterable[bytes] = ()) -> Colleagues:
        """Look colleagues up, and remember who they are."""
        request = FindColleagues(self._session, list(addresses), list(principals))
        answer = await self._keepers.authority.colleagues(request)
        self._owners.update({colleague.principal: colleague for colleague in answer.found})
        return answer

    def keyring(self, owner: bytes) -> Keyring:
        """Return the keys of an owner, as far as they were opened for this reader."""
        found = self._keyrings.get(owner)
        if found is None:
            found = self._keyrings[owner] = Keyring(self._keepers, self._tenant, owner, shared=True)
        return found

    def owner_of(self, name: str) -> bytes:
        """Return below whose prefix a name lies; NotFoundError if below nobody's."""
        for owner, colleague in self._owners.items():
            if name.startswith(prefix_of(colleague)) and owner in self._listed.versions:
                return owner
        raise NotFoundError("no such mailbox")

    def take(self, owner: bytes) -> tuple[OpenEpoch, EpochStep]:
        """Return the next step to seal something to an owner with."""
        colleague = self._owners.get(owner)
        if colleague is None or colleague.key is None:
            raise NotFoundError("no such mailbox")
        return self._book.take(colleague.key)

    async def make(self, name: str, ticket: bytes) -> bytes:
        """Make a mailbox below an owner's prefix; return its identifier. RefusedError without the right."""
        owner = self.owner_of(name)
        mailbox, inner = new_id(), name[len(prefix_of(self._owners[owner])) :]
        epoch, step = self.take(owner)
        writer = epoch.writer
        sealed = seal_name(step, self._tenant, owner, mailbox, writer.epoch, inner)
        change = MailboxChange(
            mailbox, create=True, name=SealedName(writer.epoch, step.index, sealed), subscribed=None
        )
        epochs = [] if epoch.acknowledged else [epoch.announcement]
        await self._change(owner, change, epochs, ticket)
        epoch.acknowledged = True
        return mailbox

    async def remove(self, named: Named, ticket: bytes) -> None:
        """Delete a mailbox of somebody else; RefusedError without the right."""
        await self._change(named.owner, MailboxChange(named.row.id, delete=True), [], ticket)

    async def _change(
        self, owner: bytes, change: MailboxChange, epochs: list[NewEpoch], ticket: bytes
    ) -> None:
        version = self._listed.versions.get(owner, 0)
        request = ChangeMailboxes(owner, version, [change], epochs)
        await self._keepers.vault.change_mailboxes(request, ticket=ticket)

    async def _open_names(self, owner: bytes, ticket: bytes) -> None:
        rows = [box.row for box in self._listed.mailboxes if box.owner == owner]
        sealed = [row for row in rows if row.name is not None and _key(row) not in self._names]
        keyring = self.keyring(owner)
        await keyring.need((row.name.epoch for row in sealed if row.name is not None), ticket)
        for row in sealed:
            name = row.name
            assert name is not None
            try:
                wrap_key = keyring.wrap_key("metadata", name.epoch, name.index)
                opened = open_name(wrap_key, self._tenant, owner, row.id, name.epoch, name.index, name.sealed)
            except IntegrityError:
                continue  # sealed before it was shared, and not ours to open
            self._names[_key(row)] = canonical(opened)

    def _name(self, row: MailboxRow) -> str:
        if row.name is None:
            return ROLE_NAMES.get(row.role, row.id.hex())
        return self._names.get(_key(row), "")


def prefix_of(owner: Colleague) -> str:
    """Return what stands before the names of an owner's mailboxes."""
    space = SHARED if owner.kind == "group" else OTHERS
    return space + SEPARATOR + owner.address.translate(_ESCAPED) + SEPARATOR


def is_shared_name(name: str) -> bool:
    """Whether a name lies where mailboxes of others are: nobody makes an own one there."""
    return name.partition(SEPARATOR)[0] in NAMESPACES


def _key(row: MailboxRow) -> tuple[bytes, bytes, int]:
    assert row.name is not None
    return row.id, row.name.epoch, row.name.index
