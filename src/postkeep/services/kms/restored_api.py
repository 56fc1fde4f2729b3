"""What kms holds back after something was restored, and how that ends: its methods, as values on the wire."""

import hashlib
from enum import StrEnum

import msgspec

from postkeep.crypto.context import context
from postkeep.services.ledger.api import TreeHead


class RestoredBy(StrEnum):
    """On whose word a key store was put back."""

    OPERATOR = "operator"
    """`key accept-restored` on a stopped node, after kms had refused to start."""
    BACKUP = "backup"
    """`backup restore`."""


class RestoredStore(msgspec.Struct, frozen=True):
    """A key store that was put back and has not been accepted yet."""

    id: bytes
    by: RestoredBy
    told: int
    """The change that it counts on from: the last that the ledger knows of."""
    was: int
    """The change that it was at when it was put back."""


class BrokenHistory(msgspec.Struct, frozen=True):
    """A ledger that does not extend the last head that kms has signed."""

    lost: TreeHead
    """The head that was signed, and that the ledger contradicts."""
    shown: TreeHead
    """What the ledger showed when this was found."""


class GetWithheld(msgspec.Struct, frozen=True):
    """`kms.withheld`: why keys are held back; answers `Withheld`."""


class Withheld(msgspec.Struct, frozen=True):
    """Why keys are held back; nothing where they are not."""

    store: RestoredStore | None = None
    history: BrokenHistory | None = None
    approvals: int = 0
    """How many approvals kms asks for, whatever the authority's policy: two where the ledger says that dual
    control is on."""


class AcceptRestored(msgspec.Struct, frozen=True):
    """`kms.accept_restored`: with a `key_restore` grant, give keys of a restored store again."""

    id: bytes


class AcceptLedger(msgspec.Struct, frozen=True):
    """`kms.accept_ledger`: with a `ledger_restore` grant, forget the head that the ledger contradicts."""

    history: BrokenHistory


def restored_subject(store: RestoredStore, approvals: int) -> bytes:
    """Return what a request is approved for: the digest of exactly these numbers."""
    what = context("accept a restored key store", store.id, store.by.value, store.told, store.was, approvals)
    return hashlib.sha256(what).digest()


def history_subject(history: BrokenHistory, approvals: int) -> bytes:
    """Return what a request is approved for: the digest of exactly these heads."""
    heads = [part for head in (history.lost, history.shown) for part in msgspec.structs.astuple(head)]
    return hashlib.sha256(context("accept a restored ledger", *heads, approvals)).digest()
