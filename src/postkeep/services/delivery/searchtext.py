"""The search text of a message: what SEARCH compares of its header and of its text parts.

It is made once, when the message is delivered, and stored sealed under the content key, so that a search
reads and decodes nothing else. Texts and needles are folded alike: compatibility forms and case are one
(Unicode NFKC, then case folding), marks that nobody sees go, and any run of white space is one space, so
that a needle is found across the line breaks that mail programs put into paragraphs.

Each message is compressed for itself. Compressing several together would let a sender read, from the length
of the result, what stands in other people's messages.
"""

import re
import struct
import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple
from unicodedata import normalize

from postkeep.base.errors import IntegrityError
from postkeep.protocols.mime import decode_octets, decode_words
from postkeep.protocols.mime.markup import text_of_html
from postkeep.protocols.mime.transfer import undo_encoding
from postkeep.services.delivery.summary import PartSpan, Summary

VERSION: Final = 1
TEXT_BYTES_MAX: Final = 1024 * 1024
"""Folded octets kept of one message: a book of 300 pages. A search reads what is longer from the message."""
PART_BYTES_MAX: Final = 4 * 1024 * 1024
"""Octets of one part that are decoded for it: mark-up and transfer encodings are several times their text."""

_HEAD: Final = struct.Struct("<BBI")  # version, whether something was cut off, octets of the header's text
_WINDOW: Final = -13  # raw DEFLATE that looks back 8 KB: a third of the time that setting up 32 KB takes
_MEMORY: Final = 6
_LEVEL: Final = 1
_SPACES: Final = b"\t\n\v\f\x1c\x1d\x1e\x1f"
_FOLD: Final = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" + _SPACES, b"abcdefghijklmnopqrstuvwxyz" + b" " * len(_SPACES)
)
_FOLD_IN_LINES: Final = _FOLD[:10] + b"\n" + _FOLD[11:]
_WIDE: Final = (*((chr(ord(narrow) + 0xFEE0), narrow) for narrow in ",:;!?()"), ("\u3000", " "))
"""Full-width forms that stand in every Chinese sentence: normalising a text without them costs nothing."""
_ASCII_BASED: Final = ("utf-8", "us-ascii", "iso-8859", "windows-125", "gb", "big5", "euc-", "koi8", "shift")
"""Beginnings of names of charsets in which ASCII octets are ASCII (in ISO-2022, HZ, UTF-7 they are not)."""
_UNSEEN: Final = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufe0e\ufe0f\ufeff"
"""Soft hyphens, joiners, marks of direction, variation selectors."""
_FOLDED_LINE: Final = re.compile(rb"\r?\n(?=[ \t])")


class SearchText(NamedTuple):
    """Folded UTF-8."""

    header: bytes
    """One field a line, `name: value`, encoded words decoded."""
    body: bytes
    """Text parts, headers of enclosed messages and names of attachments, one a line."""
    cut: bool
    """There was more than the limits allow: what isn't found in here may still be in the message."""


def fold(text: str) -> str:
    """Return the form in which texts and needles are compared; it has no line breaks."""
    if text.isascii():
        return _fold_ascii(text.encode()).decode()
    for wide, narrow in _WIDE:
        text = text.replace(wide, narrow)
    for mark in _UNSEEN:
        text = text.replace(mark, "")
    text = normalize("NFKC", text).casefold()
    words = " ".join(text.split())
    if not words:
        return " " if text else ""
    return " " * text[0].isspace() + words + " " * text[-1].isspace()


def _fold_ascii(text: bytes, table: bytes = _FOLD) -> bytes:
    folded = text.translate(table, b"\r")
    while b"  " in folded:
        folded = folded.replace(b"  ", b" ")
    return folded


def fold_header(header: bytes) -> bytes:
    """Return a header, folded: one field a line."""
    lines = _FOLDED_LINE.sub(b"", header).strip()
    if b"=?" in lines or not lines.isascii():
        lines = b"\n".join(
            _fold_field(line) if b"=?" in line or not line.isascii() else line for line in lines.split(b"\n")
        )
    return _fold_ascii(lines, _FOLD_IN_LINES)


def _fold_field(line: bytes) -> bytes:
    name, _, value = line.partition(b":")
    return fold(f"{name.decode('latin-1')}: {decode_words(value)}").encode("utf-8", "replace")


def readable(part: PartSpan) -> tuple[int, int]:
    """Return offset and length of what is read of a part: a text, the header of an enclosed message."""
    if part.type.startswith("text/"):
        return part.body_offset, part.body_length
    if part.text_offset:
        return part.body_offset, part.text_offset - part.body_offset
    return part.body_offset, 0


def fold_part(part: PartSpan, octets: bytes) -> bytes:
    """Return the text of a part and the name of its file, folded; `octets` are what `readable` names."""
    lines = []
    if part.type.startswith("text/"):
        plain = undo_encoding(octets, part.encoding)
        if part.type == "text/plain" and plain.isascii() and _is_ascii_based(part.charset):
            lines.append(_fold_ascii(plain))
        else:
            text = decode_octets(plain, part.charset.encode("latin-1", "replace"))
            shown = text_of_html(text) if part.type == "text/html" else text
            lines.append(fold(shown).encode("utf-8", "replace"))
    elif part.text_offset:
        lines.append(fold_header(octets))
    if part.filename:
        lines.append(fold(part.filename).encode("utf-8", "replace"))
    return b"\n".join(lines)


def _is_ascii_based(charset: str) -> bool:
    return not charset or charset.startswith(_ASCII_BASED)


def text_of(message: bytes, summary: Summary) -> SearchText:
    """Make the search text of a message that has been summarised already."""
    cut = False
    texts = []
    for part in summary.parts:
        offset, length = readable(part)
        if length or part.filename:
            texts.append(fold_part(part, message[offset : offset + min(length, PART_BYTES_MAX)]))
            cut |= length > PART_BYTES_MAX
    header = fold_header(message[: min(summary.header_length, PART_BYTES_MAX)])
    return join(header, texts, cut=cut or summary.header_length > PART_BYTES_MAX)


def join(header: bytes, texts: Iterable[bytes], *, cut: bool = False) -> SearchText:
    """Put the texts of the parts together, within the limit for one message."""
    body = b"\n".join(texts)
    if len(header) + len(body) > TEXT_BYTES_MAX:
        header = header[: TEXT_BYTES_MAX // 2]
        body, cut = body[: TEXT_BYTES_MAX - len(header)], True
    return SearchText(header, body, cut)


def encode(text: SearchText) -> bytes:
    """Return the stored form: a head, then raw DEFLATE (RFC 1951) of header and body."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY)
    head = _HEAD.pack(VERSION, text.cut, len(text.header))
    return head + packer.compress(text.header + text.body) + packer.flush()


def decode(data: bytes) -> SearchText:
    """Read the stored form; raise IntegrityError for anything else."""
    if len(data) < _HEAD.size or data[0] != VERSION:
        raise IntegrityError("a search text has an unknown version")
    _, cut, header = _HEAD.unpack_from(data)
    unpacker = zlib.decompressobj(_WINDOW)
    try:
        text = unpacker.decompress(data[_HEAD.size :], TEXT_BYTES_MAX + 1)
    except zlib.error as exc:
        raise IntegrityError("a search text can't be unpacked") from exc
    if len(text) > TEXT_BYTES_MAX or not unpacker.eof or header > len(text):
        raise IntegrityError("a search text of an impossible size")
    return SearchText(text[:header], text[header:], bool(cut))
