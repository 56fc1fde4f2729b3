"""Content-Transfer-Encodings undone (RFC 2045 section 6), as mail readers do: nothing here raises."""

import binascii
import quopri
from typing import Final

_NOT_BASE64: Final = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)


def undo_encoding(octets: bytes, encoding: str) -> bytes:
    """Undo a transfer encoding (its name in lower case); what is not valid in it is left out."""
    if encoding == "base64":
        digits = octets.translate(None, _NOT_BASE64)
        digits = digits[: len(digits) - (len(digits) % 4 == 1)]
        return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))
    if encoding == "quoted-printable":
        return quopri.decodestring(octets)
    return octets
