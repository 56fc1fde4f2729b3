"""Who has no room: remembered for a while from the vault's answers, so that RCPT can say so.

Only the vault knows how full a mailbox is, and it says so when a deposit does not fit. A face remembers that
for a short time, with the size that did not fit: a sender who says that his message is smaller is let
through, so that nobody closes a mailbox to small mail by sending large mail at it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

FULL_SECONDS: Final = 60.0
"""How long a refusal is remembered: senders come back after minutes, owners tidy up in between."""

FULL_MAX: Final = 65_536
"""Mailboxes remembered, about 250 bytes each; beyond it the oldest are forgotten."""


class FullMailboxes:
    """Principals whose last deposit did not fit. Use it from one event loop."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._known: OrderedDict[tuple[bytes, bytes], tuple[int, float]] = OrderedDict()

    def note(self, tenant: bytes, principal: bytes, octets: int) -> None:
        """Remember that a message of so many octets did not fit."""
        key = tenant, principal
        if self.has_no_room(tenant, principal, 0):
            octets = min(octets, self._known[key][0])
        self._known[key] = octets, self._monotonic() + FULL_SECONDS
        self._known.move_to_end(key)
        if len(self._known) > FULL_MAX:
            self._known.popitem(last=False)

    def has_no_room(self, tenant: bytes, principal: bytes, octets: int) -> bool:
        """Whether a message of so many octets (0: not said) would not fit, as far as is known."""
        if not self._known:
            return False
        refused, until = self._known.get((tenant, principal), (0, 0.0))
        return until > self._monotonic() and not 0 < octets < refused
