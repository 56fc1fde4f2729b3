"""GETMETADATA and SETMETADATA, read (RFC 5464 section 5, with errata 3868)."""

from postkeep.protocols.imap.annotations import Depth, GetMetadata, SetMetadata, entry_name
from postkeep.protocols.imap.commands import Command
from postkeep.protocols.imap.cursor import Cursor
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.reader import Literal

_OPTIONS = (b"(MAXSIZE ", b"(DEPTH ")
_DEPTHS = {depth.upper().encode("ascii"): depth for depth in Depth}


def parse_get_metadata(cursor: Cursor) -> Command:
    """Read GETMETADATA. Its options stand before the mailbox by the grammar, behind it in the RFC's own
    examples; both are taken."""
    cursor.space()
    max_size, depth = _options(cursor)
    mailbox = cursor.mailbox()
    cursor.space()
    if max_size is None and depth is Depth.NONE:
        max_size, depth = _options(cursor)
    return GetMetadata(mailbox, parse_entries(cursor), max_size, depth)


def parse_entries(cursor: Cursor) -> tuple[str, ...]:
    """Read one entry's name, or several in parentheses."""
    if not cursor.skip(b"("):
        return (entry_name(cursor.astring()),)
    names: list[str] = []
    while True:
        names.append(entry_name(cursor.astring()))
        cursor.more(names)
        if not cursor.skip(b" "):
            break
    cursor.take(b")")
    return tuple(dict.fromkeys(names))


def parse_set_metadata(cursor: Cursor) -> Command:
    """Read SETMETADATA."""
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    cursor.take(b"(")
    values: dict[str, bytes | None] = {}
    while True:
        name = entry_name(cursor.astring())
        cursor.space()
        if name in values:
            raise ImapSyntaxError("An entry is given twice.")
        values[name] = _value(cursor)
        cursor.more(values)
        if not cursor.skip(b" "):
            break
    cursor.take(b")")
    return SetMetadata(mailbox, tuple(values.items()))


def _value(cursor: Cursor) -> bytes | None:
    """Read a string, a literal that may hold zeros, or NIL."""
    literal: Literal | None = cursor.literal()
    return cursor.nstring() if literal is None else bytes(literal)


def _options(cursor: Cursor) -> tuple[int | None, Depth]:
    max_size: int | None = None
    depth = Depth.NONE
    if not cursor.text[cursor.at : cursor.at + 9].upper().startswith(_OPTIONS):
        return max_size, depth
    cursor.take(b"(")
    while True:
        word = cursor.word()
        cursor.space()
        if word == b"MAXSIZE":
            max_size = cursor.number()
        elif word == b"DEPTH":
            found = _DEPTHS.get(cursor.word())
            if found is None:
                raise ImapSyntaxError("DEPTH is 0, 1 or infinity.")
            depth = found
        else:
            raise ImapSyntaxError("There is no such option.")
        if not cursor.skip(b" "):
            break
    cursor.take(b") ")
    return max_size, depth
