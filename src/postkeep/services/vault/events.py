"""What the vault tells the ledger: who did what to which objects, never what is in them."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from postkeep.base.errors import IntegrityError
from postkeep.base.ids import ID_BYTES, NOBODY
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.model.ticket import TicketKind
from postkeep.services.ledger.trail import EventFields
from postkeep.tickets.clear import Grant

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(dict[str, Any])


def event_fields(
    grant: Grant,
    tenant: bytes,
    objects: Sequence[bytes] | bytes,
    *,
    principal: bytes = b"",
    mailbox: bytes = b"",
    category: Category | None = None,
) -> EventFields:
    """Describe one command: its count and its digest cover the identifiers of `objects`, in order; given as
    octets, they stand one after another."""
    joined = objects if isinstance(objects, bytes) else b"".join(objects)
    owner = principal or grant.principal
    fields: EventFields = {
        "module": grant.peer_module,
        "instance": grant.peer_instance,
        "ticket": grant.root_ticket_id or grant.ticket_id,
        "method": grant.method,
        "rule": grant.rule,
        "count": len(joined) // ID_BYTES if isinstance(objects, bytes) else len(objects),
        "digest": hashlib.sha256(joined).hexdigest(),
    }
    if tenant != NOBODY:
        fields["tenant"] = tenant.hex()
    if owner != NOBODY:
        fields["principal"] = owner.hex()
    if grant.kind is TicketKind.USER and owner != grant.principal != NOBODY:
        fields["actor"] = grant.principal.hex()
    if grant.session:
        fields["session"] = grant.session.hex()
    if mailbox:
        fields["mailbox"] = mailbox.hex()
    if category is not None:
        fields["category"] = category.value
    return fields


def pack_event(event: EventName, fields: EventFields) -> bytes:
    """Write an event as it waits in the database for the ledger."""
    return _encoder.encode({"event": event.value, **fields})


def unpack_event(data: bytes) -> tuple[EventName, EventFields]:
    """Read an event that waits; raise IntegrityError for what is none."""
    try:
        fields = _decoder.decode(data)
        event = EventName(fields.pop("event"))
    except (msgspec.DecodeError, KeyError, ValueError) as exc:
        raise IntegrityError(f"an event in the outbox can't be read: {exc}") from exc
    return event, cast("EventFields", fields)


def deposit_events(grant: Grant, stored: Iterable[tuple[bytes, bytes, bytes]]) -> list[bytes]:
    """Describe what one request stored, given as (tenant, owner of the mailbox, body), NOBODY: only queued.

    One event for each owner, so that all of them find it among the entries about them.
    """
    by_owner: dict[tuple[bytes, bytes], list[bytes]] = {}
    for tenant, owner, body in stored:
        by_owner.setdefault((tenant, owner), []).append(body)
    events = []
    for (tenant, owner), bodies in by_owner.items():
        fields = event_fields(grant, tenant, bodies, principal=b"" if owner == NOBODY else owner)
        if NOBODY not in {owner, grant.principal} and owner != grant.principal:
            fields["actor"] = grant.principal.hex()
        events.append(pack_event(EventName.DEPOSIT, fields))
    return events
