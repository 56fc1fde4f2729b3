"""ENVELOPE, BODY and BODYSTRUCTURE of a message, as the bytes that go over the wire.

Source: RFC 9051 section 7.5.2 (RFC 3501 section 7.4.2). Strings go quoted where the grammar lets them and
as literals where they hold 8-bit octets; nothing here depends on what a client has enabled.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from postkeep.protocols.mime import HeaderAddress, Message, Parameters, Part, unfold

_ESCAPABLE: Final = bytes((9, *range(32, 127)))
"""Octets of a quoted string; two of them, the quote and the backslash, need a backslash before them."""
_QUOTABLE: Final = _ESCAPABLE.translate(None, b'"\\')
_LEAVES_CACHED_MAX: Final = 1024
"""Most mail in the world has one of a few hundred beginnings."""
_CACHED_OCTETS_MAX: Final = 40
"""Of the one parameter of such a part: a charset."""
_NIL: Final = b"NIL"
_UNKNOWN_HOST: Final = b'"MISSING_DOMAIN"'
"""For an address without one: NIL here would make it the name of a group."""
_VALUE_OCTETS_MAX: Final = 64 * 1024
"""A longer subject or identifier is cut: an envelope is answered whole, thousands at a time."""


class Structures(NamedTuple):
    """What FETCH answers for BODY and for BODYSTRUCTURE."""

    body: bytes
    bodystructure: bytes


def render_envelope(message: Message) -> bytes:
    """Render ENVELOPE: date, subject, from, sender, reply-to, to, cc, bcc, in-reply-to, message-id."""
    fields = message.fields
    senders = _addresses(message, b"from")
    return (
        b"("
        + b" ".join(
            (
                _field(fields.get(b"date")),
                _field(fields.get(b"subject")),
                senders,
                _addresses(message, b"sender", senders),
                _addresses(message, b"reply-to", senders),
                _addresses(message, b"to"),
                _addresses(message, b"cc"),
                _addresses(message, b"bcc"),
                _field(fields.get(b"in-reply-to")),
                _field(fields.get(b"message-id")),
            )
        )
        + b")"
    )


def render_structures(message: Message) -> Structures:
    """Render BODY and BODYSTRUCTURE in one walk."""
    return _part(message.root)


def render_bodystructure(message: Message) -> bytes:
    """Render BODYSTRUCTURE, with the extension data of section 7.5.2."""
    return _part(message.root).bodystructure


def render_body(message: Message) -> bytes:
    """Render BODY: the structure without extension data."""
    return _part(message.root).body


def render_string(value: bytes) -> bytes:
    """Render a string: quoted where the grammar allows, else a literal. NUL has no form and goes."""
    odd = value.translate(None, _QUOTABLE)  # several times faster than a pattern
    if not odd:
        return b'"' + value + b'"'
    if not odd.translate(None, _ESCAPABLE):
        return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    value = value.replace(b"\0", b"")
    return b"{%d}\r\n%b" % (len(value), value)


def _field(value: bytes | None) -> bytes:
    return _NIL if value is None else render_string(unfold(value[:_VALUE_OCTETS_MAX]))


def _optional(value: bytes | None) -> bytes:
    return _NIL if value is None else render_string(value)


def _addresses(message: Message, name: bytes, default: bytes = _NIL) -> bytes:
    """Render an address list; absent or empty fields give `default` (section 7.5.2, Sender and Reply-To)."""
    if name not in message.fields:
        return default
    addresses = message.addresses(name)
    return b"(" + b"".join(map(_address, addresses)) + b")" if addresses else default


def _address(address: HeaderAddress) -> bytes:
    display, local, domain = address
    if domain and local and not (local + domain).translate(None, _QUOTABLE):
        name = b"(NIL" if display is None else b"(" + render_string(display)
        return name + b' NIL "' + local + b'" "' + domain + b'")'
    if domain is None:
        return b"(NIL NIL %b NIL)" % _optional(local)
    return b"(%b NIL %b %b)" % (
        _optional(display),
        render_string(local or b""),
        render_string(domain) if domain else _UNKNOWN_HOST,
    )


def _parameters(parameters: Parameters) -> bytes:
    if not parameters:
        return _NIL
    return b"(" + b" ".join([render_string(text) for pair in parameters for text in pair]) + b")"


def _part(part: Part) -> Structures:
    return _multipart(part) if part.children else _leaf(part)


def _multipart(part: Part) -> Structures:
    children = [_part(child) for child in part.children]
    subtype = render_string(part.subtype)
    return Structures(
        b"(%b %b)" % (b"".join(child.body for child in children), subtype),
        b"(%b %b %b %b)"
        % (
            b"".join(child.bodystructure for child in children),
            subtype,
            _parameters(part.parameters),
            _extension(part),
        ),
    )


def _leaf(part: Part) -> Structures:
    render = _begin_cached if _is_common(part) else _begin
    media = (part.type, part.subtype, part.encoding)
    begin = render(media, part.parameters, part.id, part.description)
    if part.message is not None:
        inner = _part(part.message.root)
        lead = begin + b"%d " % part.size + render_envelope(part.message) + b" "
        lines = b" %d" % part.lines
        body, extended = lead + inner.body + lines, lead + inner.bodystructure + lines
    elif part.type == b"text":
        body = extended = begin + b"%d %d" % (part.size, part.lines)
    else:
        body = extended = begin + b"%d" % part.size
    tail = b" " + _optional(part.md5) + b" " + _extension(part) + b")"
    return Structures(body + b")", extended + tail)


def _is_common(part: Part) -> bool:
    """Whether a part's beginning is one that comes again and again, as `text/plain; charset=utf-8` is."""
    parameters = part.parameters
    return (
        part.id is None
        and part.description is None
        and (not parameters or (len(parameters) == 1 and len(parameters[0][1]) <= _CACHED_OCTETS_MAX))
    )


def _begin(
    media: tuple[bytes, bytes, bytes],
    parameters: Parameters,
    identifier: bytes | None,
    description: bytes | None,
) -> bytes:
    """Render a leaf up to its size; `media` is its type, subtype and transfer encoding."""
    kind, subtype, encoding = media
    fields = (
        render_string(kind),
        render_string(subtype),
        _parameters(parameters),
        _optional(identifier),
        _optional(description),
        render_string(encoding),
    )
    return b"(" + b" ".join(fields) + b" "


_begin_cached = lru_cache(maxsize=_LEAVES_CACHED_MAX)(_begin)


def _extension(part: Part) -> bytes:
    """Disposition, language and location: the tail that every kind of part shares."""
    if part.disposition is None and not part.languages and part.location is None:
        return b"NIL NIL NIL"
    disposition = _NIL
    if part.disposition is not None:
        disposition = b"(%b %b)" % (
            render_string(part.disposition),
            _parameters(part.disposition_parameters),
        )
    languages = _NIL
    if part.languages:
        languages = b"(%b)" % b" ".join(map(render_string, part.languages))
    return b"%b %b %b" % (disposition, languages, _optional(part.location))
