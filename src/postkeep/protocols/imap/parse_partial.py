"""The range of PARTIAL, as SEARCH, SORT and FETCH take it (RFC 9394 section 5)."""

import re
from typing import Final

from postkeep.protocols.imap.cursor import Cursor
from postkeep.protocols.imap.partial import PartialRange

_RANGE: Final = re.compile(rb"(-?)([1-9]\d{0,9}):(-?)([1-9]\d{0,9})(?![\d:])")


def parse_partial_range(cursor: Cursor) -> PartialRange:
    """Read `1:100` or `-1:-100`; raises ImapSyntaxError."""
    found = cursor.match(_RANGE, "a partial range")
    first_sign, first, last_sign, last = found.groups()
    return PartialRange(int(first_sign + first), int(last_sign + last))
