"""Rotation of keys, as values on the wire. Callers use `postkeep.services.kms.rotation_client`."""

import msgspec

from postkeep.services.kms.api import SealedEpoch, SignedPublicKey

EPOCHS_PER_RESEAL_MAX = 2_048
"""Epochs sealed anew in one call: 2.5 MB, and a third of a second where no reader has opened them yet."""


class Rotation(msgspec.Struct, frozen=True):
    """A rotation: of which key, from which generation to which, and how far it is."""

    id: bytes
    kind: str
    """`root`, `tenant`, `category` or `principal`."""
    tenant: bytes
    principal: bytes
    category: str
    old: int
    new: int
    phase: str
    """`rewrapping`, `sealing` (principals: waits for epochs from the vault), `erasing`, `done`, or `void`
    where the key was destroyed meanwhile."""
    done: int
    """Rows or epochs that are under the new key."""
    total: int
    started_ms: int
    ended_ms: int | None


class RotateKey(msgspec.Struct, frozen=True):
    """`kms.rotate`: begin to rotate the root key, a tenant's or a category's; answers `Rotation`."""

    kind: str
    tenant: bytes
    category: str = ""


class ListRotations(msgspec.Struct, frozen=True):
    """`kms.rotations`: rotations under way and ended, the latest first."""

    limit: int = 100


class RotationList(msgspec.Struct, frozen=True):
    """The latest first."""

    rotations: list[Rotation]


class RotatePrincipal(msgspec.Struct, frozen=True):
    """`kms.rotate_principal`: make the next generation of a principal's key pair; answers `NewGeneration`."""

    tenant: bytes
    principal: bytes


class NewGeneration(msgspec.Struct, frozen=True):
    """The rotation, and the public key that writers seal to from now on."""

    rotation: Rotation
    key: SignedPublicKey


class ResealWork(msgspec.Struct, frozen=True):
    """`kms.reseal_work`: what the steward has to do for principals' keys; answers `ResealWorkList`."""

    older_than_ms: int
    """Principals whose newest key pair was made before this moment are due for a new one."""
    limit: int = 100


class DuePrincipal(msgspec.Struct, frozen=True):
    """A principal whose key pair is due for a new generation."""

    tenant: bytes
    principal: bytes


class ResealWorkList(msgspec.Struct, frozen=True):
    """Rotations that wait for epochs, with the public keys to publish; and who is due."""

    rotations: list[NewGeneration]
    due: list[DuePrincipal]


class RewrapEpochs(msgspec.Struct, frozen=True):
    """`kms.rewrap_epochs`: seal a principal's epochs to its newest generation; no chain comes back."""

    principal: bytes
    epochs: list[SealedEpoch]
    left: int = 0
    """How many more the vault holds: for the progress that is shown."""


class RewrappedEpochs(msgspec.Struct, frozen=True):
    """Those that are to be stored anew; those left out are under the newest already, or do not open."""

    epochs: list[SealedEpoch]


class RetireGeneration(msgspec.Struct, frozen=True):
    """`kms.retire_generation`: the vault has no epoch left under the old generation; answers `Retired`."""

    principal: bytes


class Retired(msgspec.Struct, frozen=True):
    """Whether the old private half is destroyed; otherwise it is too early: writers may still use it."""

    retired: bool
