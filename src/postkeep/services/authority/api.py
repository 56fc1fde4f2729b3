"""The authority's methods, as values on the wire. Callers use `postkeep.services.authority.client`."""

from typing import Final

import msgspec

from postkeep.model.warrant import Warrant
from postkeep.services.kms.api import SignedPublicKey

# --- Before a module has a ticket ---


class Enrol(msgspec.Struct, frozen=True):
    """`authority.enrol`: exchange a one-time secret, got from the supervisor, for a module ticket."""

    module: str
    instance: str
    secret: bytes
    public_key: bytes
    """Raw Ed25519; the channel handshake has proved that the caller holds the private half."""
    certificate: str = ""
    """SHA-256 of the TLS certificate that the module will show to other hosts, hexadecimal. Over TLS it must
    be the one that this connection shows."""


class OperatorSignIn(msgspec.Struct, frozen=True):
    """`authority.operator_sign_in`: the owner of the data directory, known by the socket's peer uid."""


class ModuleTicket(msgspec.Struct, frozen=True):
    """A module ticket and, for the operator's command line, a staff ticket beside it."""

    ticket: bytes
    staff: bytes = b""


class RenewModule(msgspec.Struct, frozen=True):
    """`authority.renew_module`: a fresh module ticket for the instance that asks."""


class IssueOperation(msgspec.Struct, frozen=True):
    """`authority.issue_operation`: a ticket for work with no user (`deliver`, `relay`, `maintain` ...)."""

    purpose: str


class OperationTicket(msgspec.Struct, frozen=True):
    """The ticket's token."""

    ticket: bytes
    expires: int


class PublishKey(msgspec.Struct, frozen=True):
    """`authority.publish_key`: writers seal to this generation of a user's or a queue's key from now on."""

    key: SignedPublicKey


class RotateTicketKey(msgspec.Struct, frozen=True):
    """`authority.rotate_ticket_key`: have kms make the next key that tickets are signed with, and use it."""


class TicketKeyInfo(msgspec.Struct, frozen=True):
    """The key that signs now, and the one that is still believed beside it; keys by thumbprint."""

    key: str
    created_ms: int
    previous: str
    """Empty: there is none."""
    previous_until_ms: int


# --- People ---


class SignIn(msgspec.Struct, frozen=True):
    """`authority.sign_in`: check a password and open a session held by the calling module instance."""

    address: str
    password: str
    network: str
    """The client's IP address, for throttling."""
    protocol: str
    """`imap` or `submission`."""
    program: str = ""
    """What the client's program calls itself (IMAP ID, EHLO); it goes into the ledger sealed."""


class OwnerSignIn(msgspec.Struct, frozen=True):
    """`authority.owner_sign_in`: a person at this machine's command line, to look at their own ledger.

    The socket is the node's own, so the caller has no module ticket: one is part of the answer.
    """

    address: str
    password: str


class OwnerSignedIn(msgspec.Struct, frozen=True):
    """A module ticket for the caller's key, and the person's: it allows the own ledger and nothing else."""

    module_ticket: bytes
    signed_in: "SignedIn"


class ScramStart(msgspec.Struct, frozen=True):
    """`authority.scram_start`: client-first-message of SCRAM-SHA-256 (RFC 7677)."""

    client_first: bytes
    network: str
    protocol: str
    program: str = ""
    end_point: bytes = b""
    """The `tls-server-end-point` of the client's connection (RFC 5929); empty: no binding is offered."""
    plus: bool = False
    """The client has chosen SCRAM-SHA-256-PLUS."""


class ScramChallenge(msgspec.Struct, frozen=True):
    """The server-first-message, and a handle for the rest of the exchange."""

    exchange: bytes
    server_first: bytes


class ScramFinish(msgspec.Struct, frozen=True):
    """`authority.scram_finish`: client-final-message."""

    exchange: bytes
    client_final: bytes


class SignedIn(msgspec.Struct, frozen=True):
    """A session: the user's ticket, held by the module instance that asked."""

    ticket: bytes
    expires: int
    session: bytes
    tenant: bytes
    principal: bytes
    public_key: SignedPublicKey
    addresses: list[str]
    """The addresses this person may send as, the primary one first."""
    server_final: bytes = b""
    """SCRAM: the server-final-message."""


