"""NOTIFY as a value (RFC 5465)."""

from enum import StrEnum

import msgspec

from postkeep.protocols.imap.fetch import FetchItem


class Event(StrEnum):
    """What can be told of (RFC 5465 section 5)."""

    MESSAGE_NEW = "MessageNew"
    MESSAGE_EXPUNGE = "MessageExpunge"
    FLAG_CHANGE = "FlagChange"
    MAILBOX_NAME = "MailboxName"
    SUBSCRIPTION_CHANGE = "SubscriptionChange"
    MAILBOX_METADATA_CHANGE = "MailboxMetadataChange"
    SERVER_METADATA_CHANGE = "ServerMetadataChange"


MESSAGE_EVENTS = frozenset({Event.MESSAGE_NEW, Event.MESSAGE_EXPUNGE, Event.FLAG_CHANGE})


class MailboxFilter(StrEnum):
    """Which mailboxes (RFC 5465 section 6)."""

    SELECTED = "SELECTED"
    SELECTED_DELAYED = "SELECTED-DELAYED"
    INBOXES = "INBOXES"
    PERSONAL = "PERSONAL"
    SUBSCRIBED = "SUBSCRIBED"
    SUBTREE = "SUBTREE"
    MAILBOXES = "MAILBOXES"


SELECTED_FILTERS = frozenset({MailboxFilter.SELECTED, MailboxFilter.SELECTED_DELAYED})
NAMING_FILTERS = frozenset({MailboxFilter.SUBTREE, MailboxFilter.MAILBOXES})


class EventGroup(msgspec.Struct, frozen=True):
    """Some mailboxes, and what is to be told of them; no event: nothing."""

    filter: MailboxFilter
    mailboxes: tuple[str, ...] = ()
    events: frozenset[Event] = frozenset()
    items: tuple[FetchItem, ...] = ()
    """What FETCH tells of a new message in the selected mailbox."""
    unknown: tuple[str, ...] = ()
    """Events that this server does not know."""


class Notify(msgspec.Struct, frozen=True):
    """NOTIFY SET, or (no groups) NOTIFY NONE."""

    groups: tuple[EventGroup, ...] = ()
    status: bool = False
    """Tell the state of all the mailboxes at once."""
