"""Clearance: does this ticket allow this method on this object? The answer is a `Grant` or RefusedError.

Pure: a rule, what was verified, and the request go in. A keeper's handler takes the Grant as its first
argument and can't be called without one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from postkeep.base.errors import RefusedError
from postkeep.base.ids import NOBODY
from postkeep.model.categories import Category
from postkeep.model.ticket import Ticket, TicketKind
from postkeep.tickets.rules import Rule
from postkeep.tickets.scope import Scope
from postkeep.tickets.verify import ShownTicket


class Connection(Protocol):
    """The caller's connection, as handlers see it."""

    uid: int | None
    """The caller's user id on a Unix socket (SO_PEERCRED), by the kernel's word; None over TLS."""
    pid: int | None
    """The process that made the connection, the same way."""
    certificate: str
    """SHA-256 of the certificate that the caller has shown over TLS, hexadecimal; empty on a Unix socket."""
    public_key: bytes
    """The key that the handshake has proved, raw Ed25519."""
    thumbprint: str

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the connection has gone."""


class Grant(msgspec.Struct, frozen=True):
    """The yes to one call, with everything that a handler may act on."""

    peer_module: str
    peer_instance: str
    connection: Connection
    kind: TicketKind
    tenant: bytes
    """NOBODY: the installation as a whole."""
    principal: bytes
    """NOBODY: no user stands behind it."""
    session: bytes
    ticket_id: str
    categories: frozenset[Category]
    method: str
    purpose: str
    mailboxes: frozenset[bytes] | None = None
    """None: all of the principal's."""
    level: int = 0
    root_ticket_id: str = ""
    """The ticket that the authority signed; differs from `ticket_id` after narrowing."""
    certificate: str = ""
    """The one that the module was enrolled with, as in its ticket."""
    rule: str = ""
    """The line of the table of rules that allowed it, for the ledger."""
    request: str = ""
    """The approved request that a grant ticket stands for, hexadecimal."""
    subject: str = ""
    """SHA-256 of exactly what was approved, hexadecimal."""
    approvals: int = 0
    """How many people's approvals a grant ticket stands on."""


@dataclass(slots=True)
class Budgets:
    """How much of their budgets operation tickets have used up here, by the authority's ticket."""

    used: dict[str, tuple[int, int]] = field(default_factory=dict)

    def spend(self, verified: ShownTicket, objects: int, now: int) -> None:
        """Take `objects` from a ticket's budget; raise RefusedError when it does not hold that many."""
        budget = verified.ticket.budget
        if budget is None:
            return
        name = verified.root.id
        spent = self.used.get(name, (0, 0))[0] + objects
        if spent > budget:
            raise RefusedError("its budget is used up", code="refused.budget")
        if name not in self.used:
            self.used = {key: item for key, item in self.used.items() if item[1] > now}
        self.used[name] = (spent, verified.root.expires)


def choose_rule(lines: tuple[Rule, ...], verified: ShownTicket | None) -> Rule:
    """Find the line for this caller that fits the kind of ticket shown; raise RefusedError if none does."""
    if not lines:
        raise RefusedError("no rule lets this module call it", code="refused.module")
    for rule in lines:
        if rule.kind is None or (verified is not None and verified.ticket.kind is rule.kind):
            return rule
    if verified is None:
        raise RefusedError("it needs a ticket", code="refused.no_ticket")
    raise RefusedError("the ticket is of another kind", code="refused.kind")


def grant_module(rule: Rule, peer: Ticket | None, connection: Connection) -> Grant:
    """Grant a call that needs no ticket beside the module's own."""
    return Grant(
        peer_module=peer.module if peer else "",
        peer_instance=peer.instance if peer else "",
        connection=connection,
        kind=TicketKind.MODULE,
        tenant=NOBODY,
        principal=NOBODY,
        session=b"",
        ticket_id=peer.id if peer else "",
        categories=frozenset(),
        method=rule.method,
        purpose="",
        certificate=peer.certificate if peer else "",
        rule=rule.line,
    )


def clear_action(rule: Rule, verified: ShownTicket) -> frozenset[Category]:
    """Return the categories that a ticket opens for a method; raise RefusedError if it does not allow it."""
    if rule.action is None or rule.action not in verified.ticket.actions:
        raise RefusedError("the ticket does not allow the action", code="refused.action")
    if rule.wanted <= verified.categories:
        return rule.wanted
    common = rule.wanted & verified.categories
    if not (rule.any_category and common):
        raise RefusedError("the ticket does not cover the category", code="refused.category")
    return common


def clear_scope(rule: Rule, verified: ShownTicket, scope: Scope, *, shared: bool = False) -> None:
    """Raise RefusedError if a request touches a tenant, principal or mailbox that the ticket does not.

    `shared`: whether the method's handler holds another principal against what is shared with the ticket's.
    """
    ticket = verified.ticket
    if ticket.tenant:
        for tenant in scope.tenants:
            if tenant != verified.tenant:
                raise RefusedError("the request is about another tenant", code="refused.tenant")
    # A staff ticket's principal is who asks, not whose data it is about.
    if ticket.principal and ticket.kind is not TicketKind.STAFF and not (rule.shared and shared):
        for principal in scope.principals:
            if principal != verified.principal:
                raise RefusedError("the request is about another principal", code="refused.principal")
    if verified.mailboxes is not None and not (
        rule.any_mailbox or (scope.mailboxes and all(box in verified.mailboxes for box in scope.mailboxes))
    ):
        raise RefusedError("the ticket does not cover the mailbox", code="refused.mailbox")


def grant_ticket(
    rule: Rule,
    peer: Ticket,
    verified: ShownTicket,
    categories: frozenset[Category],
    connection: Connection,
) -> Grant:
    """Grant a call made with a ticket that has been cleared."""
    ticket = verified.ticket
    return Grant(
        peer_module=peer.module,
        peer_instance=peer.instance,
        connection=connection,
        kind=ticket.kind,
        tenant=verified.tenant,
        principal=verified.principal,
        session=verified.session,
        ticket_id=ticket.id,
        categories=categories,
        method=rule.method,
        purpose=ticket.purpose,
        mailboxes=verified.mailboxes,
        level=ticket.level,
        root_ticket_id=verified.root.id,
        rule=rule.line,
        request=ticket.request,
        subject=ticket.subject,
        approvals=ticket.approvals,
    )
