"""LIST and LSUB with their options (RFC 3501 section 6.3.8, RFC 5258, 5819, 6154)."""

from postkeep.protocols.imap.commands import (
    Command,
    ListMailboxes,
    ReturnAttribute,
    SelectionOption,
    StatusItem,
)
from postkeep.protocols.imap.cursor import Cursor
from postkeep.protocols.imap.errors import ImapSyntaxError

_SELECTIONS = {option.encode("ascii"): option for option in SelectionOption}
_RETURNS = {option.encode("ascii"): option for option in ReturnAttribute}


def parse_lsub(cursor: Cursor) -> Command:
    """Read LSUB."""
    cursor.space()
    reference = cursor.mailbox()
    cursor.space()
    return ListMailboxes(reference, (cursor.list_mailbox(),), lsub=True)


def parse_list(cursor: Cursor) -> Command:
    """Read LIST in its old or extended form."""
    cursor.space()
    extended = cursor.skip(b"(")
    selection = _selection(cursor) if extended else frozenset()
    reference = cursor.mailbox()
    cursor.space()
    patterns: list[str] = []
    if cursor.skip(b"("):
        extended = True
        while True:
            patterns.append(cursor.list_mailbox())
            cursor.more(patterns)
            if not cursor.skip(b" "):
                break
        cursor.take(b")")
    else:
        patterns.append(cursor.list_mailbox())
    returns: frozenset[ReturnAttribute] = frozenset()
    status: tuple[StatusItem, ...] = ()
    if cursor.skip(b" ") and not cursor.at_end():
        if cursor.word() != b"RETURN":
            raise ImapSyntaxError("Expected RETURN.")
        extended = True
        cursor.take(b" (")
        returns, status = _returns(cursor)
    return ListMailboxes(reference, tuple(patterns), selection, returns, status, extended)


def _selection(cursor: Cursor) -> frozenset[SelectionOption]:
    found: list[SelectionOption] = []
    if not cursor.skip(b")"):
        while True:
            option = _SELECTIONS.get(cursor.word())
            if option is None:
                raise ImapSyntaxError("There is no such selection option.")
            found.append(option)
            cursor.more(found)
            if not cursor.skip(b" "):
                break
        cursor.take(b")")
    cursor.space()
    options = frozenset(found)
    if SelectionOption.RECURSIVEMATCH in options and SelectionOption.SUBSCRIBED not in options:
        raise ImapSyntaxError("RECURSIVEMATCH needs SUBSCRIBED.")  # RFC 5258 section 3.1
    return options


def _returns(cursor: Cursor) -> tuple[frozenset[ReturnAttribute], tuple[StatusItem, ...]]:
    found: list[ReturnAttribute] = []
    status: tuple[StatusItem, ...] = ()
    if cursor.skip(b")"):
        return frozenset(), status
    while True:
        word = cursor.word()
        if word == b"STATUS":
            cursor.space()
            status = cursor.status_items()
        elif word in _RETURNS:
            found.append(_RETURNS[word])
        else:
            raise ImapSyntaxError("There is no such return option.")
        cursor.more(found)
        if not cursor.skip(b" "):
            break
    cursor.take(b")")
    return frozenset(found), status
