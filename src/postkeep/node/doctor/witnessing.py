"""Checks what the ledger's witnesses have said last, as the steward has written it down."""

from collections.abc import Iterator

import msgspec

from postkeep.node.config import Config
from postkeep.node.doctor.finding import Finding, bad, ok, warn
from postkeep.node.supervisor.layout import Layout
from postkeep.services.steward.witnesses import STATE_FILE
from postkeep.services.steward.witnesses_api import WitnessState


def check_witnesses(layout: Layout, config: Config) -> Iterator[Finding]:
    """Say whether others vouch for the ledger."""
    if not config.ledger.witnesses:
        yield warn("witnesses", "witnesses.none")
        return
    path = layout.data / "state" / "steward" / STATE_FILE
    try:
        told = msgspec.json.decode(path.read_bytes(), type=list[WitnessState])
    except (OSError, msgspec.DecodeError):
        told = []
    by_url = {state.url: state for state in told}
    states = [by_url.get(witness.url) for witness in config.ledger.witnesses]
    conflicts = [state.name for state in states if state is not None and state.state == "conflict"]
    away = [
        witness.url
        for witness, state in zip(config.ledger.witnesses, states, strict=True)
        if state is None or state.state not in ("ok", "conflict")
    ]
    if conflicts:
        yield bad("witnesses", "witnesses.conflict", names=", ".join(conflicts))
    elif away:
        yield warn("witnesses", "witnesses.away", urls=", ".join(away))
    else:
        size = min(state.size for state in states if state is not None)
        yield ok("witnesses", "witnesses.ok", count=len(states), size=size)
