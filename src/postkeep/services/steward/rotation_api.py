"""What an operator asks about the rotation of keys, as values on the wire."""

import msgspec

from postkeep.services.steward.api import Command


class KeyRotate(Command, frozen=True):
    """`steward.key_rotate`: begin to rotate a key, or find the rotation under way; answers
    `RotationShown`."""

    kind: str
    """`root`, `tenant`, `category` or `principal`."""
    name: str = ""
    """A tenant's domain, or a principal's address."""
    category: str = ""


class KeyRotations(Command, frozen=True):
    """`steward.key_rotations`: rotations under way and ended; answers `RotationsShown`."""

    id: str = ""
    """Only this one."""


class RotationShown(msgspec.Struct, frozen=True):
    """A rotation, with identifiers as they stand in the ledger."""

    id: str
    kind: str
    tenant: str
    principal: str
    category: str
    generation: int
    phase: str
    done: int
    total: int
    started_ms: int
    ended_ms: int | None


class RotationsShown(msgspec.Struct, frozen=True):
    """The latest first."""

    rotations: list[RotationShown]
