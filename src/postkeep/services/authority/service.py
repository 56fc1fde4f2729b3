"""The authority's methods on the channel: one table from wire name to handler.

`enrol`, `operator_sign_in`, `renew_module`, `issue_operation` and `feed` answer from the first moment; all
others need the account key and raise UnavailableError until kms has given it.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from postkeep.base.errors import RefusedError
from postkeep.base.ids import NOBODY
from postkeep.model.audit import EventName
from postkeep.services.authority import api, governance_api
from postkeep.services.authority.administration import Administration
from postkeep.services.authority.colleagues import ColleagueDesk
from postkeep.services.authority.deletion import Deletion
from postkeep.services.authority.enrolment import Enrolments, ModuleDesk
from postkeep.services.authority.exports import ExportDesk
from postkeep.services.authority.governance import Governance
from postkeep.services.authority.group_mailboxes import GroupMailboxDesk
from postkeep.services.authority.passwords import Passwords
from postkeep.services.authority.policy import PolicyRefusedError
from postkeep.services.authority.publishing import KeyPublisher
from postkeep.services.authority.requests_desk import RequestDesk
from postkeep.services.authority.routes import Router
from postkeep.services.authority.sessions import Sessions
from postkeep.services.authority.signing_in import SignInDesk
from postkeep.services.authority.staff_desk import StaffDesk
from postkeep.services.authority.state import AuthorityState
from postkeep.services.authority.throttle import Throttle
from postkeep.services.authority.tokens import TokenDesk
from postkeep.services.authority.tokens_api import TokenSignIn
from postkeep.services.kms.api import SignedPublicKey
from postkeep.services.ledger.trail import refusal_fields
from postkeep.tickets.channel import Handler, Refusal
from postkeep.tickets.clear import Grant

_REQUESTS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "create_tenant": api.CreateTenant,
    "list_tenants": api.ListTenants,
    "find_tenant": api.FindTenant,
    "add_domain": api.AddDomain,
    "remove_domain": api.RemoveDomain,
    "create_user": api.CreateUser,
    "create_group": api.CreateGroup,
    "set_members": api.SetMembers,
    "find": api.Find,
    "list_principals": api.ListPrincipals,
    "set_password": api.SetPassword,
    "set_status": api.SetStatus,
    "set_quota": api.SetQuota,
    "create_alias": api.CreateAlias,
    "delete_alias": api.DeleteAlias,
    "grant_address": api.GrantAddress,
    "create_app_password": api.CreateAppPassword,
    "list_app_passwords": api.ListAppPasswords,
    "delete_app_password": api.DeleteAppPassword,
    "revoke": api.Revoke,
}
"""Administration: each is the method of that name of `Administration`."""

_GOVERNANCE: Final[Mapping[str, type[msgspec.Struct]]] = {
    "open_request": governance_api.OpenRequest,
    "list_requests": governance_api.ListRequests,
    "show_request": governance_api.ShowRequest,
    "decide_request": governance_api.DecideRequest,
    "withdraw_request": governance_api.WithdrawRequest,
    "issue_grant": governance_api.IssueGrant,
    "settled": governance_api.Settle,
    "close_request": governance_api.CloseRequest,
}
"""Each is the method of that name of `RequestDesk`; a refusal stands in the ledger."""

_STAFF: Final[Mapping[str, type[msgspec.Struct]]] = {
    "staff_sign_in": governance_api.StaffSignIn,
    "staff_list": governance_api.StaffAll,
    "staff_show": governance_api.StaffShow,
    "staff_create": governance_api.StaffCreate,
    "staff_status": governance_api.StaffStatus,
    "staff_roles": governance_api.StaffRoles,
    "staff_password": governance_api.StaffPassword,
    "staff_own_password": governance_api.StaffOwnPassword,
    "staff_delete": governance_api.StaffDelete,
    "dual_control": governance_api.DualControl,
    "set_dual_control": governance_api.SetDualControl,
}
"""Each is the method of that name of `StaffDesk`."""


class AuthorityService:
    """Puts the parts together."""

    def __init__(
        self, state: AuthorityState, enrolments: Enrolments, passwords: Passwords, owner_uid: int
    ) -> None:
        self._state = state
        self._modules = ModuleDesk(state, enrolments, owner_uid)
        self.sessions: Final = Sessions(state)
        self._people = SignInDesk(state, passwords, self.sessions, Throttle())
        self._router = Router(state)
        self._administration = Administration(state, passwords)
        governance = Governance(state)
        self._requests = RequestDesk(governance)
        self._exports = ExportDesk(governance)
        self._staff = StaffDesk(governance, passwords, Throttle(), owner_uid)

    def handlers(self) -> dict[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the table that the channel's server takes."""
        table: dict[str, tuple[type[msgspec.Struct], Handler]] = {
            "authority.enrol": (api.Enrol, self._told(self._modules.enrol)),
            "authority.operator_sign_in": (api.OperatorSignIn, self._told(self._modules.operator_sign_in)),
            "authority.renew_module": (api.RenewModule, self._told(self._modules.renew_module)),
            "authority.issue_operation": (api.IssueOperation, self._told(self._modules.issue_operation)),
            "authority.feed": (api.Feed, self._feed),
            "authority.rotate_ticket_key": (api.RotateTicketKey, self._rotate_ticket_key),
            "authority.publish_key": (api.PublishKey, KeyPublisher(self._state).publish_key),
            "authority.sign_in": (api.SignIn, self._people.sign_in),
            "authority.owner_sign_in": (api.OwnerSignIn, self._people.owner_sign_in),
            "authority.token_sign_in": (TokenSignIn, self._people.token_sign_in),
            "authority.scram_start": (api.ScramStart, self._people.scram_start),
            "authority.scram_finish": (api.ScramFinish, self._people.scram_finish),
            "authority.renew_user": (api.RenewUser, self._told(self.sessions.renew)),
            "authority.sign_out": (api.SignOut, self._told(self.sessions.sign_out)),
            "authority.keep_sessions": (api.KeepSessions, self.sessions.keep),
            "authority.end_sessions": (api.EndSessions, self.sessions.end),
            "authority.issue_export": (governance_api.IssueExport, self._told(self._exports.issue_export)),
            "authority.resolve": (api.Resolve, self._resolve),
            "authority.queue_key": (api.QueueKey, self._queue_key),
        }
        table.update(Deletion(self._state).handlers())
        table.update(TokenDesk(self._state).handlers())
        table.update(GroupMailboxDesk(self._state).handlers())
        table.update(ColleagueDesk(self._state, self.sessions).handlers())
        for name, request in _REQUESTS.items():
            table[f"authority.{name}"] = (request, getattr(self._administration, name))
        for name, request in _GOVERNANCE.items():
            table[f"authority.{name}"] = (request, self._told(getattr(self._requests, name)))
        for name, request in _STAFF.items():
            table[f"authority.{name}"] = (request, getattr(self._staff, name))
        return table

    async def close(self) -> None:
        """Wait until what was refused has been told to the ledger's trail."""
        await self._people.settle()

    def on_refusal(self, refusal: Refusal) -> None:
        """Record what the channel turned away before it came here."""
        self._state.trail.note(EventName.ACCESS_REFUSE, **refusal_fields(refusal))

    def _told(self, handler: Handler) -> Handler:
        """Have a ticket that is refused stand in the ledger, as one that is issued does."""

        async def tell(grant: Grant, request: msgspec.Struct) -> msgspec.Struct:
            try:
                return await handler(grant, request)
            except RefusedError as error:
                session = getattr(request, "session", b"")
                self._state.trail.note(
                    EventName.TICKET_REFUSE,
                    outcome="refused",
                    code=error.code,
                    policy=error.policies if isinstance(error, PolicyRefusedError) else "",
                    module=grant.peer_module,
                    instance=grant.peer_instance,
                    session=session.hex(),
                    method=grant.method,
                )
                raise

        return tell

    async def _rotate_ticket_key(self, _grant: Grant, _request: api.RotateTicketKey) -> api.TicketKeyInfo:
        return await self._state.keyring.rotate()

    async def _feed(self, _grant: Grant, request: api.Feed) -> api.FeedPage:
        return await self._state.feed.next_page(
            request.since, request.directory_version, request.wait_seconds
        )

    async def _resolve(self, _grant: Grant, request: api.Resolve) -> api.Routes:
        return await self._router.resolve(request.addresses)

    async def _queue_key(self, _grant: Grant, request: api.QueueKey) -> SignedPublicKey:
        if request.tenant in {b"", NOBODY}:
            return self._state.queue_key
        row = await self._state.directory.tenant(request.tenant)
        return SignedPublicKey(
            row.tenant, row.queue_principal, row.queue_generation, row.queue_key, row.queue_signature
        )
