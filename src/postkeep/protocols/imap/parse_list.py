"""LIST and LSUB with their options (RFC 3501 section 6.3.8, RFC 5258, 5819, 6154, 8440, 9590)."""

from typing import NamedTuple

from postkeep.protocols.imap.commands import (
    Command,
    ListMailboxes,
    ReturnAttribute,
    SelectionOption,
    StatusItem,
)
from postkeep.protocols.imap.cursor import Cursor
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.parse_annotations import parse_entries

_SELECTIONS = {option.encode("ascii"): option for option in SelectionOption}
_CRITERIA = frozenset({SelectionOption.SUBSCRIBED, SelectionOption.SPECIAL_USE})
_RETURNS = {option.encode("ascii"): option for option in ReturnAttribute}


class _Returned(NamedTuple):
    """What stands in RETURN (...)."""

    attributes: frozenset[ReturnAttribute] = frozenset()
    status: tuple[StatusItem, ...] = ()
    metadata: tuple[str, ...] = ()


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
    returned = _Returned()
    if cursor.skip(b" ") and not cursor.at_end():
        if cursor.word() != b"RETURN":
            raise ImapSyntaxError("Expected RETURN.")
        extended = True
        cursor.take(b" (")
        returned = _returns(cursor)
    return ListMailboxes(
        reference,
        tuple(patterns),
        selection,
        returned.attributes,
        returned.status,
        extended,
        metadata=returned.metadata,
    )


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
    if SelectionOption.RECURSIVEMATCH in options and not options & _CRITERIA:  # RFC 5258 section 3.1
        raise ImapSyntaxError("RECURSIVEMATCH needs another option to match.")
    return options


def _returns(cursor: Cursor) -> _Returned:
    found: list[ReturnAttribute] = []
    status: tuple[StatusItem, ...] = ()
    metadata: tuple[str, ...] = ()
    if cursor.skip(b")"):
        return _Returned()
    while True:
        word = cursor.word()
        if word == b"STATUS":
            cursor.space()
            status = cursor.status_items()
        elif word == b"METADATA":
            cursor.space()
            metadata = parse_entries(cursor)
        elif word in _RETURNS:
            found.append(_RETURNS[word])
        else:
            raise ImapSyntaxError("There is no such return option.")
        cursor.more(found)
        if not cursor.skip(b" "):
            break
    cursor.take(b")")
    return _Returned(frozenset(found), status, metadata)
