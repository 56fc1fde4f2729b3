"""Header fields: where they lie, what they are called (RFC 5322 section 2.2; obsolete forms 4.5)."""

import re
from collections.abc import Collection
from typing import Final

import msgspec

_FIELD: Final = re.compile(rb"^([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?", re.MULTILINE)
_FOLDS: Final = b"\r\n\0"


class Field(msgspec.Struct, frozen=True):
    """One field with the offsets of its raw value; `end` lies behind the line break."""

    name: bytes
    start: int
    value_start: int
    value_end: int
    end: int


def header_end(data: bytes, start: int, end: int) -> int:
    """Return where the body begins: behind the first empty line, or at `end` if there is none."""
    if data.startswith(b"\r\n", start, end):
        return start + 2
    if data.startswith(b"\n", start, end):
        return start + 1
    crlf = data.find(b"\n\r\n", start, end)
    bare = data.find(b"\n\n", start, end if crlf < 0 else crlf)
    if bare >= 0:
        return bare + 2
    return crlf + 3 if crlf >= 0 else end


def index_fields(data: bytes, start: int, end: int) -> dict[bytes, bytes]:
    """Map each field name, in lower case, to the raw value of its first appearance."""
    found = _FIELD.findall(data, start, end)
    found.reverse()
    return {name.lower(): value for name, value in found}


def split_fields(data: bytes, start: int, end: int) -> list[Field]:
    """Find every field of the header at `[start, end)` in order. Lines that are no field are left out."""
    return [
        Field(match[1], match.start(), match.start(2), match.end(2), match.end())
        for match in _FIELD.finditer(data, start, end)
    ]


def select_fields(header: bytes, names: Collection[bytes], *, exclude: bool = False) -> bytes:
    """Return the fields called `names` (or with `exclude` all others), raw, with an empty line behind.

    This is the answer to IMAP's HEADER.FIELDS and HEADER.FIELDS.NOT (RFC 9051 section 6.4.5.1).
    """
    wanted = {name.lower() for name in names}
    chosen = b"".join(
        match[0] for match in _FIELD.finditer(header) if (match[1].lower() in wanted) is not exclude
    )
    return chosen + b"\r\n" if not chosen or chosen.endswith(b"\n") else chosen + b"\r\n\r\n"


def unfold(value: bytes) -> bytes:
    """Join the lines of a raw value and trim it; the octets that no line may hold (NUL, CR, LF) go."""
    return value.translate(None, _FOLDS).strip()
