"""What has changed in a person's mailboxes since a client was last told (RFC 5465 section 5). Pure."""

import hashlib
from collections.abc import Collection, Iterable

import msgspec

from postkeep.base.ids import NOBODY
from postkeep.faces.imap.entries import Opened
from postkeep.faces.imap.listing import attributes_of
from postkeep.faces.imap.names import SEPARATOR, Named, Tree, canonical
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import StatusItem
from postkeep.protocols.imap.notify import MESSAGE_EVENTS, Event, EventGroup, MailboxFilter
from postkeep.services.vault.api import MailboxRow
from postkeep.services.vault.entries_api import Scope

_DELIVERED_TO = frozenset({"inbox", "junk"})
_DIGEST_BYTES = 8  # tells one value of an entry from the one before it, and no more


class MailboxState(msgspec.Struct, frozen=True):
    """What STATUS told of a mailbox."""

    uid_validity: int
    uid_next: int
    messages: int
    unseen: int
    highest_modseq: int

    @classmethod
    def of(cls, row: MailboxRow) -> "MailboxState":
        """Take it from a row."""
        return cls(row.uid_validity, row.uid_next, row.messages, row.unseen, max(row.highest_modseq, 1))

    def events_since(self, before: "MailboxState") -> set[Event]:
        """Return what must have happened in between."""
        if before.highest_modseq == self.highest_modseq:
            return set()
        added = self.uid_next - before.uid_next
        events = set()
        if added:
            events.add(Event.MESSAGE_NEW)
        if self.messages < before.messages + added:
            events.add(Event.MESSAGE_EXPUNGE)
        return events or {Event.FLAG_CHANGE}

    def render(self, name: str, group: EventGroup, *, utf8: bool, condstore: bool) -> bytes:
        """Write STATUS with what a group's events are about."""
        values: dict[StatusItem, int | str] = {
            StatusItem.MESSAGES: self.messages,
            StatusItem.UIDNEXT: self.uid_next,
            StatusItem.UIDVALIDITY: self.uid_validity,
        }
        if Event.FLAG_CHANGE in group.events:
            values[StatusItem.UNSEEN] = self.unseen
        if condstore:
            values[StatusItem.HIGHESTMODSEQ] = self.highest_modseq
        return responses.mailbox_status(name, values, utf8=utf8)


_EMPTY = MailboxState(0, 1, 0, 0, 1)


class Told:
    """What one client knows."""

    def __init__(self) -> None:
        self.version = 0
        """Of the list of mailboxes; 0: nothing was told yet, and what is there is no news."""
        self.names: dict[bytes, str] = {}
        self.subscribed: set[str] = set()
        self.states: dict[bytes, MailboxState] = {}
        self.entries_version = -1
        """-1: none were read yet."""
        self.entries: dict[tuple[bytes, Scope], dict[str, bytes]] = {}
        """A digest of each value."""

    def take_names(self, tree: Tree) -> None:
        """Remember the names and subscriptions that a client has been shown."""
        self.version = tree.version
        self.names = {named.row.id: named.name for named in tree.by_name.values()}
        self.subscribed = tree.subscriptions()


def group_of(groups: Iterable[EventGroup], tree: Tree, named: Named) -> EventGroup | None:
    """Return the group that a mailbox belongs to: the first whose filter fits it."""
    own = not named.owner
    return _first(
        groups,
        named.name,
        delivered_to=own and named.row.role in _DELIVERED_TO,
        own=own,
        subscribed=tree.is_subscribed(named.name),
    )


def _first(
    groups: Iterable[EventGroup], name: str, *, own: bool, delivered_to: bool, subscribed: bool
) -> EventGroup | None:
    for group in groups:
        match group.filter:
            case MailboxFilter.PERSONAL:
                fits = own
            case MailboxFilter.INBOXES:
                fits = delivered_to
            case MailboxFilter.SUBSCRIBED:
                fits = subscribed
            case MailboxFilter.SUBTREE:
                bases = map(canonical, group.mailboxes)
                fits = any(name == base or name.startswith(base + SEPARATOR) for base in bases)
            case _:
                fits = name in map(canonical, group.mailboxes)
        if fits:
            return group
    return None


