"""Where a section lies in a message, by the offsets of its summary (RFC 9051 section 6.4.5.1). Pure."""

from typing import Final, NamedTuple

from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.texts import Text
from postkeep.protocols.imap.fetch import Partial, Section, SectionText
from postkeep.protocols.mime import select_fields
from postkeep.services.delivery.summary import PartSpan, Summary

_ENCODINGS: Final = {"", "7bit", "8bit", "binary", "base64", "quoted-printable"}
_HEADERS = {SectionText.HEADER, SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT}


class Span(NamedTuple):
    """Octets of the message in the clear."""

    offset: int
    length: int


def find_part(summary: Summary, part: tuple[int, ...]) -> PartSpan | None:
    """Find a part by its number."""
    number = ".".join(map(str, part))
    return next((span for span in summary.parts if span.section == number), None)


def locate(summary: Summary, section: Section) -> Span | None:
    """Return where a section lies; None: the message has no such part (answered NIL)."""
    if section.part:
        part = find_part(summary, section.part)
        return None if part is None else _locate_in_part(part, section.text)
    if section.text in _HEADERS:
        return Span(0, summary.header_length)
    if section.text is SectionText.TEXT:
        return Span(summary.header_length, summary.size - summary.header_length)
    return Span(0, summary.size)


def _locate_in_part(part: PartSpan, text: SectionText) -> Span | None:
    if text is SectionText.ALL:
        return Span(part.body_offset, part.body_length)
    if text is SectionText.MIME:
        return Span(part.header_offset, part.header_length)
    if not part.text_offset:  # not an enclosed message: it has no header and text of its own
        return None
    if text is SectionText.TEXT:
        return Span(part.text_offset, part.body_offset + part.body_length - part.text_offset)
    return Span(part.body_offset, part.text_offset - part.body_offset)


def cut(span: Span, partial: Partial | None) -> Span:
    """Return the part of a span that `<offset.length>` names; beyond its end: empty."""
    if partial is None:
        return span
    start = min(partial.offset, span.length)
    return Span(span.offset + start, min(partial.length, span.length - start))


def is_filtered(section: Section) -> bool:
    """Whether the octets are picked from a header, so that the whole header has to be read."""
    return bool(section.fields)


def select_header(header: bytes, section: Section) -> bytes:
    """Return the fields named, or all others, with an empty line behind them."""
    exclude = section.text is SectionText.HEADER_FIELDS_NOT
    return select_fields(header, section.fields, exclude=exclude)


def check_encoding(summary: Summary, part: tuple[int, ...]) -> None:
    """Raise CommandError for a part whose transfer encoding can't be undone (RFC 3516 section 4.3)."""
    found = find_part(summary, part)
    if found is not None and found.encoding not in _ENCODINGS:
        raise CommandError(Text.UNKNOWN_ENCODING, "UNKNOWN-CTE")
