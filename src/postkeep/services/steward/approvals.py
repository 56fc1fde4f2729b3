"""Grants for dangerous acts: at once where one operator's word is enough, otherwise once others approve.

An act asks before it changes anything. The first time, under dual control, the answer is an
ApprovalNeededError that names the request; the same command given again finds the approved request by the
digest of exactly what is to be done. An act that needs nobody's presence `ask`s, and goes on when its request
is `settled`. What was begun and cut short goes on with `renew`, which needs no
operator but counts the approvals anew. `done` closes the request, so that the next such act needs another.
"""

from typing import NamedTuple

from postkeep.model.warrant import PURPOSE, Warrant
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.authority.governance_api import CloseRequest, IssueGrant, OpenRequest, Settle
from postkeep.services.steward.control import Operator


class GrantToken(NamedTuple):
    """A grant ticket held by this steward."""

    token: bytes
    expires: int
    """Seconds since the epoch."""
    request: bytes
    """The request that it stands on: note it durably with what is begun, to `renew` and to be `done`."""


class Approvals:
    """The steward's way to grants."""

    def __init__(self, authority: AuthorityClient) -> None:
        self._authority = authority

    async def grant_for(  # noqa: PLR0917 - what is asked, by whom, on what
        self,
        operator: Operator,
        kind: str,
        tenant: bytes,
        principal: bytes,
        digest: bytes,
        summary: str,
        approvals: int = 0,
    ) -> GrantToken:
        """Return a grant for an act; ApprovalNeededError while other people must approve it first.

        `digest` is the SHA-256 of exactly what is to be done, the same whenever the act is asked for;
        `summary` says it in words and names nobody. `approvals`: how many the keeper that does it asks for
        at least, whatever the authority's policy.
        """
        request = await self._authority.open_request(
            OpenRequest(kind, tenant, principal, digest, summary, approvals), ticket=operator.ticket
        )
        return await self.renew(request.id)

    async def ask_for(self, operator: Operator, warrant: Warrant) -> bytes:
        """Return the request for a destruction, made now or before by the same requester."""
        told = (PURPOSE, warrant.tenant, warrant.principal, warrant.digest(), "")
        request = await self._authority.open_request(
            OpenRequest(*told, destruction=warrant), ticket=operator.ticket
        )
        return request.id

    async def settled(self, requests: list[bytes]) -> list[bytes]:
        """Return which requests have all their approvals, or are over."""
        return (await self._authority.settled(Settle(requests))).ids

    async def renew(self, request: bytes) -> GrantToken:
        """Return a fresh grant for a request that is approved, or whose act has begun."""
        ticket = await self._authority.issue_grant(IssueGrant(request))
        return GrantToken(ticket.token, ticket.expires, request)

    async def done(self, grant: GrantToken) -> None:
        """Close the request of an act that is done; harmless to repeat."""
        await self._authority.close_request(CloseRequest(grant.request))
