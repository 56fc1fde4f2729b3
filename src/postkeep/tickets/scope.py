"""What a request touches: the tenants, principals and mailboxes that its fields name.

The wire values use the same field names everywhere, so that one reader, built once per type of request,
serves every method. A deposit made with a user's ticket is looked into; its placements count for
`vault.append` (the user's own mailboxes) and not for `vault.submit` (which delivers to colleagues).
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec


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
    if "warrant" in names:
        return _warranted
    tenants = _values_of(names, "tenant")
    principals = _values_of(names, "principal")
    mailboxes = _changed if method == "vault.change_mailboxes" else _values_of(names, "mailbox", "target")
    return lambda request: Scope(tenants(request), principals(request), mailboxes(request))


def _values_of(names: set[str], *wanted: str) -> Callable[[Any], tuple[bytes, ...]]:
    """Build the function that reads those of the wanted fields that there are: it runs at every call."""
    there = [name for name in wanted if name in names]
    if not there:
        return lambda _request: ()
    first = attrgetter(there[0])
    return attrgetter(*there) if len(there) > 1 else lambda request: (first(request),)


def _changed(request: Any) -> tuple[bytes, ...]:
    return tuple(change.id for change in request.changes)


def _warranted(request: Any) -> Scope:
    warrant = request.warrant
    return Scope((warrant.tenant,), (warrant.principal,), (warrant.mailbox,) if warrant.mailbox else ())


def _deposited(request: Any) -> Scope:
    return Scope(_tenants(request))


def _placed(request: Any) -> Scope:
    placements = [placement for deposit in request.deposits for placement in deposit.placements]
    queued = [item.principal for deposit in request.deposits for item in deposit.queue]
    replaced = [request.replaces] if request.replaces is not None else []
    return Scope(
        _tenants(request),
        (*(placement.principal for placement in placements), *queued, *(gone.principal for gone in replaced)),
        (*(placement.mailbox for placement in placements), *(gone.mailbox for gone in replaced)),
    )


def _tenants(request: Any) -> tuple[bytes, ...]:
    return tuple({item.tenant for item in (*request.deposits, *request.epochs)})
