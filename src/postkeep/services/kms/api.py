"""The key service's methods, as values on the wire. Callers use `postkeep.services.kms.client`."""

import msgspec

from postkeep.base.ids import NOBODY
from postkeep.crypto.fingerprint import Fingerprint
from postkeep.model.categories import Category
from postkeep.model.warrant import Warrant


class ProvisionTenant(msgspec.Struct, frozen=True):
    """`kms.provision_tenant`: make the tenant's key-encryption keys. Idempotent."""

    tenant: bytes


class ProvisionPrincipal(msgspec.Struct, frozen=True):
    """`kms.provision_principal`: make a principal's key pair, or return the one there is. Idempotent."""

    tenant: bytes
    principal: bytes
    queue: bool = False
    """An outbound queue: its epochs, and no others, open with the relay's operation ticket."""
    manager: bytes = b""
    """A shared mailbox: the person with whom the pair is shared from its first moment on, to share on."""


class SignedPublicKey(msgspec.Struct, frozen=True):
    """A principal's public key, vouched for by `kms` (crypto.directory_key checks it)."""

    tenant: bytes
    principal: bytes
    generation: int
    public_key: bytes
    """MLKEM768+X25519, 1,216 bytes."""
    signature: bytes
    """Ed25519 by the kms directory key over the fields above."""


class SealedEpoch(msgspec.Struct, frozen=True):
    """An epoch secret as stored: sealed to the principal's public key, or rewrapped by kms."""

    epoch: bytes
    sealed: bytes


class OpenEpochs(msgspec.Struct, frozen=True):
    """`kms.open_epochs`: open epochs of the ticket's principal, in bulk."""

    principal: bytes
    epochs: list[SealedEpoch]


class OpenedEpoch(msgspec.Struct, frozen=True):
    """Chain starts for the categories that the ticket covers; `sealed` changes when kms rewrapped it."""

    epoch: bytes
    chains: dict[Category, bytes]
    sealed: bytes | None = None
    """A cheaper form to store instead of the one given; None when there is nothing to replace."""
    error: str = ""
    """An error code where this one epoch could not be opened; the others are unaffected."""


class OpenedEpochs(msgspec.Struct, frozen=True):
    """The answers, in the order asked."""

    epochs: list[OpenedEpoch]
    lease_seconds: float = 0.0
    """Forget them after this time: the company's own key is asked again. 0: while the session lives."""


class CategoryKey(msgspec.Struct, frozen=True):
    """`kms.category_key`: the data key of a category that is sealed by its own keeper (`account`)."""

    tenant: bytes
    category: Category


class PersonKey(msgspec.Struct, frozen=True):
    """`kms.person_key`: a person's own key, that seals what the ledger says of where they came from."""

    tenant: bytes
    principal: bytes


class ReleasedKey(msgspec.Struct, frozen=True):
    """A key of 32 bytes."""

    key: bytes


class Sign(msgspec.Struct, frozen=True):
    """`kms.sign`: sign with a key that never leaves kms."""

    handle: str
    message: bytes


class Signature(msgspec.Struct, frozen=True):
    """The signature and the public key that checks it."""

    signature: bytes
    public_key: bytes


class ReleaseSecret(msgspec.Struct, frozen=True):
    """`kms.release_secret`: a named secret that a library must hold itself (`tls`: PEM key and chain)."""

    name: str


class NamedSecret(msgspec.Struct, frozen=True):
    """The secret's bytes."""

    value: bytes


class GetTicketKeys(msgspec.Struct, frozen=True):
    """`kms.ticket_keys`: the keys that tickets are signed with, for the authority."""


class RotateTicketKey(msgspec.Struct, frozen=True):
    """`kms.rotate_ticket_key`: make the next one; refused while the one before the present is believed."""


class TicketKeys(msgspec.Struct, frozen=True):
    """The key that signs, and the public half of the one before it."""

    seed: bytes
    """Ed25519, 32 bytes."""
    public_key: bytes
    created_ms: int
    previous: bytes = b""
    """Empty: there is none that any ticket in force was signed with."""
    previous_until_ms: int = 0
    """When the last ticket that it signed has expired."""


class Shred(msgspec.Struct, frozen=True):
    """`kms.shred`: destroy a person's keys, or all keys of a tenant."""

    warrant: Warrant


class Shredded(msgspec.Struct, frozen=True):
    """How many keys were destroyed by this call (0: they were gone already)."""

    keys: int


class Mark(msgspec.Struct, frozen=True):
    """`kms.mark`: fingerprints of the slot secrets that `kms.shred` of the same would destroy."""

    warrant: Warrant
    salt: bytes


class Marked(msgspec.Struct, frozen=True):
    """Fingerprints, and of how many secrets they were chosen."""

    prints: list[Fingerprint]
    total: int


class Hold(msgspec.Struct, frozen=True):
    """`kms.hold`: keys of a principal, or (empty) of a tenant, are not destroyed from now on."""

    tenant: bytes
    hold: bytes
    kind: str
    principal: bytes = b""
    until_ms: int | None = None


class ReleaseHold(msgspec.Struct, frozen=True):
    """`kms.release_hold`."""

    tenant: bytes
    hold: bytes


class Certify(msgspec.Struct, frozen=True):
    """`kms.certify`: sign the body of a certificate of destruction.

    With `tenant`: only if the keys of this principal, or (empty) of the tenant, were destroyed here.
    """

    body: bytes
    tenant: bytes = NOBODY
    principal: bytes = b""


class Certified(msgspec.Struct, frozen=True):
    """Two signatures over `context("certificate", body)`, and the public keys that check them."""

    ed25519: bytes
    mldsa44: bytes
    public_keys: bytes
    """Ed25519 (32 bytes), then ML-DSA-44 (1,312 bytes)."""


class Discard(msgspec.Struct, frozen=True):
    """`kms.discard`: take back the keys of a tenant or principal whose creation has failed."""

    tenant: bytes
    principal: bytes = b""


class TrustAnchors(msgspec.Struct, frozen=True):
    """`kms.anchors`: public keys that others pin."""

    directory_key: bytes
    ledger_key: bytes
    origin: str
    ledger_mldsa44_key: bytes = b""


class Anchors(msgspec.Struct, frozen=True):
    """`kms.anchors`: ask for the public keys that others pin."""


class Done(msgspec.Struct, frozen=True):
    """The call has done its work and has nothing else to say."""
