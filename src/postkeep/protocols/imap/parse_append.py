"""What APPEND and REPLACE put into a mailbox (RFC 3501 section 6.3.11, 3502, 4466, 4469, 6855, 8508)."""

import re
from collections.abc import Callable

from postkeep.protocols.imap.commands import Append, Command, MessageUrl, NewMessage, Replace
from postkeep.protocols.imap.cursor import Cursor
from postkeep.protocols.imap.dates import parse_date_time
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.reader import Literal

_QUOTED_DATE = re.compile(rb'"([^"]{26})"')
_FORM = re.compile(rb"(CATENATE|UTF8) \(", re.IGNORECASE)
_PART = re.compile(rb"(TEXT|URL) |(UTF8) \(", re.IGNORECASE)


def parse_append(cursor: Cursor) -> Command:
    """Read APPEND of one message or several (MULTIAPPEND)."""
    cursor.space()
    mailbox = cursor.mailbox()
    messages = [_message(cursor)]
    while not cursor.at_end():
        messages.append(_message(cursor))
        cursor.more(messages)
    return Append(mailbox, tuple(messages))


def parse_replace(*, uid: bool) -> Callable[[Cursor], Command]:
    """Return the reader of REPLACE, or of UID REPLACE."""

    def parse(cursor: Cursor) -> Command:
        cursor.space()
        number = "*" if cursor.skip(b"*") else cursor.number()
        if number == 0:
            raise ImapSyntaxError("A message has a number above zero.")
        cursor.space()
        return Replace(None if number == "*" else int(number), cursor.mailbox(), _message(cursor), uid)

    return parse


def _message(cursor: Cursor) -> NewMessage:
    cursor.space()
    flags: tuple[str, ...] = ()
    if cursor.text.startswith(b"(", cursor.at):
        flags = cursor.flags()
        cursor.space()
    date_ms = None
    if cursor.text.startswith(b'"', cursor.at):
        date_ms = parse_date_time(cursor.match(_QUOTED_DATE, "a date and time").group(1))
        cursor.space()
    found = _FORM.match(cursor.text, cursor.at)
    if found is None:
        return NewMessage(flags, date_ms, (_literal(cursor),))
    cursor.at = found.end()
    if found.group(1).upper() == b"UTF8":
        return NewMessage(flags, date_ms, (_utf8(cursor),))
    parts: list[Literal | MessageUrl] = []
    while True:
        parts.append(_part(cursor))
        cursor.more(parts)
        if not cursor.skip(b" "):
            break
    cursor.take(b")")
    return NewMessage(flags, date_ms, tuple(parts))


def _part(cursor: Cursor) -> Literal | MessageUrl:
    found = cursor.match(_PART, "TEXT, URL or UTF8")
    if found.group(2):
        return _utf8(cursor)
    if found.group(1).upper() == b"TEXT":
        return _literal(cursor)
    try:
        return MessageUrl(cursor.astring().decode())
    except UnicodeDecodeError as exc:
        raise ImapSyntaxError("The URL is not UTF-8.") from exc


def _utf8(cursor: Cursor) -> Literal:
    """Read `~{n}` and its octets up to the closing parenthesis; the form says nothing that they don't."""
    if not cursor.text.startswith(b"~", cursor.at):
        raise ImapSyntaxError("UTF8 takes a literal8.")
    message = _literal(cursor)
    cursor.take(b")")
    return message


def _literal(cursor: Cursor) -> Literal:
    message = cursor.literal()
    if message is None:
        raise ImapSyntaxError("A message is a literal.")
    return message
