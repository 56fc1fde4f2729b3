"""What every event of kms says of a call, and the check that identifiers are some."""

from postkeep.base.errors import RefusedError
from postkeep.base.ids import ID_BYTES, NOBODY
from postkeep.services.ledger.trail import EventFields
from postkeep.tickets.clear import Grant


def caller_fields(grant: Grant) -> EventFields:
    """Say who called, and with which ticket."""
    return EventFields(
        module=grant.peer_module,
        instance=grant.peer_instance,
        session=grant.session.hex(),
        ticket=grant.root_ticket_id or grant.ticket_id,
        method=grant.method,
    )


def call_fields(grant: Grant, tenant: bytes = NOBODY, principal: bytes = NOBODY) -> EventFields:
    """Say who called, on whose word, by which line of the rules, and for whose keys."""
    return caller_fields(grant) | EventFields(
        tenant=hex_or_nobody(tenant),
        principal=hex_or_nobody(principal),
        actor=hex_or_nobody(grant.principal) if grant.principal != principal else "",
        rule=grant.rule,
    )


def hex_or_nobody(identifier: bytes) -> str:
    """Write an identifier as events do: nothing for NOBODY."""
    return "" if identifier == NOBODY else identifier.hex()


def check_id(value: bytes) -> None:
    """Raise RefusedError for what is not an identifier."""
    if len(value) != ID_BYTES:
        raise RefusedError("not an identifier", code="refused.identifier")
