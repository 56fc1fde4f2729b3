"""What a request touches: the tenants, principals and mailboxes that its fields name.

The wire values use the same field names everywhere, so that one reader, built once per type of request,
serves every method. A deposit made with a user's ticket is looked into; its placements count for
`vault.append` (the user's own mailboxes) and not for `vault.submit` (which delivers to colleagues).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

_MAILBOX_FIELDS = ("mailbox", "target")


class Scope(NamedTuple):
    """Identifiers that a request names. An empty mailbox identifier means one chosen by its role."""

    tenants: tuple[bytes, ...] = ()
    principals: tuple[bytes, ...] = ()
    mailboxes: tuple[bytes, ...] = ()


def scope_reader(method: str, request_type: type[msgspec.Struct]) -> Callable[[Any], Scope]:
    """Build the function that reads the scope of this method's requests."""
    names = {field.name for field in msgspec.structs.fields(request_type)}
    if "deposits" in names:
        return _placed if method == "vault.append" else _deposited
    has_tenant, has_principal = "tenant" in names, "principal" in names
    boxes = tuple(name for name in _MAILBOX_FIELDS if name in names)
    changes = method == "vault.change_mailboxes"

    def read(request: Any) -> Scope:
        return Scope(
            (request.tenant,) if has_tenant else (),
            (request.principal,) if has_principal else (),
            tuple(change.id for change in request.changes)
            if changes
            else tuple(getattr(request, name) for name in boxes),
        )

    return read


def _deposited(request: Any) -> Scope:
    return Scope(_tenants(request))


def _placed(request: Any) -> Scope:
    placements = [placement for deposit in request.deposits for placement in deposit.placements]
    queued = [item.principal for deposit in request.deposits for item in deposit.queue]
    return Scope(
        _tenants(request),
        (*(placement.principal for placement in placements), *queued),
        tuple(placement.mailbox for placement in placements),
    )


def _tenants(request: Any) -> tuple[bytes, ...]:
    return tuple({item.tenant for item in (*request.deposits, *request.epochs)})
