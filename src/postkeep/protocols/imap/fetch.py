"""What FETCH can ask for: RFC 3501 section 6.4.5 and 9051.

MODSEQ: RFC 7162; BINARY: 3516; SAVEDATE: 8514; EMAILID, THREADID: 8474; PREVIEW: 8970.
"""

from enum import StrEnum

import msgspec

from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.limits import LIST_ITEMS_MAX, PART_DEPTH_MAX
from postkeep.protocols.imap.sequence import NUMBER_MAX


class Attribute(StrEnum):
    """Items without arguments."""

    FLAGS = "FLAGS"
    UID = "UID"
    INTERNALDATE = "INTERNALDATE"
    RFC822_SIZE = "RFC822.SIZE"
    ENVELOPE = "ENVELOPE"
    BODYSTRUCTURE = "BODYSTRUCTURE"
    BODY = "BODY"
    MODSEQ = "MODSEQ"
    SAVEDATE = "SAVEDATE"
    EMAILID = "EMAILID"
    THREADID = "THREADID"


class SectionText(StrEnum):
    """Which text of a message or part."""

    ALL = ""
    HEADER = "HEADER"
    HEADER_FIELDS = "HEADER.FIELDS"
    HEADER_FIELDS_NOT = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"


class Section(msgspec.Struct, frozen=True):
    """Part numbers, the text wanted there, and for the two HEADER.FIELDS forms the field names."""

    part: tuple[int, ...] = ()
    text: SectionText = SectionText.ALL
    fields: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what the grammar has no form for."""
        named = self.text in {SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT}
        if named != bool(self.fields) or len(self.fields) > LIST_ITEMS_MAX:
            raise ImapSyntaxError("HEADER.FIELDS takes a list of field names.")
        if self.text is SectionText.MIME and not self.part:
            raise ImapSyntaxError("MIME needs a part number.")
        if len(self.part) > PART_DEPTH_MAX or not all(1 <= number <= NUMBER_MAX for number in self.part):
            raise ImapSyntaxError("The part number is not valid.")


class Partial(msgspec.Struct, frozen=True):
    """`<offset.length>`, in octets."""

    offset: int
    length: int

    def __post_init__(self) -> None:
        """Refuse an empty or overlong range."""
        if not (0 <= self.offset <= NUMBER_MAX and 1 <= self.length <= NUMBER_MAX):
            raise ImapSyntaxError("The partial range is not valid.")


class BodySection(msgspec.Struct, frozen=True):
    """`BODY[...]`, and the older RFC822 forms, which name their answer differently (`answer`)."""

    section: Section
    partial: Partial | None = None
    peek: bool = False
    answer: str = ""
    """`RFC822`, `RFC822.HEADER` or `RFC822.TEXT`; empty: BODY[...]."""

    def __post_init__(self) -> None:
        """Hold the RFC822 forms to their one meaning."""
        if self.answer and (
            self.partial is not None or (self.section, self.peek) != _RFC822.get(self.answer, (None, False))
        ):
            raise ImapSyntaxError("The RFC822 items take no arguments.")


class BinarySection(msgspec.Struct, frozen=True):
    """`BINARY[...]` and, with `size`, `BINARY.SIZE[...]`: a part with its transfer encoding undone."""

    part: tuple[int, ...] = ()
    partial: Partial | None = None
    peek: bool = False
    size: bool = False

    def __post_init__(self) -> None:
        """Refuse what the grammar has no form for."""
        if self.size and (self.peek or self.partial is not None):
            raise ImapSyntaxError("BINARY.SIZE takes a part number only.")
        Section(self.part)


class Preview(msgspec.Struct, frozen=True):
    """PREVIEW (RFC 8970); `lazy`: NIL will do where it takes long."""

    lazy: bool = False


FetchItem = Attribute | BodySection | BinarySection | Preview

_RFC822: dict[str, tuple[Section, bool]] = {
    "RFC822": (Section(), False),
    "RFC822.HEADER": (Section((), SectionText.HEADER), True),
    "RFC822.TEXT": (Section((), SectionText.TEXT), False),
}
OLD_ITEMS = {
    name.encode(): BodySection(section, None, peek, name) for name, (section, peek) in _RFC822.items()
}

_FAST = (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.RFC822_SIZE)
MACROS: dict[bytes, tuple[FetchItem, ...]] = {
    b"FAST": _FAST,
    b"ALL": (*_FAST, Attribute.ENVELOPE),
    b"FULL": (*_FAST, Attribute.ENVELOPE, Attribute.BODY),
}


def render_section(section: Section) -> bytes:
    """Write what stands between the brackets."""
    pieces = [b"%d" % number for number in section.part]
    if section.text:
        pieces.append(section.text.encode("ascii"))
    text = b".".join(pieces)
    if section.fields:
        text += b" (" + b" ".join(map(render_field_name, section.fields)) + b")"
    return text


def render_field_name(name: bytes) -> bytes:
    """Write a header field name: an atom where it can be one, else a quoted string."""
    if name.replace(b"-", b"").replace(b"_", b"").isalnum():
        return name
    return b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def render_item(item: FetchItem) -> bytes:
    """Write an item as a client asks for it."""
    if isinstance(item, Attribute):
        return item.encode("ascii")
    if isinstance(item, Preview):
        return b"PREVIEW (LAZY)" if item.lazy else b"PREVIEW"
    if isinstance(item, BinarySection):
        part = b".".join(b"%d" % number for number in item.part)
        name = b"BINARY.SIZE" if item.size else b"BINARY.PEEK" if item.peek else b"BINARY"
        return name + b"[" + part + b"]" + _render_partial(item.partial)
    if item.answer:
        return item.answer.encode("ascii")
    name = b"BODY.PEEK[" if item.peek else b"BODY["
    return name + render_section(item.section) + b"]" + _render_partial(item.partial)


def _render_partial(partial: Partial | None) -> bytes:
    return b"" if partial is None else b"<%d.%d>" % (partial.offset, partial.length)