class RenewUser(msgspec.Struct, frozen=True):
    """`authority.renew_user`: a fresh ticket for a session that lives; shows the one that runs out."""

    session: bytes


class SignOut(msgspec.Struct, frozen=True):
    """`authority.sign_out`: end the session."""

    session: bytes


SESSIONS_PER_CALL_MAX: Final = 1_000
"""Sessions in one `KeepSessions` or `EndSessions`."""


class KeepSessions(msgspec.Struct, frozen=True):
    """`authority.keep_sessions`: these sessions are still held, though they need no ticket at the moment."""

    sessions: list[bytes]


class KeptSessions(msgspec.Struct, frozen=True):
    """Answers it."""

    ended: list[bytes]
    """Those of them that live no more, or were never the caller's."""


class EndSessions(msgspec.Struct, frozen=True):
    """`authority.end_sessions`: as `authority.sign_out`, many at once."""

    sessions: list[bytes]


# --- Directory view ---


class Resolve(msgspec.Struct, frozen=True):
    """`authority.resolve`: where mail for these addresses goes, aliases and groups expanded."""

    addresses: list[str]


class Recipient(msgspec.Struct, frozen=True):
    """One principal that a message is sealed to."""

    key: SignedPublicKey


class Route(msgspec.Struct, frozen=True):
    """What the directory says of one address."""

    address: str
    status: str
    """`local`: deliver to `recipients`; `unknown`: a domain of ours without such an address;
    `disabled`: not accepting mail now; `foreign`: not a domain of ours."""
    recipients: list[Recipient] = []
    forwards: list[str] = []
    """Foreign members of a group: mail to them goes through the queue."""
    tenant: bytes = b""
    """The company whose address it is; empty: foreign, or not told."""


class Routes(msgspec.Struct, frozen=True):
    """The answers in the order asked, and the directory's version they hold for."""

    routes: list[Route]
    version: int


class QueueKey(msgspec.Struct, frozen=True):
    """`authority.queue_key`: the public key of a tenant's outbound queue (empty tenant: installation)."""

    tenant: bytes


# --- The feed every module follows ---


class Feed(msgspec.Struct, frozen=True):
    """`authority.feed`: wait up to `wait_seconds` for revocations or directory changes after `since`."""

    since: int
    wait_seconds: float = 5.0
    directory_version: int = -1
    """The version the caller knows; answered at once where there is a newer one."""


class Revocation(msgspec.Struct, frozen=True):
    """Everything of this scope issued before `before_ms` is void."""

    scope: str
    """`session`, `user`, `tenant` or `instance`."""
    subject: str
    """The identifier, hexadecimal, or the instance's name."""
    before_ms: int


class FeedPage(msgspec.Struct, frozen=True):
    """What is new. A module whose last page is older than ten seconds treats its view as stale."""

    position: int
    revocations: list[Revocation]
    directory_version: int


class Revoke(msgspec.Struct, frozen=True):
    """`authority.revoke`: void everything issued to a session, user, tenant or module instance."""

    scope: str
    subject: str


# --- Administration (called by the steward with the operator's staff ticket) ---


class CreateTenant(msgspec.Struct, frozen=True):
    """`authority.create_tenant`: a company with its first domain."""

    tenant: bytes
    domain: str
    name: str
    queue_key: SignedPublicKey


class TenantInfo(msgspec.Struct, frozen=True):
    """A company as the directory shows it."""

    tenant: bytes
    name: str
    domains: list[str]
    status: str
    users: int
    created_ms: int


class AddDomain(msgspec.Struct, frozen=True):
    """`authority.add_domain`: one more domain for a tenant."""

    tenant: bytes
    domain: str


class RemoveDomain(msgspec.Struct, frozen=True):
    """`authority.remove_domain`: refused while addresses use it."""

    domain: str


class CreateUser(msgspec.Struct, frozen=True):
    """`authority.create_user`: a person with a primary address in one of the tenant's domains."""

    tenant: bytes
    principal: bytes
    address: str
    name: str
    password: str | None
    quota_bytes: int | None
    public_key: SignedPublicKey


