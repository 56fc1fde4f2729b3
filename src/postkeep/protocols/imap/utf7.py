"""Modified UTF-7, the form of mailbox names towards IMAP4rev1 clients (RFC 3501 section 5.1.3)."""

import binascii
import re

from postkeep.protocols.imap.errors import ImapSyntaxError

_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")
_UNPRINTABLE = re.compile(r"&|[^\x20-\x7e]+")


def encode_utf7(name: str) -> bytes:
    """Encode a name; printable ASCII stands for itself, `&` becomes `&-`."""

    def shift(match: re.Match[str]) -> str:
        text = match.group()
        if text == "&":
            return "&-"
        packed = binascii.b2a_base64(text.encode("utf-16-be"), newline=False)
        return "&" + packed.rstrip(b"=").replace(b"/", b",").decode("ascii") + "-"

    return _UNPRINTABLE.sub(shift, name).encode("ascii")


def decode_utf7(raw: bytes) -> str:
    """Decode a name; raises ImapSyntaxError for anything but the one encoding of that name.

    Only the canonical form is taken, so that two spellings never name one mailbox.
    """
    if b"&" not in raw:
        return _ascii(raw)
    pieces: list[str] = []
    at = 0
    for match in _SHIFTED.finditer(raw):
        pieces.append(_ascii(raw[at : match.start()]))
        pieces.append(_unshift(match.group(1)))
        at = match.end()
    pieces.append(_ascii(raw[at:]))
    name = "".join(pieces)
    if encode_utf7(name) != raw:
        raise ImapSyntaxError("The mailbox name is not valid modified UTF-7.")
    return name


def _ascii(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError as exc:
        raise ImapSyntaxError("The mailbox name is not valid modified UTF-7.") from exc


def _unshift(packed: bytes) -> str:
    if not packed:
        return "&"
    try:
        padded = packed.replace(b",", b"/") + b"=" * (-len(packed) % 4)
        return binascii.a2b_base64(padded, strict_mode=True).decode("utf-16-be")
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise ImapSyntaxError("The mailbox name is not valid modified UTF-7.") from exc
