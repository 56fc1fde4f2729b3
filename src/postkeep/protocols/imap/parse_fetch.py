"""The items of FETCH: one, a list, or a macro; and its modifiers."""

import re
from typing import Final, NamedTuple

from postkeep.protocols.imap.cursor import Cursor
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.fetch import (
    MACROS,
    OLD_ITEMS,
    Attribute,
    BinarySection,
    BodySection,
    FetchItem,
    Partial,
    Preview,
    Section,
    SectionText,
)
from postkeep.protocols.imap.parse_partial import parse_partial_range
from postkeep.protocols.imap.partial import PartialRange

_NAME = re.compile(rb"[A-Za-z0-9.]+")
_PART = re.compile(rb"\d{1,10}(?:\.\d{1,10})*")
_TEXT = re.compile(rb"HEADER(?:\.FIELDS(?:\.NOT)?)?|TEXT|MIME", re.IGNORECASE)
_FTEXT = re.compile(rb"[!-9;-~]+\Z")  # RFC 5322 section 3.6.8
_LAZY = re.compile(rb" \(LAZY\)", re.IGNORECASE)
_PARTIAL = re.compile(rb"<(\d{1,10})\.(\d{1,10})>")

MODSEQ_MAX: Final = (1 << 63) - 1
"""RFC 7162 section 7: mod-sequence values are 63 bits."""

_ATTRIBUTES: dict[bytes, FetchItem] = {
    **{item.encode("ascii"): item for item in Attribute},
    **OLD_ITEMS,
}


def parse_items(cursor: Cursor) -> tuple[FetchItem, ...]:
    """Read everything that FETCH asks for, in order, each once."""
    if not cursor.skip(b"("):
        start = cursor.at
        name = cursor.match(_NAME, "an item").group().upper()
        if name in MACROS:
            return MACROS[name]
        cursor.at = start
        return (_item(cursor),)
    items: list[FetchItem] = []
    while True:
        items.append(_item(cursor))
        cursor.more(items)
        if not cursor.skip(b" "):
            break
    cursor.take(b")")
    return tuple(dict.fromkeys(items))


class Modifiers(NamedTuple):
    """What stands behind the items of FETCH (RFC 4466)."""

    changed_since: int | None = None
    vanished: bool = False
    partial: PartialRange | None = None


def parse_modifiers(cursor: Cursor, *, uid: bool) -> Modifiers:
    """Read the modifiers, if there are any: each once."""
    if not cursor.skip(b" ("):
        return Modifiers()
    changed_since: int | None = None
    vanished = False
    partial: PartialRange | None = None
    while True:
        name = cursor.word()
        if name == b"CHANGEDSINCE" and changed_since is None:
            cursor.space()
            changed_since = cursor.number(MODSEQ_MAX)
        elif name == b"VANISHED" and not vanished:
            vanished = True
        elif name == b"PARTIAL" and partial is None:
            cursor.space()
            partial = parse_partial_range(cursor)
        else:
            raise ImapSyntaxError("The modifier is not known, or there twice.")
        if not cursor.skip(b" "):
            break
    cursor.take(b")")
    if vanished and (changed_since is None or not uid):
        raise ImapSyntaxError("VANISHED goes with UID FETCH and CHANGEDSINCE.")
    return Modifiers(changed_since, vanished, partial)


def _item(cursor: Cursor) -> FetchItem:
    name = cursor.match(_NAME, "an item").group().upper()
    if cursor.skip(b"["):
        return _section_item(cursor, name)
    if name == b"PREVIEW":
        lazy = _LAZY.match(cursor.text, cursor.at)
        if lazy is not None:
            cursor.at = lazy.end()
        return Preview(lazy is not None)
    item = _ATTRIBUTES.get(name)
    if item is None:
        raise ImapSyntaxError("There is no such item.")
    return item


def _section_item(cursor: Cursor, name: bytes) -> FetchItem:
    if name in {b"BODY", b"BODY.PEEK"}:
        section = _section(cursor)
        cursor.take(b"]")
        return BodySection(section, _partial(cursor), name == b"BODY.PEEK")
    if name in {b"BINARY", b"BINARY.PEEK", b"BINARY.SIZE"}:
        part = _part(cursor)
        cursor.take(b"]")
        size = name == b"BINARY.SIZE"
        partial = None if size else _partial(cursor)
        return BinarySection(part, partial, name == b"BINARY.PEEK", size)
    raise ImapSyntaxError("There is no such item.")


def _part(cursor: Cursor) -> tuple[int, ...]:
    found = _PART.match(cursor.text, cursor.at)
    if found is None:
        return ()
    cursor.at = found.end()
    return tuple(map(int, found.group().split(b".")))


def _section(cursor: Cursor) -> Section:
    part = _part(cursor)
    if part and not cursor.skip(b"."):
        return Section(part)
    found = _TEXT.match(cursor.text, cursor.at)
    if found is None:
        if part:
            raise ImapSyntaxError("The section is not valid.")
        return Section()
    cursor.at = found.end()
    text = SectionText(found.group().upper().decode("ascii"))
    fields: list[bytes] = []
    if text in {SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT}:
        cursor.take(b" (")
        while True:
            fields.append(_field_name(cursor))
            cursor.more(fields)
            if not cursor.skip(b" "):
                break
        cursor.take(b")")
    return Section(part, text, tuple(fields))


def _field_name(cursor: Cursor) -> bytes:
    name = cursor.astring()
    if not _FTEXT.match(name):
        raise ImapSyntaxError("A header field name is printable ASCII without a colon.")
    return name


def _partial(cursor: Cursor) -> Partial | None:
    if not cursor.text.startswith(b"<", cursor.at):
        return None
    found = cursor.match(_PARTIAL, "<offset.length>")
    return Partial(int(found.group(1)), int(found.group(2)))
