"""The ledger's methods, as values on the wire. Callers use `postkeep.services.ledger.client`."""

import msgspec

from postkeep.model.audit import AuditEvent


class Append(msgspec.Struct, frozen=True):
    """`ledger.append`: record events, in order; answered when all of them are durable."""

    events: list[AuditEvent]


class Appended(msgspec.Struct, frozen=True):
    """The index of the first event of the batch; the others follow without gaps."""

    first: int
    count: int


class Head(msgspec.Struct, frozen=True):
    """`ledger.head`: the tree as it stands, durable but not yet signed."""


class TreeHead(msgspec.Struct, frozen=True):
    """Size and root hash of the tree."""

    origin: str
    size: int
    root: bytes


class Consistency(msgspec.Struct, frozen=True):
    """`ledger.consistency`: prove that the tree of size `new` extends that of size `old`."""

    old: int
    new: int


class Inclusion(msgspec.Struct, frozen=True):
    """`ledger.inclusion`: prove that entry `index` is in the tree of size `size`."""

    index: int
    size: int


class Proof(msgspec.Struct, frozen=True):
    """The hashes of an RFC 9162 proof, in order."""

    hashes: list[bytes]


class Entries(msgspec.Struct, frozen=True):
    """`ledger.entries`: read up to `count` entries from `start` on."""

    start: int
    count: int


class EntryList(msgspec.Struct, frozen=True):
    """Raw entries (UTF-8 JSON of an AuditEvent), from `start` on."""

    start: int
    entries: list[bytes]


class PublishCheckpoint(msgspec.Struct, frozen=True):
    """`ledger.publish_checkpoint`: store a checkpoint note that `kms` has checked and signed."""

    note: bytes


class AddCosignatures(msgspec.Struct, frozen=True):
    """`ledger.add_cosignatures`: put witnesses' signature lines under the checkpoint of this size.

    Whoever calls it has checked them against the witnesses' keys: the ledger knows none.
    """

    size: int
    lines: list[str]


class LastCheckpoint(msgspec.Struct, frozen=True):
    """`ledger.checkpoint`: the newest signed checkpoint, with the cosignatures that it has."""


class CheckpointNote(msgspec.Struct, frozen=True):
    """The note; empty before the first."""

    note: bytes


class LastKeyState(msgspec.Struct, frozen=True):
    """`ledger.last_key_state`: what the log tells of the key store and of how it is governed."""


class KeyState(msgspec.Struct, frozen=True, array_like=True):
    """What the last entries say that kms and the authority have reported (`standing`)."""

    state: int = 0
    """The highest state of the key store; 0: none is told."""
    index: int = -1
    """The entry that tells of it; -1: none."""
    dual_control: bool = False
    """Whether dual control was turned on, and not off since."""
    restored: str = ""
    """The restored key store that was told of last, by its identifier, hexadecimal; empty: none."""
    held: bool = False
    """Whether it has not been accepted yet."""


class TenantHeads(msgspec.Struct, frozen=True):
    """`ledger.tenant_heads`: heads of tenants' logs that are anchored and not signed yet.

    Anchored in the installation's log of `size` entries, at most `count` of them.
    """

    size: int
    count: int


class AnchoredHead(msgspec.Struct, frozen=True):
    """A tenant's log, and the proof that its head stands in the installation's log."""

    tenant: str
    index: int
    """Where the anchor stands."""
    entry: bytes
    """The anchor: the JSON of an event `ledger.anchor`."""
    proof: list[bytes]
    """Inclusion of the entry in the installation's tree of the size asked for."""


class AnchoredHeads(msgspec.Struct, frozen=True):
    """The heads, those that wait longest first."""

    heads: list[AnchoredHead]


class TenantCheckpoint(msgspec.Struct, frozen=True):
    """A signed checkpoint of a tenant's log."""

    tenant: str
    note: bytes


class PublishTenantCheckpoints(msgspec.Struct, frozen=True):
    """`ledger.publish_tenant_checkpoints`: store checkpoints of tenants' logs that kms has signed."""

    checkpoints: list[TenantCheckpoint]


class Own(msgspec.Struct, frozen=True):
    """`ledger.own`: entries about the person whose ticket it is, newest first."""

    count: int
    before: int = -1
    """Only entries below this index: the `next` of the page before; -1: from the newest on."""
    since_ms: int = 0
    until_ms: int = 0
    """Exclusive; 0: no end."""


class OwnEntry(msgspec.Struct, frozen=True):
    """An entry (UTF-8 JSON of an AuditEvent) and where it stands in the installation's log."""

    index: int
    entry: bytes


class OwnPage(msgspec.Struct, frozen=True):
    """A page; `next` continues it as `before`, -1: there is nothing older."""

    entries: list[OwnEntry]
    next: int


class Done(msgspec.Struct, frozen=True):
    """The call has done its work and has nothing else to say."""
