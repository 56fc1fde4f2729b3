"""Tickets for an export of a person's mail: given to the command that the requester runs, and to no module.

The command holds them with a key of its own that ends with it. The approvals are counted each time; and the
person whose mail it is finds in the ledger, readable to nobody else, what was approved and why.
"""

from postkeep.base.errors import RefusedError, UnavailableError
from postkeep.base.ids import NOBODY, new_id
from postkeep.model.audit import PersonalValues
from postkeep.model.selection import PURPOSE
from postkeep.services.authority import governance_api as api
from postkeep.services.authority import requests
from postkeep.services.authority.governance import Governance
from postkeep.services.authority.requests import Act, Request
from postkeep.tickets.clear import Grant
from postkeep.tickets.rules import EXPORT


class ExportDesk:
    """Answers `authority.issue_export`."""

    def __init__(self, governance: Governance) -> None:
        self._governance = governance

    async def issue_export(self, grant: Grant, request: api.IssueExport) -> api.ExportTickets:
        """Give the tickets of an approved export; ApprovalNeededError while approvals are missing."""
        state = self._governance.state
        instance = f"{EXPORT}-{new_id().hex()[-8:]}"
        async with self._governance.change() as change:
            found = await change.request(request.id)
            check_own_export(grant, found)
            granted = requests.decide(found, Act.GRANT, NOBODY, change.now_ms, change.policy)
            why = PersonalValues(reason=granted.summary)
            sealer = await state.persons.sealer(granted.tenant, granted.principal, why)
            if sealer is None:
                raise UnavailableError("the owner could not be told why", code="unavailable.kms")
            module, module_token = state.mint.module(EXPORT, instance, grant.connection.thumbprint)
            ticket, token = await self._governance.mint_grant(
                grant, change, granted, EXPORT, instance, sealer
            )
        state.note_issue(module)
        state.note_issue(ticket)
        return api.ExportTickets(instance, module_token, token, min(module.expires, ticket.expires))


def check_own_export(grant: Grant, request: Request) -> None:
    """Raise RefusedError unless a request is for an export, and was made by who asks."""
    if request.kind != PURPOSE or request.requester != grant.principal:
        raise RefusedError("not an export of this requester's", code="refused.request_not_yours")
