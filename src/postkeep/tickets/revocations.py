"""What has been revoked, as this process knows it, and how old that knowledge is.

A revocation ends an epoch of its subject: a session, a user, a tenant, a kind of module, or one instance. A
ticket belongs to the epoch in which it was issued, which its identifier begins with; no ticket names epochs,
so that issuing one asks nobody, and one list of times is all that a module must know.
"""

import time
from collections.abc import Callable
from typing import Final, Protocol

from postkeep.base.errors import RefusedError, UnavailableError
from postkeep.tickets.mint import TICKET_SECONDS_MAX
from postkeep.tickets.verify import CLOCK_SKEW_SECONDS, ShownTicket

STALE_SECONDS: Final = 10.0
"""Without word from the authority for longer, nothing that releases bodies or keys goes on."""

KEPT_MS: Final = (TICKET_SECONDS_MAX + 2 * CLOCK_SKEW_SECONDS) * 1000
"""A revocation is forgotten when every ticket issued before it has expired."""


class Revocation(Protocol):
    """Everything of this scope issued before `before_ms` is void."""

    @property
    def scope(self) -> str:
        """`session`, `user`, `tenant`, `module` or `instance`."""

    @property
    def subject(self) -> str:
        """The identifier, hexadecimal, or the name of the module or of its instance."""

    @property
    def before_ms(self) -> int:
        """Milliseconds since the epoch."""


class RevocationView:
    """Fed from the authority's feed by `postkeep.tickets.follow`; asked at every call by the channel."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.position = 0
        """Of the last revocation known."""
        self._monotonic = monotonic
        self._heard = float("-inf")
        self._void: dict[tuple[str, str], int] = {}

    def learn(self, revocation: Revocation) -> None:
        """Take in one revocation; the later of two for the same subject counts."""
        key = (revocation.scope, revocation.subject)
        self._void[key] = max(revocation.before_ms, self._void.get(key, 0))

    def heard(self, position: int) -> None:
        """Note that the authority has just said that nothing else is revoked up to `position`."""
        self.position = position
        self._heard = self._monotonic()
        if len(self._void) > 1000:  # noqa: PLR2004 - sweeping is cheap, and rare from here on
            oldest = max(self._void.values()) - KEPT_MS
            self._void = {key: before for key, before in self._void.items() if before > oldest}

    @property
    def silence(self) -> float:
        """Seconds since the last word from the authority; infinite before the first."""
        return self._monotonic() - self._heard

    def check_fresh(self) -> None:
        """Raise UnavailableError if the view is stale."""
        if self.silence > STALE_SECONDS:
            raise UnavailableError("the view of revocations is stale", code="unavailable.stale")

    def check(self, verified: ShownTicket) -> None:
        """Raise RefusedError if a ticket, or any that it was narrowed from, has been revoked."""
        if self._void.keys().isdisjoint(verified.subjects):
            return
        for subject in verified.subjects:
            if self._void.get(subject, 0) > verified.issued_ms:
                raise RefusedError(f"its {subject[0]} was revoked", code="refused.revoked")
