"""The authority, as its callers see it: one async method per call of `postkeep.services.authority.api`."""

import asyncio
from typing import Final, Protocol, TypeVar

import msgspec

from postkeep.base.clock import Clock, SystemClock
from postkeep.services.authority import api, governance_api, tokens_api
from postkeep.services.authority.colleagues_api import Colleagues, FindColleagues
from postkeep.services.kms.api import SignedPublicKey
from postkeep.tickets.mint import OPERATION_SECONDS

T = TypeVar("T")

FEED_GRACE_SECONDS: Final = 3.0
"""How much later than asked an answer of the feed may come before the authority counts as away."""


class Caller(Protocol):
    """What a client needs of a channel; `postkeep.tickets.channel.Link` is one."""

    async def call(
        self,
        method: str,
        request: msgspec.Struct,
        reply: type[T],
        *,
        ticket: bytes = b"",
        timeout_seconds: float = 30.0,
    ) -> T:
        """Call a keeper's method and return its answer; raise the PostkeepError it answers with."""


class AuthorityClient:
    """Calls to the authority over one link. Every method may raise UnavailableError.

    Methods that take a `ticket` are administration and need a staff ticket held by the caller.
    """

    def __init__(self, link: Caller) -> None:
        self._link = link

    async def poll_feed(self, since: int, directory_version: int, wait_seconds: float) -> api.FeedPage:
        """Wait for revocations after `since` or another directory version (see `tickets.follow`)."""
        return await self._link.call(
            "authority.feed",
            api.Feed(since, wait_seconds, directory_version),
            api.FeedPage,
            timeout_seconds=wait_seconds + FEED_GRACE_SECONDS,
        )

    async def sign_in(self, request: api.SignIn) -> api.SignedIn:
        """Check a password; RefusedError if it is wrong, ThrottledError if too many were."""
        return await self._link.call("authority.sign_in", request, api.SignedIn)

    async def owner_sign_in(self, request: api.OwnerSignIn) -> api.OwnerSignedIn:
        """Sign in at the command line for the own ledger; refused and throttled like any sign-in."""
        return await self._link.call("authority.owner_sign_in", request, api.OwnerSignedIn)

    async def scram_start(self, request: api.ScramStart) -> api.ScramChallenge:
        """Begin a SCRAM exchange."""
        return await self._link.call("authority.scram_start", request, api.ScramChallenge)

    async def scram_finish(self, request: api.ScramFinish) -> api.SignedIn:
        """Finish a SCRAM exchange; RefusedError if the proof is wrong."""
        return await self._link.call("authority.scram_finish", request, api.SignedIn)

    async def open_mailbox(self, request: api.OpenGroupMailbox, *, ticket: bytes) -> api.Done:
        """Deliver to a group's own mailbox from now on."""
        return await self._link.call("authority.open_mailbox", request, api.Done, ticket=ticket)

    async def colleagues(self, request: FindColleagues) -> Colleagues:
        """Look colleagues of a signed-in person up."""
        return await self._link.call("authority.colleagues", request, Colleagues)

    async def renew_user(self, request: api.RenewUser) -> api.SignedIn:
        """Get a fresh ticket for a session that this module instance holds."""
        return await self._link.call("authority.renew_user", request, api.SignedIn)

    async def sign_out(self, request: api.SignOut) -> api.Done:
        """End a session."""
        return await self._link.call("authority.sign_out", request, api.Done)

    async def keep_sessions(self, request: api.KeepSessions) -> api.KeptSessions:
        """Say that sessions are still held."""
        return await self._link.call("authority.keep_sessions", request, api.KeptSessions)

    async def end_sessions(self, request: api.EndSessions) -> api.Done:
        """End sessions."""
        return await self._link.call("authority.end_sessions", request, api.Done)

    async def resolve(self, request: api.Resolve) -> api.Routes:
        """Find where mail for addresses goes."""
        return await self._link.call("authority.resolve", request, api.Routes)

    async def queue_key(self, request: api.QueueKey) -> SignedPublicKey:
        """Get the public key of a tenant's queue."""
        return await self._link.call("authority.queue_key", request, SignedPublicKey)

    async def publish_key(self, request: api.PublishKey, *, ticket: bytes) -> api.Done:
        """Publish a new generation of a public key."""
        return await self._link.call("authority.publish_key", request, api.Done, ticket=ticket)

    async def rotate_ticket_key(self, request: api.RotateTicketKey, *, ticket: bytes) -> api.TicketKeyInfo:
        """Exchange the key that tickets are signed with; ConflictError if it is too soon."""
        return await self._link.call("authority.rotate_ticket_key", request, api.TicketKeyInfo, ticket=ticket)

    async def renew_module(self, request: api.RenewModule) -> api.ModuleTicket:
        """Get a fresh module ticket."""
        return await self._link.call("authority.renew_module", request, api.ModuleTicket)

    async def issue_operation(self, request: api.IssueOperation) -> api.OperationTicket:
        """Get an operation ticket; see `OperationTickets`."""
        return await self._link.call("authority.issue_operation", request, api.OperationTicket)

    async def revoke(self, request: api.Revoke, *, ticket: bytes) -> api.Done:
        """Void everything issued to a subject."""
        return await self._link.call("authority.revoke", request, api.Done, ticket=ticket)

    async def create_tenant(self, request: api.CreateTenant, *, ticket: bytes) -> api.TenantInfo:
        """Make a company."""
        return await self._link.call("authority.create_tenant", request, api.TenantInfo, ticket=ticket)

    async def delete_tenant(self, request: api.DeleteTenant, *, ticket: bytes) -> api.Done:
        """Forget a company."""
        return await self._link.call("authority.delete_tenant", request, api.Done, ticket=ticket)

    async def list_tenants(self, request: api.ListTenants, *, ticket: bytes) -> api.TenantList:
        """List companies."""
        return await self._link.call("authority.list_tenants", request, api.TenantList, ticket=ticket)

    async def find_tenant(self, request: api.FindTenant, *, ticket: bytes) -> api.TenantInfo:
        """Find the company that owns a domain."""
        return await self._link.call("authority.find_tenant", request, api.TenantInfo, ticket=ticket)

    async def add_domain(self, request: api.AddDomain, *, ticket: bytes) -> api.Done:
        """Give a company one more domain."""
        return await self._link.call("authority.add_domain", request, api.Done, ticket=ticket)

    async def remove_domain(self, request: api.RemoveDomain, *, ticket: bytes) -> api.Done:
        """Take a domain away."""
        return await self._link.call("authority.remove_domain", request, api.Done, ticket=ticket)

    async def create_user(self, request: api.CreateUser, *, ticket: bytes) -> api.UserInfo:
        """Make a person."""
        return await self._link.call("authority.create_user", request, api.UserInfo, ticket=ticket)

    async def create_group(self, request: api.CreateGroup, *, ticket: bytes) -> api.UserInfo:
        """Make a group."""
        return await self._link.call("authority.create_group", request, api.UserInfo, ticket=ticket)

    async def set_members(self, request: api.SetMembers, *, ticket: bytes) -> api.Done:
        """Replace a group's members."""
        return await self._link.call("authority.set_members", request, api.Done, ticket=ticket)

    async def find(self, request: api.Find, *, ticket: bytes) -> api.UserInfo:
        """Find who owns an address."""
        return await self._link.call("authority.find", request, api.UserInfo, ticket=ticket)

    async def list_principals(self, request: api.ListPrincipals, *, ticket: bytes) -> api.PrincipalList:
        """List a company's users or groups."""
        return await self._link.call("authority.list_principals", request, api.PrincipalList, ticket=ticket)

    async def set_password(self, request: api.SetPassword, *, ticket: bytes) -> api.Done:
        """Set a user's password."""
        return await self._link.call("authority.set_password", request, api.Done, ticket=ticket)

    async def set_status(self, request: api.SetStatus, *, ticket: bytes) -> api.Done:
        """Enable or disable a user or group."""
        return await self._link.call("authority.set_status", request, api.Done, ticket=ticket)

    async def set_quota(self, request: api.SetQuota, *, ticket: bytes) -> api.Done:
        """Set or lift a user's quota."""
        return await self._link.call("authority.set_quota", request, api.Done, ticket=ticket)

    async def delete_principal(self, request: api.DeletePrincipal, *, ticket: bytes) -> api.Done:
        """Forget a user."""
        return await self._link.call("authority.delete_principal", request, api.Done, ticket=ticket)

    async def delete_group(self, request: api.DeleteGroup, *, ticket: bytes) -> api.Done:
        """Forget a group."""
        return await self._link.call("authority.delete_group", request, api.Done, ticket=ticket)

    async def create_alias(self, request: api.CreateAlias, *, ticket: bytes) -> api.Done:
        """Give a user or group one more address."""
        return await self._link.call("authority.create_alias", request, api.Done, ticket=ticket)

    async def delete_alias(self, request: api.DeleteAlias, *, ticket: bytes) -> api.Done:
        """Take an alias away."""
        return await self._link.call("authority.delete_alias", request, api.Done, ticket=ticket)

    async def grant_address(self, request: api.GrantAddress, *, ticket: bytes) -> api.Done:
        """Let a user send as one more address."""
        return await self._link.call("authority.grant_address", request, api.Done, ticket=ticket)

    async def create_app_password(self, request: api.CreateAppPassword, *, ticket: bytes) -> api.AppPassword:
        """Make an app password."""
        return await self._link.call("authority.create_app_password", request, api.AppPassword, ticket=ticket)

    async def list_app_passwords(
        self, request: api.ListAppPasswords, *, ticket: bytes
    ) -> api.AppPasswordList:
        """List a user's app passwords."""
        return await self._link.call(
            "authority.list_app_passwords", request, api.AppPasswordList, ticket=ticket
        )

    async def delete_app_password(self, request: api.DeleteAppPassword, *, ticket: bytes) -> api.Done:
        """Take an app password away."""
        return await self._link.call("authority.delete_app_password", request, api.Done, ticket=ticket)

    async def token_sign_in(self, request: tokens_api.TokenSignIn) -> api.SignedIn:
        """Check an access token and open a session."""
        return await self._link.call("authority.token_sign_in", request, api.SignedIn)

    async def create_token(self, request: tokens_api.CreateToken, *, ticket: bytes) -> tokens_api.AccessToken:
        """Make an access token."""
        return await self._link.call("authority.create_token", request, tokens_api.AccessToken, ticket=ticket)

    async def list_tokens(self, request: tokens_api.ListTokens, *, ticket: bytes) -> tokens_api.TokenList:
        """List a user's access tokens."""
        return await self._link.call("authority.list_tokens", request, tokens_api.TokenList, ticket=ticket)

    async def delete_token(self, request: tokens_api.DeleteToken, *, ticket: bytes) -> api.Done:
        """Take an access token away."""
        return await self._link.call("authority.delete_token", request, api.Done, ticket=ticket)

    async def dual_control(
        self, request: governance_api.DualControl, *, ticket: bytes = b""
    ) -> governance_api.DualControlInfo:
        """Ask how the installation is governed."""
        return await self._link.call(
            "authority.dual_control", request, governance_api.DualControlInfo, ticket=ticket
        )

    async def open_request(
        self, request: governance_api.OpenRequest, *, ticket: bytes
    ) -> governance_api.RequestInfo:
        """Ask for a dangerous act, or find the request for it; see `services.steward.approvals`."""
        return await self._link.call(
            "authority.open_request", request, governance_api.RequestInfo, ticket=ticket
        )

    async def issue_grant(self, request: governance_api.IssueGrant) -> governance_api.GrantTicket:
        """Get the ticket of an approved act; ApprovalNeededError where approvals are missing."""
        return await self._link.call("authority.issue_grant", request, governance_api.GrantTicket)

    async def settled(self, request: governance_api.Settle) -> governance_api.Settled:
        """Return which requests wait for nobody any more."""
        return await self._link.call("authority.settled", request, governance_api.Settled)

    async def close_request(self, request: governance_api.CloseRequest) -> api.Done:
        """Have nothing granted on a request again."""
        return await self._link.call("authority.close_request", request, api.Done)


