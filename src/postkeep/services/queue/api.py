"""The outbound queue's methods. Its rows live with the vault, so that Sent and queue are one transaction."""

import msgspec


class Lease(msgspec.Struct, frozen=True):
    """`vault.queue_lease`: claim up to `limit` due items for `seconds`; busy destinations are left out."""

    limit: int
    seconds: int
    busy: list[str] = []


class LeasedItem(msgspec.Struct, frozen=True):
    """A claimed item; `lease` proves the claim in `queue_update`."""

    id: bytes
    lease: bytes
    tenant: bytes
    body: bytes
    principal: bytes
    epoch: bytes
    sealed_epoch: bytes
    index: int
    wraps: bytes
    envelope: bytes
    destination: str
    attempts: int
    created_ms: int
    size: int
    """Octets of the message in the clear."""
    content_length: int
    """Octets of the sealed body."""
    delay_notified: bool


class LeasedItems(msgspec.Struct, frozen=True):
    """Oldest first."""

    items: list[LeasedItem]
    next_due_ms: int
    """When something is due again; 0: nothing waits."""


class QueueContent(msgspec.Struct, frozen=True):
    """`vault.queue_content`: a range of a claimed item's sealed body; `length` 0: at most 16 MiB."""

    id: bytes
    lease: bytes
    offset: int = 0
    length: int = 0


class QueueBytes(msgspec.Struct, frozen=True):
    """Sealed bytes."""

    data: bytes


class Claim(msgspec.Struct, frozen=True):
    """A claimed item and what proves the claim."""

    id: bytes
    lease: bytes


class Renew(msgspec.Struct, frozen=True):
    """`vault.queue_renew`: hold claimed items for `seconds` from now."""

    claims: list[Claim]
    seconds: int


class Renewed(msgspec.Struct, frozen=True):
    """The items that are the caller's no more: gone, or claimed by another. Nothing may be done with them."""

    lost: list[bytes]


class QueueOutcome(msgspec.Struct, frozen=True):
    """What became of one attempt. `done`: the item goes; otherwise it is due again at `not_before_ms`."""

    id: bytes
    lease: bytes
    done: bool
    envelope: bytes = b""
    """Re-sealed recipients that remain; empty: unchanged."""
    recipients: int = 0
    not_before_ms: int = 0
    reason: str = ""
    """A status code and host for the administrator, without addresses: `451 4.7.1 mx1.example.net`."""
    delay_notified: bool = False


class QueueUpdate(msgspec.Struct, frozen=True):
    """`vault.queue_update`: settle claimed items, in one transaction. A lost lease is ignored."""

    outcomes: list[QueueOutcome]


class QueueWait(msgspec.Struct, frozen=True):
    """`vault.queue_wait`: return when something may have become due, or after `wait_seconds`."""

    wait_seconds: float = 30.0


class QueueList(msgspec.Struct, frozen=True):
    """`vault.queue_list`: the administrator's view; None: all tenants."""

    tenant: bytes | None = None
    limit: int = 1000


class QueueRow(msgspec.Struct, frozen=True):
    """An item as an administrator sees it: no address, no subject."""

    id: bytes
    tenant: bytes
    destination: str
    recipients: int
    size: int
    attempts: int
    created_ms: int
    not_before_ms: int
    held: bool
    leased: bool
    reason: str


class QueueRows(msgspec.Struct, frozen=True):
    """Oldest first."""

    rows: list[QueueRow]


class QueueAct(msgspec.Struct, frozen=True):
    """`vault.queue_act`: `retry` (due now), `hold`, `release` or `delete` items; empty `ids`: all."""

    act: str
    ids: list[bytes]


class QueueActed(msgspec.Struct, frozen=True):
    """How many items it touched."""

    count: int


class Done(msgspec.Struct, frozen=True):
    """The call has done its work and has nothing else to say."""
