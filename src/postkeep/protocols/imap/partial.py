"""PARTIAL: a window on a result, counted from its beginning or from its end (RFC 9394 section 3.1)."""

import msgspec

from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.sequence import NUMBER_MAX


class PartialRange(msgspec.Struct, frozen=True):
    """Both ends count, the first is 1; negative ones count from the end of the result, which is -1."""

    first: int
    last: int

    def __post_init__(self) -> None:
        """Refuse what the grammar has no form for."""
        ends = abs(self.first), abs(self.last)
        if (self.first < 0) != (self.last < 0) or not all(1 <= end <= NUMBER_MAX for end in ends):
            raise ImapSyntaxError("A partial range is two numbers of one sign.")

    def slice(self, count: int) -> range:
        """Return the places, from 0, that it names in a result of `count`; beyond the result: none."""
        low, high = sorted((abs(self.first), abs(self.last)))
        if self.first < 0:
            low, high = count + 1 - high, count + 1 - low
        return range(max(low, 1) - 1, max(min(high, count), 0))

    def __bytes__(self) -> bytes:
        """Return the wire form."""
        return b"%d:%d" % (self.first, self.last)