class OperationTickets:
    """Keeps one operation ticket at hand and renews it in the middle of its life."""

    def __init__(self, authority: AuthorityClient, purpose: str, clock: Clock | None = None) -> None:
        self._authority = authority
        self._purpose = purpose
        self._clock = clock or SystemClock()
        self._ticket = b""
        self._renew_at = 0
        self._expires = 0
        self._renewal: asyncio.Task[None] | None = None

    async def get(self) -> bytes:
        """Return a ticket in force, from memory as a rule.

        Raises UnavailableError where there is none and the authority does not answer.
        """
        now = self._clock.now_seconds()
        if now >= self._renew_at:
            if self._renewal is None or self._renewal.done():
                self._renewal = asyncio.create_task(self._renew())
            renewal = self._renewal
            if now >= self._expires:
                await asyncio.shield(renewal)
            else:
                renewal.add_done_callback(_forget_failure)  # the next call tries again
        return self._ticket

    def discard(self) -> None:
        """Forget the ticket: its budget is used up, or a keeper no longer takes it."""
        self._ticket, self._renew_at, self._expires = b"", 0, 0

    async def close(self) -> None:
        """End a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    async def _renew(self) -> None:
        issued = await self._authority.issue_operation(api.IssueOperation(self._purpose))
        self._ticket = issued.ticket
        self._expires = issued.expires
        self._renew_at = issued.expires - OPERATION_SECONDS // 2


def _forget_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
