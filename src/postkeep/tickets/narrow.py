"""Narrowing: the holder of a ticket signs a smaller one for the next module, for a minute at most.

`within` is the pure decision both sides share: the maker refuses to sign what the verifier would refuse.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from postkeep.base.clock import Clock, SystemClock
from postkeep.base.errors import RefusedError
from postkeep.base.ids import new_id
from postkeep.model.categories import Category
from postkeep.model.ticket import Action, Ticket, TicketKind
from postkeep.tickets import token as tokens
from postkeep.tickets.identity import ModuleIdentity

NARROWED_SECONDS_MAX: Final = 60
"""A narrowed ticket serves one piece of work; the original is at hand for the next."""

NARROWABLE: Final = frozenset({TicketKind.USER, TicketKind.OPERATION, TicketKind.STAFF, TicketKind.GRANT})
"""A module ticket says who the holder is, and that can't be passed on."""


def within(child: Ticket, parent: Ticket) -> None:
    """Raise RefusedError unless every claim of `child` allows at most what `parent` allows."""
    same = (
        parent.kind in NARROWABLE
        and child.kind == parent.kind
        and child.tenant == parent.tenant
        and child.principal == parent.principal
        and child.session == parent.session
        and child.level == parent.level
        and child.purpose == parent.purpose
        and child.certificate == parent.certificate
        and child.request == parent.request
        and child.subject == parent.subject
        and child.approvals == parent.approvals
        and child.depth == parent.depth + 1
        and child.depth <= tokens.DEPTH_MAX
    )
    smaller = (
        _subset(child.actions, parent.actions)
        and _subset(child.categories, parent.categories)
        and _subset(child.methods, parent.methods)
        and _subset(child.audience, parent.audience)
        and (
            parent.mailboxes is None
            or (child.mailboxes is not None and _subset(child.mailboxes, parent.mailboxes))
        )
        and (parent.budget is None or (child.budget is not None and child.budget <= parent.budget))
    )
    in_time = (
        parent.issued <= child.issued < child.expires <= parent.expires
        and child.expires - child.issued <= NARROWED_SECONDS_MAX
    )
    if not (same and smaller and in_time):
        raise RefusedError("the narrowed ticket is wider than its parent", code="refused.widened")


def narrow(
    identity: ModuleIdentity,
    parent_token: bytes,
    *,
    holder: str,
    audience: Sequence[str],
    actions: Sequence[Action] | None = None,
    categories: Sequence[Category] | None = None,
    mailboxes: Sequence[str] | None = None,
    module: str = "",
    instance: str = "",
    seconds: int = NARROWED_SECONDS_MAX,
    clock: Clock | None = None,
) -> bytes:
    """Sign a ticket for the next holder (a thumbprint) from one that `identity` holds.

    What is None stays as the parent has it. Raises RefusedError where the result would be wider than the
    parent, or where the parent is not this identity's.
    """
    parent = tokens.read(parent_token)[0].ticket
    if parent.holder != identity.thumbprint:
        raise RefusedError("only its holder narrows a ticket", code="refused.holder")
    now = (clock or SystemClock()).now_seconds()
    issued = max(now, parent.issued)
    child = msgspec.structs.replace(
        parent,
        id=new_id().hex(),
        issued=issued,
        expires=min(issued + seconds, parent.expires),
        holder=holder,
        module=module,
        instance=instance,
        audience=tuple(audience),
        actions=parent.actions if actions is None else tuple(actions),
        categories=parent.categories if categories is None else tuple(categories),
        mailboxes=parent.mailboxes if mailboxes is None else tuple(mailboxes),
        depth=parent.depth + 1,
        parent=tokens.digest(parent_token),
    )
    within(child, parent)
    return tokens.append(tokens.write(child, identity.sign), identity.public_key, parent_token)


def _subset(small: Iterable[str], large: Iterable[str]) -> bool:
    return set(small) <= set(large)
