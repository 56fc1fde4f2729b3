"""The authority's methods for staff, requests and dual control, as values on the wire."""

import msgspec

from postkeep.model.selection import Selection
from postkeep.model.warrant import Warrant

# --- staff ---


class StaffSignIn(msgspec.Struct, frozen=True):
    """`authority.staff_sign_in`: a name and a password, on this machine's own socket. `ModuleTicket`."""

    name: str
    password: str


class StaffCreate(msgspec.Struct, frozen=True):
    """`authority.staff_create`: answers `StaffInfo`. The identifier is the caller's choice, so that a
    command whose answer was lost can be sent again."""

    staff: bytes
    name: str
    roles: list[str]
    password: str


class StaffInfo(msgspec.Struct, frozen=True):
    """A staff member."""

    staff: bytes
    name: str
    roles: list[str]
    enabled: bool
    created_ms: int
    last_sign_in_ms: int | None = None


class StaffAll(msgspec.Struct, frozen=True):
    """`authority.staff_list`: answers `StaffList`."""


class StaffList(msgspec.Struct, frozen=True):
    """By name."""

    staff: list[StaffInfo]


class StaffShow(msgspec.Struct, frozen=True):
    """`authority.staff_show`: answers `StaffInfo`."""

    name: str


class StaffStatus(msgspec.Struct, frozen=True):
    """`authority.staff_status`: enable or disable; disabling voids live tickets. Answers `StaffInfo`."""

    name: str
    enabled: bool


class StaffRoles(msgspec.Struct, frozen=True):
    """`authority.staff_roles`: replace the roles. Answers `StaffInfo`."""

    name: str
    roles: list[str]


class StaffPassword(msgspec.Struct, frozen=True):
    """`authority.staff_password`: set somebody's password; live tickets are void. Answers `StaffInfo`."""

    name: str
    password: str


class StaffOwnPassword(msgspec.Struct, frozen=True):
    """`authority.staff_own_password`: a staff member changes the member's own. Answers `StaffInfo`."""

    password: str


class StaffDelete(msgspec.Struct, frozen=True):
    """`authority.staff_delete`: answers `Done`."""

    name: str


# --- requests ---


class ExportOrder(msgspec.Struct, frozen=True):
    """What of somebody's mail is exported, for whom and why."""

    selection: Selection
    label: str = ""
    """The role of the mailbox, as the vault has it: the authority knows identifiers only."""
    reason: str = ""


class OpenRequest(msgspec.Struct, frozen=True):
    """`authority.open_request`: ask for a dangerous act, or find the request that asks for it already.

    `summary` names nobody: whom it is about is looked up when it is shown. A destruction comes with its
    warrant and an export with what is chosen, and the authority takes digest and words from that: approvers
    read what keepers will be shown, whatever the module that asks says beside it.
    """

    kind: str
    tenant: bytes
    principal: bytes
    digest: bytes
    """SHA-256 of exactly what is to be done."""
    summary: str
    approvals: int = 0
    """How many approvals it needs at least, whatever the policy: who does the act may ask for more."""
    destruction: Warrant | None = None
    """Exactly what is destroyed; None for every other kind."""
    export: ExportOrder | None = None
    """Exactly what is exported; None for every other kind."""


class VoteInfo(msgspec.Struct, frozen=True):
    """One approver's word."""

    approver: bytes
    name: str
    approve: bool
    at_ms: int
    reason: str
    counts: bool
    """Whether it counts now: the approver is still one, in good standing."""


class RequestInfo(msgspec.Struct, frozen=True):
    """A request as it stands."""

    id: bytes
    kind: str
    state: str
    """`open`, `approved`, `granted`, `closed`, `declined`, `withdrawn` or `expired`."""
    tenant: bytes
    principal: bytes
    about: str
    """The address, company or staff member that it is about, where the directory knows it."""
    digest: bytes
    summary: str
    requester: bytes
    requester_name: str
    approvals_needed: int
    approvals: int
    """How many stand now."""
    votes: list[VoteInfo]
    opened_ms: int
    expires_ms: int


class ListRequests(msgspec.Struct, frozen=True):
    """`authority.list_requests`: the newest first; answers `RequestList`."""

    everything: bool = False
    """Those too that are over."""


class RequestList(msgspec.Struct, frozen=True):
    """Requests, the newest first."""

    requests: list[RequestInfo]


class ShowRequest(msgspec.Struct, frozen=True):
    """`authority.show_request`: answers `RequestInfo`."""

    id: bytes


class DecideRequest(msgspec.Struct, frozen=True):
    """`authority.decide_request`: an approver's word, from the approver's own command line."""

    id: bytes
    approve: bool
    reason: str = ""


class WithdrawRequest(msgspec.Struct, frozen=True):
    """`authority.withdraw_request`: by whoever made it."""

    id: bytes


class IssueGrant(msgspec.Struct, frozen=True):
    """`authority.issue_grant`: the ticket for an approved act, held by the steward that asks."""

    id: bytes


class GrantTicket(msgspec.Struct, frozen=True):
    """The ticket of one approved act."""

    token: bytes
    expires: int


class IssueExport(msgspec.Struct, frozen=True):
    """`authority.issue_export`: the tickets for an approved export of a person's mail, for the requester's
    own command line; its handshake's key holds them. Answers `ExportTickets`."""

    id: bytes


class ExportTickets(msgspec.Struct, frozen=True):
    """The module ticket of the exporting command, and the grant."""

    instance: str
    module: bytes
    grant: bytes
    expires: int
    """Seconds since the epoch: when the first of the two ends."""


class Settle(msgspec.Struct, frozen=True):
    """`authority.settled`: which of these requests wait for nobody any more; answers `Settled`."""

    ids: list[bytes]


class Settled(msgspec.Struct, frozen=True):
    """Those that have all their approvals, and those that are over."""

    ids: list[bytes]


class CloseRequest(msgspec.Struct, frozen=True):
    """`authority.close_request`: the act is done; nothing is granted on this request again. A command line
    closes an export of its own."""

    id: bytes


# --- dual control ---


class DualControl(msgspec.Struct, frozen=True):
    """`authority.dual_control`: answers `DualControlInfo`."""


class SetDualControl(msgspec.Struct, frozen=True):
    """`authority.set_dual_control`: turning it off needs approvals. Answers `DualControlInfo`."""

    on: bool


class DualControlInfo(msgspec.Struct, frozen=True):
    """How the installation is governed."""

    on: bool
    since_ms: int | None
    approvals_needed: int
    approvers: int
    """Enabled, who have signed in at least once."""
