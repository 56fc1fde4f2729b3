"""What kms still answers while it gives no keys.

It gives none while a restored key store waits to be accepted (`restoration`), and while the ledger
contradicts what was signed of it (`checkpoints`). Staff must be able to sign in and to approve the way out,
and mail goes on being accepted and sealed: for that there is one list. All else is refused, and so is
whatever method is added without a word here.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Final

import msgspec

from postkeep.base.errors import PostkeepError
from postkeep.model.audit import EventName
from postkeep.services.kms import metrics
from postkeep.services.kms.telling import call_fields
from postkeep.services.ledger.trail import EventFields, Trail
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

GIVEN: Final = frozenset(
    {
        "kms.anchors",
        "kms.ticket_keys",
        "kms.rotate_ticket_key",
        "kms.category_key",
        "kms.provision_tenant",
        "kms.provision_principal",
        "kms.release_secret",
        "kms.hold",
        "kms.rotations",
        "kms.ceilings",
        "kms.withheld",
        "kms.accept_restored",
        "kms.accept_ledger",
    }
)
"""The authority's own keys (tickets, and by `kms.category_key` accounts), public keys, the key for TLS, legal
holds, looks, the way out."""

Table = Mapping[str, tuple[type[msgspec.Struct], Handler]]


def guard(handlers: Table, reasons: Sequence[Callable[[], None]], trail: Trail) -> Table:
    """Return the handlers, refusing all but those `GIVEN` while one of the reasons raises."""

    def guarded(handler: Handler) -> Handler:
        @wraps(handler)
        async def handle(grant: Grant, request: Any) -> Any:
            try:
                for reason in reasons:
                    reason()
            except PostkeepError as error:
                refused = EventFields(outcome="refused", code=error.code)
                metrics.REFUSALS.labels(error.code).inc()
                trail.note(
                    EventName.KEY_REFUSE, **(call_fields(grant, grant.tenant, grant.principal) | refused)
                )
                raise
            return await handler(grant, request)

        return handle

    return {
        name: (request, handler if name in GIVEN else guarded(handler))
        for name, (request, handler) in handlers.items()
    }
