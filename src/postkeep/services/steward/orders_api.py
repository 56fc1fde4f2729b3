"""Destruction orders and legal holds on the wire: what an operator asks of the steward."""

import msgspec

from postkeep.crypto.fingerprint import Fingerprint
from postkeep.services.steward.api import Command


class OrderMake(Command, frozen=True):
    """`steward.order_make`: destroy something. Answers `OrderInfo` once the keys are destroyed, or what the
    order waits for. ApprovalNeededError where others must approve it first: the same again goes on then."""

    unit: str
    address: str = ""
    """Of the person; a tenant or category is named by `domain`."""
    domain: str = ""
    mailbox: str = ""
    """A mailbox's identifier, or its role (`inbox`, `sent` ...)."""
    uids: list[tuple[int, int]] = msgspec.field(default_factory=list)
    category: str = ""
    backup: str = ""
    reason: str = ""
    salt: bytes = b""
    canaries: list[Fingerprint] = msgspec.field(default_factory=list)
    """Of known texts that are to be looked for too, taken with `salt`."""


class OrderAll(Command, frozen=True):
    """`steward.order_list`: the newest orders. Answers `OrderList`."""

    limit: int = 100


class OrderShow(Command, frozen=True):
    """`steward.order_show`: one order; answers `OrderInfo`."""

    order: bytes


class OrderResume(Command, frozen=True):
    """`steward.order_resume`: try now what the order waits for; answers `OrderInfo`."""

    order: bytes


class OrderInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it stands."""

    id: bytes
    unit: str
    step: str
    waiting: str
    waiting_for: list[str]
    until_ms: int
    made_ms: int
    requester: str
    reason: str
    tenant: bytes
    principal: bytes
    mailbox: bytes
    uids: list[tuple[int, int]]
    category: str
    backup: str
    messages: int
    keys: int
    steps: dict[str, int]
    request: str = ""
    """The governance request that its approval stands on."""
    files: int = 0
    octets: int = 0


class OrderList(msgspec.Struct, frozen=True):
    """Newest first."""

    orders: list[OrderInfo]


class CertificateGet(Command, frozen=True):
    """`steward.certificate`: the certificate of an order; answers `CertificateData`."""

    order: bytes


class CertificateData(msgspec.Struct, frozen=True):
    """Canonical JSON."""

    certificate: bytes


class Look(Command, frozen=True):
    """`steward.look_over`: mailboxes and messages of a person as the vault sees them; answers
    `services.vault.destruction_api.Outline`."""

    address: str
    mailbox: str = ""
    after_uid: int = 0


class HoldPlace(Command, frozen=True):
    """`steward.hold_place`: from now on nothing of this is destroyed; answers `HoldInfo`."""

    kind: str
    reason: str
    address: str = ""
    domain: str = ""
    mailbox: str = ""
    until_ms: int | None = None


class HoldAll(Command, frozen=True):
    """`steward.hold_list`: holds that stand; with `released`, all. Answers `HoldList`."""

    released: bool = False


class HoldShow(Command, frozen=True):
    """`steward.hold_show`; answers `HoldInfo`."""

    hold: bytes


class HoldRelease(Command, frozen=True):
    """`steward.hold_release`: the hold ends, and orders that waited for it go on. Answers `HoldInfo`."""

    hold: bytes


class HoldInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A hold as it stands."""

    id: bytes
    tenant: bytes
    principal: bytes
    mailbox: bytes
    kind: str
    reason: str
    placed_by: str
    made_ms: int
    until_ms: int | None
    released_by: str
    released_ms: int
    state: str


class HoldList(msgspec.Struct, frozen=True):
    """Newest first."""

    holds: list[HoldInfo]
