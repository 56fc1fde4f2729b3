"""Encoded words in headers (RFC 2047), as senders really write them."""

import binascii
import re
from typing import Final

from postkeep.protocols.mime.charsets import decode_octets
from postkeep.protocols.mime.headers import unfold
from postkeep.protocols.mime.limits import ENCODED_WORDS_MAX

_WORD: Final = re.compile(rb"=\?([^?*\s]{1,40})(?:\*[^?\s]{0,40})?\?([BbQq])\?([^?\r\n]*+)\?=")
_HEX: Final = re.compile(rb"=([0-9A-Fa-f]{2})")
_NOT_BASE64: Final = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)


def decode_words(value: bytes) -> str:
    """Return a raw field value as text: unfolded, encoded words decoded, raw 8-bit guessed.

    White space between two encoded words goes (section 6.2). Neighbours of one charset are put together
    before decoding: many senders cut a character in two, against section 5.
    """
    value = unfold(value)
    if b"=?" not in value:
        return value.decode("ascii") if value.isascii() else decode_octets(value)
    text: list[str] = []
    charset, pending, position = b"", bytearray(), 0
    for count, word in enumerate(_WORD.finditer(value)):
        if count == ENCODED_WORDS_MAX:
            break
        between = value[position : word.start()]
        if pending and (between.strip(b" \t") or word[1].lower() != charset):
            text.append(decode_octets(bytes(pending), charset))
            pending.clear()
        if between and (not position or between.strip(b" \t")):
            text.append(decode_octets(between))
        charset, position = word[1].lower(), word.end()
        pending += _base64(word[3]) if word[2] in b"Bb" else _quoted(word[3])
    if pending:
        text.append(decode_octets(bytes(pending), charset))
    if position < len(value):
        text.append(decode_octets(value[position:]))
    return "".join(text)


def _base64(text: bytes) -> bytes:
    digits = text.translate(None, _NOT_BASE64)
    usable = len(digits) - (len(digits) % 4 == 1)
    return binascii.a2b_base64(digits[:usable] + b"=" * (-usable % 4))


def _quoted(text: bytes) -> bytes:
    return _HEX.sub(lambda match: bytes.fromhex(match[1].decode("ascii")), text.replace(b"_", b" "))
