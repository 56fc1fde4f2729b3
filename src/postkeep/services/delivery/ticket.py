"""The operation ticket that a face deposits with: fetched once, renewed well before it runs out."""

import asyncio
from typing import Final, Protocol

from postkeep.base.clock import Clock
from postkeep.services.authority.api import IssueOperation, OperationTicket

RENEW_SECONDS: Final = 120
"""Before its end a ticket is renewed: a batch that is on its way must not find it expired."""


class OperationIssuer(Protocol):
    """The authority, as far as this needs it."""

    async def issue_operation(self, request: IssueOperation) -> OperationTicket:
        """Issue a ticket for work with no user."""


class OperationTicketSource:
    """Keeps one operation ticket current. Use it from one event loop."""

    def __init__(self, authority: OperationIssuer, purpose: str, clock: Clock) -> None:
        self._authority = authority
        self._purpose = purpose
        self._clock = clock
        self._ticket = OperationTicket(b"", 0)
        self._renewal = asyncio.Lock()

    def forget(self) -> None:
        """Drop the ticket: a keeper has refused it (its budget is used up, its signer distrusted)."""
        self._ticket = OperationTicket(b"", 0)

    async def token(self) -> bytes:
        """Return a ticket that is good for a while; raises what the authority raises."""
        if self._good():
            return self._ticket.ticket
        async with self._renewal:
            if not self._good():
                self._ticket = await self._authority.issue_operation(IssueOperation(self._purpose))
        return self._ticket.ticket

    def _good(self) -> bool:
        return self._clock.now_seconds() < self._ticket.expires - RENEW_SECONDS
