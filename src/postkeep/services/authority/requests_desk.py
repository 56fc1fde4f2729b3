"""The methods for requests: ask, look, vote, withdraw, and the grant at the end."""

from typing import Final

from postkeep.base.errors import LimitError, NotFoundError, RefusedError
from postkeep.base.ids import NOBODY, new_id
from postkeep.model.audit import EventName
from postkeep.model.ticket import TicketKind
from postkeep.services.authority import governance_api as api
from postkeep.services.authority import requests
from postkeep.services.authority.api import Done
from postkeep.services.authority.exports import check_own_export
from postkeep.services.authority.governance import (
    Governance,
    no_request,
    policy_of,
    read_account,
    read_request,
    read_settings,
)
from postkeep.services.authority.requests import Act, Policy, Request, State
from postkeep.services.authority.sealing import PrincipalNames, TenantNames
from postkeep.services.authority.staff import StaffAccount
from postkeep.services.authority.subjects import subject_of
from postkeep.tickets.clear import Grant
from postkeep.tickets.entitlements import grant_place

SETTLED_MAX: Final = 1000
"""Requests asked after in one call: as many as may be open at all."""
OPERATOR_NAME: Final = "operator"
"""What the machine's own operator is called where names are shown."""


class RequestDesk:
    """Answers about requests. Reads see what holds now; changes go through `Governance.change`."""

    def __init__(self, governance: Governance) -> None:
        self._governance = governance
        self._state = governance.state

    async def open_request(self, grant: Grant, request: api.OpenRequest) -> api.RequestInfo:
        """Ask for an act; the same act asked for again by the same requester is the same request."""
        subject = subject_of(request)
        asked, _ = await self._governance.ask(grant, new_id(), subject, request.approvals)
        return await self._info(asked)

    async def list_requests(self, _grant: Grant, request: api.ListRequests) -> api.RequestList:
        """List requests, the newest first."""
        rows = await self._state.governance.requests(live_only=not request.everything)
        found = [read_request(self._state.seal, row) for row in rows]
        now_ms = self._state.clock.now_ms()
        if not request.everything:
            found = [one for one in found if requests.usable(one, now_ms)]
        return api.RequestList(await self._infos(found))

    async def show_request(self, _grant: Grant, request: api.ShowRequest) -> api.RequestInfo:
        """Show one request."""
        row = await self._state.governance.request(request.id)
        if row is None:
            raise no_request()
        return await self._info(read_request(self._state.seal, row))

    async def decide_request(self, grant: Grant, request: api.DecideRequest) -> api.RequestInfo:
        """Count an approver's word."""
        act = Act.APPROVE if request.approve else Act.DECLINE
        async with self._governance.change() as change:
            found = await change.request(request.id)
            decided = requests.decide(
                found, act, grant.principal, change.now_ms, change.policy, request.reason
            )
            await change.put(decided)
            count = len(requests.standing(decided, change.policy))
            await self._governance.record(grant, EventName.REQUEST_DECIDE, decided, act.value, count)
        return await self._info(decided)

    async def withdraw_request(self, grant: Grant, request: api.WithdrawRequest) -> api.RequestInfo:
        """Take a request back."""
        async with self._governance.change() as change:
            found = await change.request(request.id)
            gone = requests.decide(found, Act.WITHDRAW, grant.principal, change.now_ms, change.policy)
            await change.put(gone)
            await self._governance.record(grant, EventName.REQUEST_CLOSE, gone, "withdrawn", 0)
        return await self._info(gone)

    async def issue_grant(self, grant: Grant, request: api.IssueGrant) -> api.GrantTicket:
        """Give the steward that asks the ticket for an approved act; the approvals are counted now."""
        async with self._governance.change() as change:
            found = await change.request(request.id)
            if grant_place(found.kind)[0] != grant.peer_module:
                raise RefusedError("this kind of grant is another module's", code="refused.purpose")
            granted = requests.decide(found, Act.GRANT, NOBODY, change.now_ms, change.policy)
            ticket, token = await self._governance.mint_grant(
                grant, change, granted, grant.peer_module, grant.peer_instance
            )
        self._state.note_issue(ticket)
        return api.GrantTicket(token, ticket.expires)

    async def settled(self, _grant: Grant, request: api.Settle) -> api.Settled:
        """Say which requests can be granted now, or never: nobody need wait for those any more."""
        if len(request.ids) > SETTLED_MAX:
            raise LimitError(f"at most {SETTLED_MAX} requests in one call")
        state = self._state
        found = [
            read_request(state.seal, row)
            for row in [await state.governance.request(one) for one in request.ids]
            if row is not None
        ]
        accounts = [read_account(state.seal, row) for row in await state.governance.staff()]
        policy = policy_of(read_settings(state.seal, await state.governance.settings()), accounts)
        now_ms = state.clock.now_ms()
        waiting = {one.id for one in found if requests.usable(one, now_ms) and requests.missing(one, policy)}
        return api.Settled([one for one in request.ids if one not in waiting])

    async def close_request(self, grant: Grant, request: api.CloseRequest) -> Done:
        """Let nothing be granted on a request again: its act is done."""
        async with self._governance.change() as change:
            found = await change.request(request.id)
            if grant.kind is TicketKind.STAFF:
                check_own_export(grant, found)
            closed = requests.decide(found, Act.CLOSE, NOBODY, change.now_ms, change.policy)
            if closed is not found:
                await change.put(closed)
                await self._governance.record(grant, EventName.REQUEST_CLOSE, closed, "done", 0)
        return Done()

    # --- what is shown ---

    async def _info(self, request: Request) -> api.RequestInfo:
        (info,) = await self._infos([request])
        return info

    async def _infos(self, found: list[Request]) -> list[api.RequestInfo]:
        state = self._state
        accounts = {
            account.id: account
            for account in (read_account(state.seal, row) for row in await state.governance.staff())
        }
        settings = read_settings(state.seal, await state.governance.settings())
        policy = policy_of(settings, accounts.values())
        now_ms = state.clock.now_ms()
        return [_describe(one, policy, now_ms, accounts, await self._about(one, accounts)) for one in found]

    async def _about(self, request: Request, accounts: dict[bytes, StaffAccount]) -> str:
        """Name whom a request is about, as far as the directory still knows."""
        state = self._state
        if request.principal in accounts:
            return accounts[request.principal].name
        try:
            if request.principal != NOBODY:
                row = await state.directory.principal(request.principal)
                return state.seal.open(
                    row.sealed, PrincipalNames, "principals", row.tenant, row.principal
                ).address
            if request.tenant != NOBODY:
                tenant = await state.directory.tenant(request.tenant)
                return state.seal.open(tenant.sealed, TenantNames, "tenants", tenant.tenant).name
        except NotFoundError:
            pass  # it is gone already; the identifier is shown
        return ""


def _describe(
    request: Request, policy: Policy, now_ms: int, accounts: dict[bytes, StaffAccount], about: str
) -> api.RequestInfo:
    stands = requests.standing(request, policy)
    ended = request.state in {State.OPEN, State.APPROVED} and not requests.usable(request, now_ms)
    return api.RequestInfo(
        id=request.id,
        kind=request.kind,
        state="expired" if ended else request.state.value,
        tenant=request.tenant,
        principal=request.principal,
        about=about,
        digest=request.digest,
        summary=request.summary,
        requester=request.requester,
        requester_name=_name(request.requester, accounts),
        approvals_needed=requests.needed(request, policy),
        approvals=len(stands),
        votes=[
            api.VoteInfo(
                vote.approver,
                _name(vote.approver, accounts),
                vote.approve,
                vote.at_ms,
                vote.reason,
                vote.approver in stands,
            )
            for vote in request.votes
        ],
        opened_ms=request.opened_ms,
        expires_ms=request.expires_ms,
    )


def _name(staff: bytes, accounts: dict[bytes, StaffAccount]) -> str:
    if staff == NOBODY:
        return OPERATOR_NAME
    return accounts[staff].name if staff in accounts else staff.hex()
