"""CATENATE: a message put together from octets on the wire and messages that are here (RFC 4469)."""

from collections.abc import Sequence
from urllib.parse import quote

from postkeep.faces.imap.account import Account
from postkeep.faces.imap.limits import APPEND_BYTES_MAX
from postkeep.faces.imap.opening import Piece, open_summaries, stream_piece
from postkeep.faces.imap.place import Place
from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.sections import Span, cut, is_filtered, locate, select_header
from postkeep.faces.imap.texts import Text
from postkeep.protocols.imap.commands import MessageUrl
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.reader import Literal
from postkeep.protocols.imap.url import MessageOctets, parse_message_url

URL_SHOWN_CHARACTERS_MAX = 1_000
"""Of a URL that is told back to who has sent it."""


async def catenate(account: Account, selected: Place | None, parts: Sequence[Literal | MessageUrl]) -> bytes:
    """Return the octets of all parts in order; `selected`: the mailbox that short URLs are of.

    Raises CommandError: BADURL with the URL that names nothing, TOOBIG before more is read than may be
    stored.
    """
    message = bytearray()
    for part in parts:
        if isinstance(part, MessageUrl):
            await _add(account, selected, part.text, message)
        else:
            message += part
        if len(message) > APPEND_BYTES_MAX:
            raise CommandError(Text.MESSAGE_TOO_LARGE, "TOOBIG")
    return bytes(message)


async def _add(account: Account, selected: Place | None, url: str, message: bytearray) -> None:
    """Add the octets that a URL names."""
    try:
        named = parse_message_url(url)
    except ImapSyntaxError as exc:
        raise _bad(url) from exc
    place = await _place(account, selected, named)
    if place is None:
        raise _bad(url)
    summary = (await open_summaries(account, place, [(named.uid, named.uid)])).get(named.uid)
    span = None if summary is None else locate(summary, named.section)
    if summary is None or span is None:
        raise _bad(url)
    filtered = is_filtered(named.section)
    span = span if filtered else cut(span, named.partial)
    if len(message) + span.length > APPEND_BYTES_MAX:
        raise CommandError(Text.MESSAGE_TOO_LARGE, "TOOBIG")
    octets = bytearray()
    async for data in stream_piece(account, place, Piece(named.uid, summary.size, *span)):
        if data is None:
            raise _bad(url)
        octets += data
    if filtered:
        header = select_header(bytes(octets), named.section)
        part = cut(Span(0, len(header)), named.partial)
        octets = bytearray(header[part.offset : part.offset + part.length])
    message += octets


async def _place(account: Account, selected: Place | None, named: MessageOctets) -> Place | None:
    if not named.mailbox:
        return selected
    found = (await account.tree()).find(named.mailbox)
    if found is None or not found.row.selectable:
        return None
    return account.place_of(found) if named.uid_validity in (None, found.row.uid_validity) else None


def _bad(url: str) -> CommandError:
    """Return the refusal that names the URL, in characters that a response code may hold."""
    shown = quote(url, safe="/;=&+!*'(),.:@%?$")[:URL_SHOWN_CHARACTERS_MAX]
    return CommandError(Text.BAD_URL, f"BADURL {shown}")