class News:
    """One comparison. What it finds counts as told."""

    def __init__(
        self,
        told: Told,
        tree: Tree,
        groups: tuple[EventGroup, ...],
        selected: bytes,
        *,
        condstore: bool,
        renames_only: bool = False,
    ) -> None:
        self._told = told
        self._tree = tree
        self._groups = groups
        self._selected = selected
        self._condstore = condstore
        self._renames_only = renames_only
        self._is_first = not told.version
        self._by_id = {named.row.id: named for named in tree.by_name.values()}
        self._lists: dict[str, str | None] = {}
        """Names to be listed, with the name before where it was another."""
        self._gone: list[str] = []
        self._states: list[tuple[Named, EventGroup, MailboxState]] = []
        self._entries: list[tuple[str, list[str]]] = []

    def compare_names(self) -> None:
        """Find mailboxes that were made, renamed or deleted, and subscriptions that have changed."""
        told, tree = self._told, self._tree
        subscribed = tree.subscriptions()
        if tree.version == told.version and subscribed == told.subscribed:
            return
        names = {mailbox: named.name for mailbox, named in self._by_id.items()}
        if told.version:
            self._compare_names(names)
            for name in subscribed ^ told.subscribed:
                if self._told_of(Event.SUBSCRIPTION_CHANGE, name):
                    self._lists.setdefault(name, None)
        told.take_names(tree)
        told.states = {mailbox: state for mailbox, state in told.states.items() if mailbox in names}

    def _compare_names(self, names: dict[bytes, str]) -> None:
        before = self._told.names
        for mailbox, name in names.items():
            old = before.get(mailbox)
            if old == name or (old is None and self._renames_only):
                continue
            if self._told_of(Event.MAILBOX_NAME, name, old):
                self._lists[name] = old
        if not self._renames_only:
            gone = (name for mailbox, name in before.items() if mailbox not in names)
            self._gone += [name for name in gone if self._told_of(Event.MAILBOX_NAME, name)]

    def _told_of(self, event: Event, *names: str | None) -> bool:
        """Whether a group tells of an event of a mailbox with one of these names, now or before."""
        for name in names:
            if name is None:
                continue
            named = self._tree.by_name.get(name)
            if named is not None:
                group = group_of(self._groups, self._tree, named)
            else:
                listed = name in self._told.subscribed or self._tree.is_subscribed(name)
                group = _first(self._groups, name, own=True, delivered_to=False, subscribed=listed)
            if group is not None and event in group.events:
                return True
        return False

    def compare_states(self, mailboxes: Collection[bytes] | None) -> None:
        """Find mailboxes (None: among all) whose messages have changed. The selected one is told of
        otherwise."""
        for mailbox in self._by_id.keys() if mailboxes is None else mailboxes:
            named = self._by_id.get(mailbox)
            if named is None or not named.row.selectable:
                continue
            group = group_of(self._groups, self._tree, named)
            if group is None or not group.events & MESSAGE_EVENTS:
                continue
            state = MailboxState.of(named.row)
            before = self._told.states.get(mailbox)
            self._told.states[mailbox] = state
            if before is None and not self._is_first:
                before = _EMPTY  # it was made, or came into sight, since the last time
            if mailbox == self._selected or before is None:
                continue
            if state.events_since(before) & group.events:
                self._states.append((named, group, state))

    def compare_entries(self, changed: Iterable[Opened], version: int) -> None:
        """Find annotations that have changed among blobs that were written since the last time."""
        first = self._told.entries_version < 0
        for opened in changed:
            place = opened.mailbox, opened.scope
            now = {name: _digest(value) for name, value in opened.contents.values.items()}
            before = self._told.entries.get(place, {})
            self._told.entries[place] = now
            names = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
            if names and not first:
                self._note_entries(opened.mailbox, names)
        self._told.entries_version = version

    def _note_entries(self, mailbox: bytes, names: list[str]) -> None:
        if mailbox == NOBODY:
            if any(Event.SERVER_METADATA_CHANGE in group.events for group in self._groups):
                self._entries.append(("", names))
            return
        named = self._by_id.get(mailbox)
        group = None if named is None else group_of(self._groups, self._tree, named)
        if named is not None and group is not None and Event.MAILBOX_METADATA_CHANGE in group.events:
            self._entries.append((named.name, names))

    def render(self, *, utf8: bool) -> bytes:
        """Write it."""
        tree = self._tree
        lines = [
            responses.listing(["\\NonExistent"], name, utf8=utf8)
            for name in self._gone
            if name not in tree.by_name
        ]
        for name, before in self._lists.items():
            attributes = attributes_of(tree, name, subscribed=tree.is_subscribed(name))
            lines.append(responses.listing(attributes, name, utf8=utf8, old_name=before))
        for named, group, state in self._states:
            lines.append(state.render(named.name, group, utf8=utf8, condstore=self._condstore))
        lines += [responses.metadata_changed(name, names, utf8=utf8) for name, names in self._entries]
        return b"".join(lines)


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=_DIGEST_BYTES).digest()
