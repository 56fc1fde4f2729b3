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


class Done(msgspec.Struct, frozen=True):
    """The call has done its work and has nothing else to say."""
