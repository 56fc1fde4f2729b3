"""What a ciphertext or a signature is bound to: a purpose and its fields, as one unambiguous byte string.

The encoding is injective: no two different (purpose, fields) give the same bytes, because every field has
a type tag and its length before it. It is bound as AAD, as HPKE `info`, as the context of chunked
encryption or as the signed statement, so that a ciphertext moved to another place does not open there.
"""

from typing import Final

VERSION: Final = b"postkeep/1"
"""First bytes of every context; a change of any format behind it changes this."""

INTEGER_BYTES: Final = 8
"""Integers are unsigned and eight bytes wide: indexes, generations, milliseconds."""

_BYTES: Final = b"b"
_TEXT: Final = b"s"
_INTEGER: Final = b"i"


def context(purpose: str, *fields: bytes | str | int) -> bytes:
    """Return the context of a purpose and its fields, in this order.

    Integers must fit in 64 unsigned bits (OverflowError otherwise).
    """
    name = purpose.encode()
    parts = [VERSION, len(name).to_bytes(2, "big"), name]
    for field in fields:
        if isinstance(field, bytes):
            parts += (_BYTES, len(field).to_bytes(4, "big"), field)
        elif isinstance(field, str):
            text = field.encode()
            parts += (_TEXT, len(text).to_bytes(4, "big"), text)
        else:
            parts += (_INTEGER, field.to_bytes(INTEGER_BYTES, "big"))
    return b"".join(parts)
