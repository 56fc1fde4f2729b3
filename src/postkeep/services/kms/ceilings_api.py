"""Ceilings of kms, as values on the wire."""

import msgspec


class ListCeilings(msgspec.Struct, frozen=True):
    """`kms.ceilings`: who is stopped; answers `CeilingStops`."""


class CeilingStop(msgspec.Struct, frozen=True):
    """For whom no epochs are opened, until when."""

    kind: str
    """`principal` (subject: its identifier, hexadecimal) or `module` (subject: the instance)."""
    subject: str
    since_ms: int
    until_ms: int


class CeilingStops(msgspec.Struct, frozen=True):
    """The stops in force."""

    stops: list[CeilingStop]


class LiftCeiling(msgspec.Struct, frozen=True):
    """`kms.lift_ceiling`: lift a stop."""

    kind: str
    subject: str
