"""What an operator asks about the ledger's witnesses."""

import msgspec

from postkeep.services.steward.api import Command


class WitnessStatus(Command, frozen=True):
    """`steward.witness_status`: what the witnesses say of the ledger."""


class WitnessState(msgspec.Struct, frozen=True):
    """One witness."""

    name: str
    url: str
    state: str = "waiting"
    """`waiting`, `ok`, `silent`, `refused` (it knows no such log), `bad` (its signature), `conflict`."""
    size: int = 0
    """Entries of the newest head that it has signed."""
    signed_ms: int = 0
    """When it did; 0: not since the steward's first start."""
    detail: str = ""
    origin: str = ""
    """The log's name then: a ledger that was begun anew has another."""


class WitnessStates(msgspec.Struct, frozen=True):
    """All witnesses that are configured."""

    witnesses: list[WitnessState]
