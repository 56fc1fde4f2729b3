"""SASLprep: one form for passwords and names that look the same (RFC 4013, a profile of RFC 3454)."""

import stringprep
import unicodedata
from collections.abc import Callable
from typing import Final

from postkeep.protocols.sasl import SaslError

# RFC 4013 section 2.3, with the tables of RFC 3454 appendix C.
_PROHIBITED: Final[tuple[Callable[[str], bool], ...]] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """Return the normal form of a name or password.

    A query in the sense of RFC 3454 section 7: characters unassigned in Unicode 3.2 pass, so that new ones
    work. Raises SaslError for prohibited characters and for mixed directions (RFC 3454 section 6).
    """
    if text.isascii():
        if not text.isprintable():
            raise SaslError("a control character")
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    for char in prepared:
        if any(prohibited(char) for prohibited in _PROHIBITED):
            raise SaslError("a prohibited character")
    if any(map(stringprep.in_table_d1, prepared)):
        ends_right = stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])
        if not ends_right or any(map(stringprep.in_table_d2, prepared)):
            raise SaslError("characters of both directions")
    return prepared
