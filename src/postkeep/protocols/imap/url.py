"""IMAP URLs that name octets of a message on this server (RFC 5092, as CATENATE uses them: RFC 4469)."""

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from postkeep.protocols.imap.cursor import Cursor
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.fetch import BodySection, Partial, Section
from postkeep.protocols.imap.limits import MAILBOX_NAME_BYTES_MAX
from postkeep.protocols.imap.parse_fetch import parse_items
from postkeep.protocols.imap.reader import CommandBytes
from postkeep.protocols.imap.sequence import NUMBER_MAX

URL_CHARACTERS_MAX: Final = 4_096
"""A mailbox name with every octet escaped, and a section."""

_FORM = re.compile(
    r"(?:/(?P<mailbox>[^;?#]+)(?:;UIDVALIDITY=(?P<validity>[1-9][0-9]{0,9}))?/)?;UID=(?P<uid>[1-9][0-9]{0,9})"
    r"(?:/;SECTION=(?P<section>[^/;?#]+))?"
    r"(?:/;PARTIAL=(?P<offset>[0-9]{1,10})(?:\.(?P<length>[1-9][0-9]{0,9}))?)?\Z",
    re.IGNORECASE,
)


class MessageOctets(NamedTuple):
    """What a URL names."""

    mailbox: str
    """Empty: the one that is selected."""
    uid_validity: int | None
    uid: int
    section: Section
    partial: Partial | None


def parse_message_url(url: str) -> MessageOctets:
    """Read a URL relative to this server, or to the selected mailbox; raise ImapSyntaxError for any other."""
    found = _FORM.match(url) if len(url) <= URL_CHARACTERS_MAX else None
    if found is None:
        raise ImapSyntaxError("The URL is none of a message on this server.")
    uid, validity = int(found["uid"]), int(found["validity"]) if found["validity"] else None
    if uid > NUMBER_MAX or (validity or 0) > NUMBER_MAX:
        raise ImapSyntaxError("A number in the URL is too large.")
    partial = None
    if found["offset"] is not None:
        length = int(found["length"]) if found["length"] else NUMBER_MAX
        partial = Partial(int(found["offset"]), min(length, NUMBER_MAX))
    return MessageOctets(_mailbox(found["mailbox"] or ""), validity, uid, _section(found["section"]), partial)


def _mailbox(escaped: str) -> str:
    octets = unquote_to_bytes(escaped)
    try:
        name = octets.decode()
    except UnicodeDecodeError as exc:
        raise ImapSyntaxError("The mailbox name in the URL is not UTF-8.") from exc
    if len(octets) > MAILBOX_NAME_BYTES_MAX:
        raise ImapSyntaxError("The mailbox name in the URL is too long.")
    return name


def _section(escaped: str | None) -> Section:
    if escaped is None:
        return Section()
    cursor = Cursor(CommandBytes(b"BODY.PEEK[" + unquote_to_bytes(escaped) + b"]"), utf8=False)
    (item,) = parse_items(cursor)
    cursor.end()
    if not isinstance(item, BodySection) or item.partial is not None:
        raise ImapSyntaxError("The section in the URL is not valid.")
    return item.section
