"""The summary of a message: what lists, threads and IMAP's FETCH need without its content.

It is made once, when the message is delivered, and stored sealed under the metadata key. So it holds
what headers and structure say and nothing of the text of a body: that is of the category `content`.
"""

from typing import Final

import msgspec

from postkeep.base.errors import IntegrityError
from postkeep.protocols.imap.structure import render_envelope, render_structures
from postkeep.protocols.mime import (
    HeaderAddress,
    Message,
    Part,
    base_subject,
    decode_words,
    decoded_parameter,
    parse,
    parse_date,
    parse_identifiers,
    parse_message_id,
)

VERSION: Final = 1
_TEXT_CHARACTERS_MAX: Final = 1000
"""Of a decoded subject, name or file name: what is longer is for the message itself to show."""


class Person(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An address of a header, decoded: for search and sorting."""

    display: str
    address: str


class PartSpan(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """Where one part lies in the message. Offsets and lengths are octets of the message in the clear."""

    section: str
    """The part's number, as `1.2` (RFC 9051 section 6.4.5.1)."""
    header_offset: int
    header_length: int
    """BODY[n.MIME]; 0: the part has no header."""
    body_offset: int
    body_length: int
    """BODY[n]."""
    type: str
    """As `text/plain`, in lower case."""
    encoding: str
    charset: str
    text_offset: int = 0
    """Enclosed messages: where their text begins. BODY[n.HEADER] lies between `body_offset` and it,
    BODY[n.TEXT] between it and the end of the body. 0: not an enclosed message."""
    filename: str = ""
    is_attachment: bool = False


class Summary(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """Everything that is stored of a message beside the message itself."""

    version: int = VERSION
    size: int
    header_length: int
    """Octets of BODY[HEADER]; BODY[TEXT] is the rest."""
    envelope: bytes
    bodystructure: bytes
    body: bytes
    """The three as FETCH answers them (postkeep.protocols.imap.structure)."""
    parts: list[PartSpan]
    """Every part that has a number, in the order of the message."""
    sent_ms: int | None
    """The Date field as a moment; None: there is none that can be read."""
    sent_zone_minutes: int
    """The sender's distance from UTC: SENTON and its kin compare the sender's calendar day."""
    subject: str
    base_subject: str
    """RFC 5256 section 2.1."""
    from_: list[Person]
    to: list[Person]
    cc: list[Person]
    bcc: list[Person]
    message_id: str
    in_reply_to: list[str]
    references: list[str]
    """Identifiers without angle brackets."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Summary)


def summarize(message: bytes) -> Summary:
    """Make the summary of a message. Works on any bytes."""
    return summary_of(parse(message))


def summary_of(message: Message) -> Summary:
    """Make the summary of a message that has been parsed already."""
    fields = message.fields
    subject = decode_words(fields.get(b"subject", b""))[:_TEXT_CHARACTERS_MAX]
    sent = parse_date(fields[b"date"]) if b"date" in fields else None
    structures = render_structures(message)
    parts: list[PartSpan] = []
    _collect(message.root, parts)
    replied = fields.get(b"in-reply-to")
    references = fields.get(b"references")
    return Summary(
        size=message.end,
        header_length=message.body_offset,
        envelope=render_envelope(message),
        bodystructure=structures.bodystructure,
        body=structures.body,
        parts=parts,
        sent_ms=sent.ms if sent else None,
        sent_zone_minutes=sent.zone_minutes if sent else 0,
        subject=subject,
        base_subject=base_subject(subject),
        from_=_people(message, b"from"),
        to=_people(message, b"to"),
        cc=_people(message, b"cc"),
        bcc=_people(message, b"bcc"),
        message_id=parse_message_id(fields.get(b"message-id", b"")),
        in_reply_to=parse_identifiers(replied) if replied else [],
        references=parse_identifiers(references) if references else [],
    )


def encode(summary: Summary) -> bytes:
    """Return the stored form (MessagePack)."""
    return _encoder.encode(summary)


def decode(data: bytes) -> Summary:
    """Read the stored form; raise IntegrityError for anything else."""
    try:
        summary = _decoder.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as exc:
        raise IntegrityError(f"a summary can't be read: {type(exc).__name__}") from exc
    if summary.version != VERSION:
        raise IntegrityError(f"a summary has the unknown version {summary.version}")
    return summary


def _collect(part: Part, spans: list[PartSpan]) -> None:
    if part.section:
        spans.append(_span(part))
    for child in part.children:
        _collect(child, spans)
    if part.message is not None:
        _collect(part.message.root, spans)


def _span(part: Part) -> PartSpan:
    charset = b""
    for name, value in part.parameters:
        if name == b"charset":
            charset = value
    filename = ""
    if part.disposition_parameters:
        filename = decoded_parameter(part.disposition_parameters, b"filename")
    if not filename and part.parameters:
        filename = decoded_parameter(part.parameters, b"name")
    return PartSpan(
        section=part.section,
        header_offset=part.header_offset,
        header_length=part.body_offset - part.header_offset,
        body_offset=part.body_offset,
        body_length=part.end - part.body_offset,
        type=(part.type + b"/" + part.subtype).decode("latin-1"),
        encoding=part.encoding.decode("latin-1"),
        charset=charset.decode("latin-1")[:40].lower(),
        text_offset=0 if part.message is None else part.message.body_offset,
        filename=filename[:_TEXT_CHARACTERS_MAX],
        is_attachment=part.disposition == b"attachment",
    )


def _people(message: Message, name: bytes) -> list[Person]:
    if name not in message.fields:
        return []
    return [_person(address) for address in message.addresses(name) if address.domain is not None]


def _person(address: HeaderAddress) -> Person:
    display, local, domain = address
    name = ""
    if display is not None:
        plain = display.isascii() and b"=?" not in display
        name = (display.decode("ascii") if plain else decode_words(display))[:_TEXT_CHARACTERS_MAX]
    text = (local or b"") + b"@" + domain if domain else local or b""
    return Person(name, text.decode("utf-8", "replace"))
