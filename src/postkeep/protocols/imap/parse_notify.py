"""NOTIFY, read (RFC 5465 section 8)."""

from postkeep.protocols.imap.commands import Command
from postkeep.protocols.imap.cursor import Cursor
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.fetch import FetchItem
from postkeep.protocols.imap.notify import (
    MESSAGE_EVENTS,
    NAMING_FILTERS,
    SELECTED_FILTERS,
    Event,
    EventGroup,
    MailboxFilter,
    Notify,
)
from postkeep.protocols.imap.parse_fetch import parse_items

_EVENTS = {event.upper().encode("ascii"): event for event in Event}
_FILTERS = {known.encode("ascii"): known for known in MailboxFilter}


def parse_notify(cursor: Cursor) -> Command:
    """Read NOTIFY."""
    cursor.space()
    word = cursor.word()
    if word == b"NONE":
        return Notify()
    if word != b"SET":
        raise ImapSyntaxError("NOTIFY is followed by SET or NONE.")
    cursor.space()
    status = not cursor.text.startswith(b"(", cursor.at)
    if status:
        if cursor.word() != b"STATUS":
            raise ImapSyntaxError("Expected STATUS or a group of events.")
        cursor.space()
    groups: list[EventGroup] = []
    while True:
        groups.append(_group(cursor))
        cursor.more(groups)
        if not cursor.skip(b" "):
            break
    if sum(group.filter in SELECTED_FILTERS for group in groups) > 1:
        raise ImapSyntaxError("The selected mailbox has one group of events.")
    return Notify(tuple(groups), status)


def _group(cursor: Cursor) -> EventGroup:
    cursor.take(b"(")
    which = _FILTERS.get(cursor.word())
    if which is None:
        raise ImapSyntaxError("There is no such mailbox filter.")
    cursor.space()
    mailboxes: tuple[str, ...] = ()
    if which in NAMING_FILTERS:
        mailboxes = _mailboxes(cursor)
        cursor.space()
    if cursor.text.startswith(b"(", cursor.at):
        group = _events(cursor, which, mailboxes)
    elif cursor.word() == b"NONE":
        group = EventGroup(which, mailboxes)
    else:
        raise ImapSyntaxError("Expected events or NONE.")
    cursor.take(b")")
    _check(group)
    return group


def _mailboxes(cursor: Cursor) -> tuple[str, ...]:
    if not cursor.skip(b"("):
        return (cursor.mailbox(),)
    names: list[str] = []
    while True:
        names.append(cursor.mailbox())
        cursor.more(names)
        if not cursor.skip(b" "):
            break
    cursor.take(b")")
    return tuple(names)


def _events(cursor: Cursor, which: MailboxFilter, mailboxes: tuple[str, ...]) -> EventGroup:
    cursor.take(b"(")
    events: set[Event] = set()
    unknown: list[str] = []
    items: tuple[FetchItem, ...] = ()
    while True:
        word = cursor.atom()
        event = _EVENTS.get(word.upper())
        if event is None:
            unknown.append(word.decode("ascii"))
            cursor.more(unknown)
        else:
            events.add(event)
        if event is Event.MESSAGE_NEW and cursor.text.startswith(b" (", cursor.at):
            cursor.space()
            items = parse_items(cursor)
        if not cursor.skip(b" "):
            break
    cursor.take(b")")
    return EventGroup(which, mailboxes, frozenset(events), items, tuple(unknown))


def _check(group: EventGroup) -> None:
    """Hold a group to RFC 5465 sections 5 and 6.1."""
    events = group.events
    pair = {Event.MESSAGE_NEW, Event.MESSAGE_EXPUNGE} & events
    if len(pair) == 1 or (Event.FLAG_CHANGE in events and not pair):
        raise ImapSyntaxError("MessageNew and MessageExpunge go together, FlagChange with both.")
    if group.filter in SELECTED_FILTERS:
        if events - MESSAGE_EVENTS:
            raise ImapSyntaxError("Of the selected mailbox only message events can be told.")
    elif group.items:
        raise ImapSyntaxError("Items to fetch are for the selected mailbox.")
