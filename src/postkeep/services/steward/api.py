"""The steward's methods, as values on the wire: what an operator asks of a running node.

A tenant is named by one of its domains, a person or group by an address: that is what an operator knows.
The steward finds the identifiers and works through the keepers with the operator's staff ticket.
"""

import msgspec

from postkeep.services.authority.api import AppPassword, TenantInfo, UserInfo
from postkeep.services.queue.api import QueueRow


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What every request carries."""

    delegation: bytes = b""
    """The operator's staff ticket, narrowed to the steward instance that answers on this channel."""
    token: bytes = b""
    """Sixteen random bytes, the same whenever this very command is sent again; what it makes is named so."""
    again: bool = False
    """It has been sent before: what it would make or remove may be there, or gone, already."""


# --- Companies ---


class TenantCreate(Command, frozen=True):
    """`steward.tenant_create`: a company with its first domain; answers `TenantInfo`."""

    domain: str
    name: str = ""


class TenantShow(Command, frozen=True):
    """`steward.tenant_show`: answers `TenantInfo`."""

    domain: str


class TenantAll(Command, frozen=True):
    """`steward.tenant_list`: answers `Tenants`."""


class Tenants(msgspec.Struct, frozen=True):
    """By name."""

    tenants: list[TenantInfo]


class TenantDelete(Command, frozen=True):
    """`steward.tenant_delete`: everything of the company goes; its keys are destroyed. Answers `Gone`."""

    domain: str


class Gone(msgspec.Struct, frozen=True):
    """How many messages and keys were destroyed."""

    messages: int
    keys: int


class DomainAdd(Command, frozen=True):
    """`steward.domain_add`: one more domain for the company that owns `tenant_domain`."""

    tenant_domain: str
    domain: str


class DomainDelete(Command, frozen=True):
    """`steward.domain_delete`: refused while addresses use it."""

    domain: str


# --- People ---


class UserCreate(Command, frozen=True):
    """`steward.user_create`: a person; answers `UserInfo`. Without a password nobody can sign in yet."""

    address: str
    name: str = ""
    password: str | None = None
    quota_bytes: int | None = None


class UserShow(Command, frozen=True):
    """`steward.user_show`: the user or group with this address, or owner of this alias."""

    address: str


class UserAll(Command, frozen=True):
    """`steward.user_list`: users (or groups) of one company; an empty domain: of all. Answers `Users`."""

    domain: str = ""
    kind: str = "user"


class Users(msgspec.Struct, frozen=True):
    """By address."""

    users: list[UserInfo]


class UserStatus(Command, frozen=True):
    """`steward.user_status`: `active` or `disabled`."""

    address: str
    status: str


class UserPassword(Command, frozen=True):
    """`steward.user_password`: live sessions end."""

    address: str
    password: str


class UserQuota(Command, frozen=True):
    """`steward.user_quota`: None lifts the limit."""

    address: str
    quota_bytes: int | None


class UserDelete(Command, frozen=True):
    """`steward.user_delete`: sessions end, mail goes, keys are destroyed. Answers `Gone`."""

    address: str


# --- Addresses ---


class AliasCreate(Command, frozen=True):
    """`steward.alias_create`: one more address for the user or group at `target`."""

    address: str
    target: str


class AliasDelete(Command, frozen=True):
    """`steward.alias_delete`."""

    address: str


class GroupCreate(Command, frozen=True):
    """`steward.group_create`: an address whose mail goes to every member; answers `UserInfo`."""

    address: str
    name: str = ""
    members: list[str] = []


class GroupMailbox(Command, frozen=True):
    """`steward.group_mailbox`: give a group a mailbox of its own, and a first person who manages it."""

    address: str
    manager: str
    """The address of a person of the same company."""


class GroupMembers(Command, frozen=True):
    """`steward.group_members`: replace the members."""

    address: str
    members: list[str]


class GroupDelete(Command, frozen=True):
    """`steward.group_delete`."""

    address: str


class AddressGrant(Command, frozen=True):
    """`steward.address_grant`: let the user at `address` send as `sender` too."""

    address: str
    sender: str


# --- App passwords ---


class AppPasswordCreate(Command, frozen=True):
    """`steward.app_password_create`: answers `AppPassword` with the password, this once."""

    address: str
    name: str
    protocols: list[str]
    """Of `imap` and `submission`."""


class AppPasswordAll(Command, frozen=True):
    """`steward.app_password_list`: answers `AppPasswords`."""

    address: str


class AppPasswords(msgspec.Struct, frozen=True):
    """Oldest first."""

    passwords: list[AppPassword]


class AppPasswordDelete(Command, frozen=True):
    """`steward.app_password_delete`: sessions opened with it end."""

    address: str
    id: bytes


# --- The outbound queue ---


class QueueAll(Command, frozen=True):
    """`steward.queue_list`: what waits to go out; an empty domain: of every company. Answers `QueueItems`."""

    domain: str = ""
    limit: int = 1000


class QueueItems(msgspec.Struct, frozen=True):
    """Oldest first; no address, no subject."""

    rows: list[QueueRow]


class QueueChange(Command, frozen=True):
    """`steward.queue_act`: `retry`, `hold`, `release` or `delete` items; empty `ids`: all. `Counted`."""

    act: str
    ids: list[bytes] = []


class Counted(msgspec.Struct, frozen=True):
    """How many were touched."""

    count: int


# --- Keys ---


class KeyCeilings(Command, frozen=True):
    """`steward.key_ceilings`: who is stopped; answers `CeilingStops`."""


class KeyCeilingLift(Command, frozen=True):
    """`steward.key_ceiling_lift`: lift the stop of a person (by address) or of a module instance."""

    name: str


class KeyRotateTicket(Command, frozen=True):
    """`steward.key_rotate_ticket`: exchange the key that tickets are signed with; answers `TicketKeyInfo`."""


# --- The node ---


class LedgerHead(Command, frozen=True):
    """`steward.ledger_head`: where the ledger stands; answers `LedgerState`."""


class LedgerState(msgspec.Struct, frozen=True):
    """Size and root hash of the ledger's tree."""

    origin: str
    size: int
    root: bytes


class LedgerRead(Command, frozen=True):
    """`steward.ledger_read`: entries of the ledger, from `start` on; a negative start counts from the end."""

    start: int = -20
    count: int = 20


class LedgerEntries(msgspec.Struct, frozen=True):
    """Raw entries (UTF-8 JSON), the first with index `start`."""

    start: int
    entries: list[bytes]


class Explain(Command, frozen=True):
    """`steward.explain`: what stands behind one entry; answers `Explanation`."""

    index: int


class StoreCheck(Command, frozen=True):
    """`steward.store_check`: have the vault walk its rows; answers `StoreState`."""


class StoreState(msgspec.Struct, frozen=True):
    """Empty `problems`: consistent."""

    mailboxes: int
    messages: int
    bodies: int
    problems: list[str]


class Done(msgspec.Struct, frozen=True):
    """The call has done its work and has nothing else to say."""
