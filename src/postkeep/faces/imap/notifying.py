"""NOTIFY: telling a client of what changes in all its mailboxes, unasked (RFC 5465).

What the vault says is only that something has changed; what it was is found by comparing what this client
was told last with what is there now. So it does not matter which process or node has made the change, and
several changes become one notice.
"""

from postkeep.base.errors import UnavailableError
from postkeep.base.ids import NOBODY
from postkeep.faces.imap import updates
from postkeep.faces.imap.entries import read_entries_since
from postkeep.faces.imap.fetch import fetch
from postkeep.faces.imap.news import MailboxState, News, Told, group_of
from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.session import Border, Completion, Session
from postkeep.faces.imap.texts import Text, completed
from postkeep.protocols.imap.commands import Fetch
from postkeep.protocols.imap.fetch import Attribute
from postkeep.protocols.imap.notify import (
    MESSAGE_EVENTS,
    SELECTED_FILTERS,
    Event,
    EventGroup,
    MailboxFilter,
    Notify,
)
from postkeep.protocols.imap.sequence import STAR, SequenceSet

MAILBOXES_WAITING_MAX = 2_000
"""Mailboxes with news that a client has not taken, before it is told nothing more (RFC 5465 section 5.8)."""


class Notifier:
    """What one client has asked for, and what is still to be told (session.Observer)."""

    def __init__(self, groups: tuple[EventGroup, ...]) -> None:
        self.unasked = bool(groups)
        self.selected = next((group for group in groups if group.filter in SELECTED_FILTERS), None)
        self.groups = tuple(group for group in groups if group.filter not in SELECTED_FILTERS)
        self.told = Told()
        self.waiting: set[bytes] = set()
        """Mailboxes that have changed; empty identifier: the list of mailboxes."""
        self.all_waiting = False
        """Changes may have been missed: everything is compared."""

    def heard(self, mailbox: bytes, modseq: int) -> bool:
        """Take in that a mailbox has changed."""
        if not self.groups:
            return False
        self.waiting.add(mailbox)
        self.all_waiting |= modseq == 0
        return True

    def wants(self, *events: Event) -> bool:
        """Whether any of these events is asked for, of whichever mailboxes."""
        return any(event in group.events for group in self.groups for event in events)


class RenameObserver(Notifier):
    """What every client of IMAP4rev2 hears of without asking: that a mailbox has another name now (RFC 9051
    section 6.3.6). It costs nothing until the list changes: what this client knows is what it was shown."""

    def __init__(self, session: Session) -> None:
        super().__init__((EventGroup(MailboxFilter.PERSONAL, events=frozenset({Event.MAILBOX_NAME})),))
        self.unasked = False
        self._session = session

    def heard(self, mailbox: bytes, modseq: int) -> bool:
        """Take in that the list of mailboxes has changed."""
        account = self._session.account
        if mailbox or account is None or account.held_tree is None:
            return False
        if not self.told.version:
            self.told.take_names(account.held_tree)
        return super().heard(mailbox, modseq)


async def notify(session: Session, tag: bytes, command: Notify) -> Completion:
    """Answer NOTIFY. Everything that was asked for before is forgotten."""
    del tag
    if any(group.unknown for group in command.groups):
        raise CommandError(Text.EVENTS_UNKNOWN, f"BADEVENT ({' '.join(Event)})")
    observer = Notifier(command.groups)
    if observer.groups:
        await session.wakeups.watch(session)
        session.observer = observer  # changes from now on are heard, those before are in what follows
        await _look(session, observer, everything=True)
        if command.status:
            await _send_states(session, observer)
    session.observer = observer
    return Completion(completed("NOTIFY"))


async def at_border(session: Session, border: Border) -> None:
    """Tell the client what is new in the selected mailbox and in others, as far as it may be told now."""
    observer = session.observer
    if observer is None and session.rev2:
        observer = session.observer = RenameObserver(session)
    selected = session.selected
    if not isinstance(observer, Notifier):
        await updates.at_border(session, border)
        return
    if isinstance(observer, RenameObserver):
        await updates.at_border(session, border)
    elif selected is not None and observer.selected is not None and observer.selected.events:
        await _tell_selected(session, selected, observer.selected, border)
    if selected is not None:
        observer.waiting.discard(selected.mailbox)
    if border and (observer.waiting or observer.all_waiting):
        try:
            await _tell_others(session, observer)
        except UnavailableError:  # the command itself is done; what was not told is compared later
            observer.all_waiting = True


async def _tell_selected(session: Session, selected: Selected, group: EventGroup, border: Border) -> None:
    """Tell of the selected mailbox; by SELECTED-DELAYED message numbers change only where a command lets
    them (RFC 5465 section 6.2)."""
    if Border.UNASKED in border and group.filter is MailboxFilter.SELECTED_DELAYED:
        border &= ~Border.EXPUNGES
    last = _last_uid(selected)
    await updates.at_border(session, border)
    if group.items and session.selected is selected and _last_uid(selected) > last:
        items = tuple(dict.fromkeys((Attribute.UID, *group.items)))
        await fetch(session, b"", Fetch(SequenceSet(((last + 1, STAR),)), items, uid=True))


def _last_uid(selected: Selected) -> int:
    count = len(selected.view)
    return selected.view.uid_at(count - 1) if count else 0


async def _tell_others(session: Session, observer: Notifier) -> None:
    if len(observer.waiting) > MAILBOXES_WAITING_MAX:
        session.observer = Notifier(())  # as after NOTIFY NONE
        await session.send(session.say(b"*", "OK", Text.TOO_MUCH_NEWS, "NOTIFICATIONOVERFLOW"))
        return
    news = await _look(session, observer, everything=observer.all_waiting)
    await session.send(news.render(utf8=session.utf8))


async def _look(session: Session, observer: Notifier, *, everything: bool) -> News:
    """Compare with what was told last, and remember what is told now."""
    account = session.need_account()
    waiting, observer.waiting, observer.all_waiting = observer.waiting, set(), False
    try:
        if everything and observer.wants(*MESSAGE_EVENTS):
            tree = await account.tree(counts=True)
        else:
            tree = await account.tree_with(sorted(waiting - {b""}))
        wants_entries = observer.wants(Event.MAILBOX_METADATA_CHANGE, Event.SERVER_METADATA_CHANGE)
        entries = None
        if wants_entries:
            entries = await read_entries_since(account, max(observer.told.entries_version, 0))
    except BaseException:
        observer.waiting |= waiting
        observer.all_waiting |= everything
        raise
    selected = session.selected.mailbox if session.selected is not None else NOBODY
    news = News(
        observer.told,
        tree,
        observer.groups,
        selected,
        condstore=session.condstore,
        renames_only=isinstance(observer, RenameObserver),
    )
    news.compare_names()
    news.compare_states(None if everything else waiting)
    if entries is not None:
        news.compare_entries(*entries)
    return news


async def _send_states(session: Session, observer: Notifier) -> None:
    """Answer STATUS of NOTIFY SET: the state of every mailbox whose messages are watched."""
    tree = await session.need_account().tree(counts=True)
    selected = session.selected.mailbox if session.selected is not None else NOBODY
    lines = []
    for named in tree.by_name.values():
        group = group_of(observer.groups, tree, named)
        if group is not None and group.events & MESSAGE_EVENTS and named.row.id != selected:
            state = MailboxState.of(named.row)
            observer.told.states[named.row.id] = state
            lines.append(state.render(named.name, group, utf8=session.utf8, condstore=session.condstore))
    await session.send(b"".join(lines))