class UserInfo(msgspec.Struct, frozen=True):
    """A user as the directory shows it."""

    tenant: bytes
    principal: bytes
    kind: str
    """`user`, `group` or `service`."""
    address: str
    name: str
    status: str
    """`active`, `disabled` or `deleted`."""
    aliases: list[str]
    members: list[str]
    """Groups: the members' addresses."""
    quota_bytes: int | None
    created_ms: int
    last_sign_in_ms: int | None = None
    has_mailbox: bool = True
    """Groups: whether mail to it is kept in a mailbox of its own."""


class OpenGroupMailbox(msgspec.Struct, frozen=True):
    """`authority.open_mailbox`: deliver to a group's own mailbox from now on. Idempotent."""

    principal: bytes
    key: SignedPublicKey


class Find(msgspec.Struct, frozen=True):
    """`authority.find`: the user, group or alias owner with this address; or a tenant by domain."""

    address: str


class FindTenant(msgspec.Struct, frozen=True):
    """`authority.find_tenant`: the tenant that owns a domain."""

    domain: str


class ListTenants(msgspec.Struct, frozen=True):
    """`authority.list_tenants`."""


class TenantList(msgspec.Struct, frozen=True):
    """All companies, by name."""

    tenants: list[TenantInfo]


class ListPrincipals(msgspec.Struct, frozen=True):
    """`authority.list_principals`: users or groups of a tenant."""

    tenant: bytes
    kind: str


class PrincipalList(msgspec.Struct, frozen=True):
    """By address."""

    principals: list[UserInfo]


class SetPassword(msgspec.Struct, frozen=True):
    """`authority.set_password`: live sessions end."""

    principal: bytes
    password: str


class SetStatus(msgspec.Struct, frozen=True):
    """`authority.set_status`: `active` or `disabled`; disabling ends live sessions."""

    principal: bytes
    status: str


class SetQuota(msgspec.Struct, frozen=True):
    """`authority.set_quota`: None lifts the limit."""

    principal: bytes
    quota_bytes: int | None


class DeletePrincipal(msgspec.Struct, frozen=True):
    """`authority.delete_principal`: remove a user, the addresses and credentials."""

    warrant: Warrant


class DeleteGroup(msgspec.Struct, frozen=True):
    """`authority.delete_group`: remove a group and its addresses."""

    principal: bytes


class DeleteTenant(msgspec.Struct, frozen=True):
    """`authority.delete_tenant`: remove a company and everything the directory holds of it."""

    warrant: Warrant


class CreateAlias(msgspec.Struct, frozen=True):
    """`authority.create_alias`: one more address for a user or group."""

    address: str
    principal: bytes


class DeleteAlias(msgspec.Struct, frozen=True):
    """`authority.delete_alias`."""

    address: str


class CreateGroup(msgspec.Struct, frozen=True):
    """`authority.create_group`: an address whose mail goes to every member."""

    tenant: bytes
    principal: bytes
    address: str
    name: str
    members: list[str]


class SetMembers(msgspec.Struct, frozen=True):
    """`authority.set_members`: replace a group's members."""

    principal: bytes
    members: list[str]


class GrantAddress(msgspec.Struct, frozen=True):
    """`authority.grant_address`: allow a user to send as an address that is not the user's own."""

    principal: bytes
    address: str


class CreateAppPassword(msgspec.Struct, frozen=True):
    """`authority.create_app_password`: one more password for one device; shown once."""

    principal: bytes
    name: str
    protocols: list[str]
    id: bytes = b""
    """Its identifier; one that the user has already is replaced (its answer was lost). Empty: a new one."""


class AppPassword(msgspec.Struct, frozen=True):
    """An app password; `password` is filled only in the answer that creates it."""

    id: bytes
    name: str
    protocols: list[str]
    created_ms: int
    last_used_ms: int | None = None
    password: str = ""


class ListAppPasswords(msgspec.Struct, frozen=True):
    """`authority.list_app_passwords`."""

    principal: bytes


class AppPasswordList(msgspec.Struct, frozen=True):
    """Oldest first."""

    passwords: list[AppPassword]


class DeleteAppPassword(msgspec.Struct, frozen=True):
    """`authority.delete_app_password`: sessions opened with it end."""

    principal: bytes
    id: bytes


class Done(msgspec.Struct, frozen=True):
    """The call has done its work and has nothing else to say."""
