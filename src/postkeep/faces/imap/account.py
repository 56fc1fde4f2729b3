"""A person who is signed in on one connection: the ticket, the keys, the mailboxes under their names."""

import contextlib
from collections.abc import Sequence

from postkeep.base.errors import PostkeepError
from postkeep.base.ids import new_id
from postkeep.crypto.epoch import EpochStep
from postkeep.crypto.message import open_name, seal_name
from postkeep.faces.imap.entries import read_lone
from postkeep.faces.imap.keepers import Keepers
from postkeep.faces.imap.keyring import Keyring
from postkeep.faces.imap.limits import RENEW_BEFORE_SECONDS
from postkeep.faces.imap.names import ROLE_NAMES, Named, Tree, canonical
from postkeep.faces.imap.place import Place
from postkeep.faces.imap.sharing import SharedMailboxes
from postkeep.services.authority.api import RenewUser, SignedIn, SignOut
from postkeep.services.delivery.epochs import EpochBook, OpenEpoch
from postkeep.services.vault.api import (
    ChangeMailboxes,
    ListMailboxes,
    MailboxChange,
    MailboxList,
    MailboxRow,
    SealedName,
)


class Account:
    """Everything that dies with the session. Nothing of it is shared with another connection."""

    def __init__(self, keepers: Keepers, signed_in: SignedIn) -> None:
        self.keepers = keepers
        self.tenant = signed_in.tenant
        self.principal = signed_in.principal
        self.session = signed_in.session
        self.ticket = signed_in.ticket
        self.expires = signed_in.expires
        self.public_key = signed_in.public_key
        self.started_ms = keepers.clock.now_ms()
        self.keyring = Keyring(keepers, signed_in.tenant, signed_in.principal)
        self.book = EpochBook(lambda: keepers.anchors.directory, keepers.clock, writers_max=1)
        self._names: dict[tuple[bytes, bytes, int], str] = {}
        self.shared = SharedMailboxes(keepers, signed_in.tenant, signed_in.principal, signed_in.session)
        self._tree: Tree | None = None
        self._lone = 0
        """The version of the entries that the tree's lone subscriptions were read at."""

    async def renew(self) -> None:
        """Get a fresh ticket; raises RefusedError where the session has ended."""
        fresh = await self.keepers.authority.renew_user(RenewUser(self.session))
        self.ticket = fresh.ticket
        self.expires = fresh.expires

    async def keep_fresh(self) -> None:
        """Have a ticket that is good for a while; RefusedError where the session has ended.

        An idle connection needs no ticket: it is renewed when there is something to do with it.
        """
        now = self.keepers.clock.now_seconds()
        if self.expires > now + RENEW_BEFORE_SECONDS:
            return
        try:
            await self.renew()
        except PostkeepError as error:
            if not error.temporary or self.expires <= now:
                raise

    def rest(self) -> None:
        """Let go of what can be read again: nothing may be asked for hours."""
        self._tree, self._lone = None, 0

    async def sign_out(self) -> None:
        """End the session; where the authority does not answer it ends by itself with its ticket."""
        with contextlib.suppress(PostkeepError):
            await self.keepers.authority.sign_out(SignOut(self.session))

    async def tree(self, *, counts: bool = False, deleted_sizes: bool = False) -> Tree:
        """Return the mailboxes as they are now, names opened; with `counts` their counts too are of now."""
        return await self._read(None if counts else [], deleted_sizes=deleted_sizes)

    async def named(self, name: str, *, deleted_sizes: bool = False) -> Named | None:
        """Find one mailbox by any spelling of its name, its counts as they are now."""
        held = self._tree.find(name) if self._tree is not None else None
        wanted = [] if held is None else [held.row.id]
        return (await self._read(wanted, deleted_sizes=deleted_sizes)).find(name)

    async def tree_with(self, mailboxes: list[bytes]) -> Tree:
        """Return the mailboxes as they are now, and the counts of these ones too."""
        return await self._read(mailboxes, deleted_sizes=False)

    @property
    def held_tree(self) -> Tree | None:
        """The mailboxes as this client was last shown them; None: it has not asked yet."""
        return self._tree

    async def _read(self, wanted: list[bytes] | None, *, deleted_sizes: bool) -> Tree:
        """Bring the tree up to date with one call, which says little where the list has not changed."""
        held = self._tree
        known = 0 if held is None or self.shared.is_due() else held.version
        listed = await self.keepers.vault.mailboxes(
            ListMailboxes(self.principal, known, wanted, deleted_sizes), ticket=self.ticket
        )
        if held is not None and listed.version == known:
            held.refresh(listed.mailboxes)
            if self.shared and (wanted is None or any(mailbox in self.shared for mailbox in wanted)):
                held.refresh(named.row for named in await self.shared.read(self.ticket))
        else:
            held = await self._build(listed, held)
        if listed.entries_version != self._lone:
            held.lone = await read_lone(self)
            self._lone = listed.entries_version
        self._tree = held
        return held

    async def _build(self, listed: MailboxList, held: Tree | None) -> Tree:
        sealed = [row.name for row in listed.mailboxes if row.name and not self._known(row)]
        await self.keyring.need((name.epoch for name in sealed), self.ticket)
        mailboxes = [Named(self._name(row), row) for row in listed.mailboxes]
        mailboxes += await self.shared.read(self.ticket)
        return Tree(mailboxes, listed.version, frozenset() if held is None else held.lone)

    def place_of(self, named: Named) -> Place:
        """Return where a mailbox lies, with the keys to it."""
        owner = named.owner or self.principal
        keyring = self.shared.keyring(owner) if named.owner else self.keyring
        return Place(owner, named.row.id, keyring, frozenset(named.rights))

    def take(self, owner: bytes) -> tuple[OpenEpoch, EpochStep]:
        """Return the next step to seal something to a mailbox's owner (empty: oneself) with."""
        return self.shared.take(owner) if owner else self.book.take(self.public_key)

    def seal_mailbox_name(self, mailbox: bytes, name: str) -> tuple[SealedName, OpenEpoch]:
        """Seal a name for a mailbox; the epoch goes along with the change until the vault has it."""
        epoch, step = self.book.take(self.public_key)
        writer = epoch.writer
        sealed = seal_name(step, self.tenant, self.principal, mailbox, writer.epoch, name)
        self._names[mailbox, writer.epoch, step.index] = name
        return SealedName(writer.epoch, step.index, sealed), epoch

    async def change(
        self, tree: Tree, changes: Sequence[MailboxChange], epochs: Sequence[OpenEpoch] = ()
    ) -> None:
        """Change the mailbox list; raises ConflictError if it has changed since `tree` was read."""
        unknown = {id(epoch): epoch for epoch in epochs if not epoch.acknowledged}
        await self.keepers.vault.change_mailboxes(
            ChangeMailboxes(
                self.principal,
                tree.version,
                list(changes),
                [epoch.announcement for epoch in unknown.values()],
            ),
            ticket=self.ticket,
        )
        for epoch in unknown.values():
            epoch.acknowledged = True

    def new_mailbox(self, name: str) -> tuple[MailboxChange, OpenEpoch]:
        """Return the change that makes a mailbox."""
        mailbox = new_id()
        sealed, epoch = self.seal_mailbox_name(mailbox, name)
        return MailboxChange(mailbox, create=True, name=sealed, subscribed=False), epoch

    def _known(self, row: MailboxRow) -> bool:
        return row.name is None or (row.id, row.name.epoch, row.name.index) in self._names

    def _name(self, row: MailboxRow) -> str:
        if row.name is None:
            return ROLE_NAMES.get(row.role, row.id.hex())
        key = (row.id, row.name.epoch, row.name.index)
        name = self._names.get(key)
        if name is None:
            wrap_key = self.keyring.wrap_key("metadata", row.name.epoch, row.name.index)
            opened = open_name(
                wrap_key,
                self.tenant,
                self.principal,
                row.id,
                row.name.epoch,
                row.name.index,
                row.name.sealed,
            )
            name = self._names[key] = canonical(opened)
        return name
