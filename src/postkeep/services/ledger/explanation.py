"""What one entry of the ledger says of a decision, and which entries stand around it. Pure.

An entry names the ticket, the line of the table or the policies, and for a refusal the check that failed; the
ticket's own entry says when it was issued and for what. Words for people are the command line's.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from postkeep.model.audit import AuditEvent, EventName
from postkeep.tickets.rules import RULES, Rule

RELATED_MAX: Final = 20
"""Entries before and after that are listed: what a person reads."""

CHECKS: Final[dict[str, str]] = {
    "refused.handshake": "handshake",
    "refused.frame": "frame",
    "refused.mac": "frame",
    "refused.counter": "frame",
    "refused.malformed": "parse",
    "refused.claims": "parse",
    "refused.no_module_ticket": "parse",
    "refused.signature": "signature",
    "refused.audience": "audience",
    "refused.expired": "time",
    "refused.early": "time",
    "refused.revoked": "revocation",
    "refused.chain": "chain",
    "refused.widened": "chain",
    "refused.delegation": "chain",
    "refused.holder": "possession",
    "refused.certificate": "possession",
    "refused.module": "possession",
    "refused.method": "rule",
    "refused.no_ticket": "rule",
    "refused.kind": "rule",
    "refused.action": "rule",
    "refused.category": "rule",
    "refused.tenant": "object",
    "refused.principal": "object",
    "refused.mailbox": "object",
    "refused.budget": "budget",
    "refused.policy": "policy",
    "refused.enrolment": "enrolment",
    "refused.operator": "enrolment",
    "refused.purpose": "enrolment",
    "refused.credentials": "sign-in",
    "refused.session": "sign-in",
    "refused.protocol": "sign-in",
    "refused.database": "database",
}
"""Which check says no with which code; every other code is the keeper's own."""

_RECORDS: Final = frozenset(
    {EventName.NODE, EventName.AUTHORITY_KEY, EventName.LEDGER_ANCHOR, EventName.HEARTBEAT, EventName.WITNESS}
)
"""Events that record and decide nothing."""


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the table of rules."""

    method: str
    callers: tuple[str, ...]
    ticket: str
    """The kind of ticket that it asks for beside the module's; empty: none."""
    action: str = ""
    categories: tuple[str, ...] = ()
    needs_fresh_revocations: bool = False


class TicketFacts(msgspec.Struct, frozen=True):
    """The ticket that a decision rests on."""

    id: str
    issued_ms: int
    """By its identifier."""
    entry: int | None
    """Where its issue is recorded; None: not among the entries that were looked through."""
    purpose: str = ""
    allows: str = ""
    policies: tuple[str, ...] = ()
    seconds: int = 0
    holder: str = ""


class Related(msgspec.Struct, frozen=True):
    """An entry of the same ticket or session."""

    index: int
    event: AuditEvent


class Explanation(msgspec.Struct, frozen=True):
    """All that is known of one decision."""

    index: int
    event: AuditEvent
    decision: str
    """`allowed`, `refused`, `issued`, or `recorded` where nothing was decided."""
    check: str
    """With a refusal: the check that failed; `keeper` for a check of the keeper's own."""
    lines: tuple[Line, ...]
    """The line that applied; with a refusal before one was found, those that the module could have met."""
    ticket: TicketFacts | None
    before: tuple[Related, ...]
    after: tuple[Related, ...]
    complete: bool
    """Whether the whole life of the ticket was looked through."""


def explain(
    index: int, event: AuditEvent, around: Iterable[tuple[int, AuditEvent]], *, complete: bool
) -> Explanation:
    """Explain one entry, given others from around it."""
    related = [
        Related(number, other) for number, other in around if number != index and _belongs(other, event)
    ]
    issue = next(
        (
            item
            for item in [*related, Related(index, event)]
            if item.event.event is EventName.TICKET_ISSUE and item.event.ticket == event.ticket
        ),
        None,
    )
    refused = event.outcome == "refused"
    return Explanation(
        index=index,
        event=event,
        decision=_decision(event),
        check=CHECKS.get(event.code, "keeper") if refused else "",
        lines=_lines(event),
        ticket=_ticket(event, issue),
        before=tuple(item for item in related if item.index < index)[-RELATED_MAX:],
        after=tuple(item for item in related if item.index > index)[:RELATED_MAX],
        complete=complete,
    )


def issued_ms(ticket: str) -> int:
    """Read when a ticket was issued from its identifier; 0 for what is none."""
    try:
        return int(ticket[:12], 16)
    except ValueError:
        return 0


def _belongs(other: AuditEvent, event: AuditEvent) -> bool:
    same_ticket = bool(event.ticket) and other.ticket == event.ticket
    return same_ticket or (bool(event.session) and other.session == event.session)


def _decision(event: AuditEvent) -> str:
    if event.outcome == "refused":
        return "refused"
    if event.event is EventName.TICKET_ISSUE:
        return "issued"
    return "recorded" if event.event in _RECORDS else "allowed"


def _lines(event: AuditEvent) -> tuple[Line, ...]:
    own = [rule for rule in RULES if rule.method == event.method]
    met = [rule for rule in own if rule.line == event.rule and event.module in rule.callers]
    mine = [rule for rule in own if event.module in rule.callers]
    return tuple(_line(rule) for rule in met or mine or own)


def _line(rule: Rule) -> Line:
    return Line(
        method=rule.method,
        callers=rule.callers,
        ticket=rule.kind.value if rule.kind is not None else "",
        action=rule.action.value if rule.action is not None else "",
        categories=tuple(category.value for category in rule.categories),
        needs_fresh_revocations=rule.fresh,
    )


def _ticket(event: AuditEvent, issue: Related | None) -> TicketFacts | None:
    if not event.ticket:
        return None
    facts = TicketFacts(event.ticket, issued_ms(event.ticket), None)
    if issue is None:
        return facts
    told = issue.event
    return msgspec.structs.replace(
        facts,
        entry=issue.index,
        purpose=told.note,
        allows=told.rule,
        policies=tuple(name for name in told.policy.split(",") if name),
        seconds=told.count,
        holder=told.instance,
    )
