"""Custody of the root key and of tenants' keys: the key service's methods for it, as values on the wire."""

import hashlib

import msgspec

from postkeep.crypto.context import context
from postkeep.crypto.shares import Holder, Roster
from postkeep.services.custody.api import Place
from postkeep.services.kms.root_kinds import HolderLine, RootKind

RESEAL_SECONDS_MAX = 2 * 3600
"""Between the yes to a change of the root key's seal and the change: five holders write down their shares."""


class OpenReseal(msgspec.Struct, frozen=True):
    """`kms.open_reseal`: with a custody grant, let who knows the key behind `key_digest` reseal, once."""

    kind: RootKind
    key_digest: bytes
    """SHA-256 of a random key that the command line has made and gives to nobody but kms."""


class RosterLines(msgspec.Struct, frozen=True):
    """A ceremony's roster."""

    ceremony: int
    threshold: int
    salt: bytes
    holders: list[HolderLine]

    def roster(self) -> Roster:
        """Return the roster."""
        lines = tuple(Holder(line.number, line.name, line.digest) for line in self.holders)
        return Roster(self.ceremony, self.threshold, self.salt, lines)


class Reseal(msgspec.Struct, frozen=True):
    """`kms.reseal`: seal the root key in another way. From the command line to kms, past everybody else."""

    kind: RootKind
    key: bytes
    secret: bytes = b""
    """What opens the new seal: a passphrase, the secret of the shares, a PIN; empty for a file."""
    roster: RosterLines | None = None


class Resealed(msgspec.Struct, frozen=True):
    """From what to what."""

    old: RootKind
    new: RootKind


def lines_of(roster: Roster) -> RosterLines:
    """Put a roster on the wire."""
    holders = [HolderLine(line.number, line.name, line.digest) for line in roster.holders]
    return RosterLines(roster.ceremony, roster.threshold, roster.salt, holders)


def reseal_subject(kind: RootKind) -> bytes:
    """Return what a request to reseal the root key is approved for: the digest of the kind."""
    return hashlib.sha256(context("reseal the root key", kind.value)).digest()


class Custodian(msgspec.Struct, frozen=True):
    """Who has custody of a tenant's key beside the installation: what may be shown of a place."""

    kind: str
    """`pkcs11`, `transit`; empty: nobody."""
    where: str = ""
    key: str = ""
    token: str = ""


class OpenCustody(msgspec.Struct, frozen=True):
    """`kms.open_custody`: with a custody grant, let who knows the key behind `key_digest` change custody."""

    tenant: bytes
    custodian: Custodian
    key_digest: bytes


class SetCustody(msgspec.Struct, frozen=True):
    """`kms.set_custody`: put a tenant's key in a customer's custody, or (no place) take it back."""

    tenant: bytes
    key: bytes
    place: Place | None


class CheckCustody(msgspec.Struct, frozen=True):
    """`kms.check_custody`: say who has custody, and with `ask` whether the custodian agrees now."""

    tenant: bytes
    ask: bool = False


def custodian_of(place: Place | None) -> Custodian:
    """Return what may be shown of a place."""
    return Custodian("") if place is None else Custodian(place.kind, place.where, place.key, place.token)


def custody_subject(tenant: bytes, custodian: Custodian) -> bytes:
    """Return what a request to change custody is approved for."""
    fields = (custodian.kind, custodian.where, custodian.key, custodian.token)
    return hashlib.sha256(context("custody of a tenant's key", tenant, *fields)).digest()
