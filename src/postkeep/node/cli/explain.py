"""`postkeep explain`: a decision in plain words, from its entry in the ledger."""

from collections.abc import Iterator
from typing import Annotated

import typer

from postkeep.model.audit import AuditEvent, EventName
from postkeep.node.cli.output import moment
from postkeep.node.cli.scene import scene_of
from postkeep.node.cli.texts import all_texts, text
from postkeep.services.ledger.explanation import Explanation, Line, Related, TicketFacts
from postkeep.services.steward.api import Explain


def add(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("explain", help=text("help.explain"))
    def explain(
        context: typer.Context,
        entry: Annotated[int, typer.Argument(help=text("help.explain.entry"), min=0)],
    ) -> None:
        scene = scene_of(context)
        explanation = scene.ask("explain", Explain(index=entry), Explanation)
        scene.out.lines(explanation, list(_sentences(explanation)))


def _sentences(explained: Explanation) -> Iterator[str]:
    event = explained.event
    yield text(
        f"explain.head.{explained.decision}",
        index=explained.index,
        time=moment(event.time_ms),
        what=_name(event),
    )
    yield from _who(event)
    yield from _what(event)
    if explained.check:
        yield text("explain.check", check=text(f"check.{explained.check}"), code=event.code)
        known = f"reason.{event.code}" in all_texts()
        yield text(f"reason.{event.code}") if known else text("reason.other", code=event.code)
    if event.policy and explained.decision == "refused":
        yield text("explain.policies", policies=event.policy)
    elif event.code == "refused.policy":
        yield text("explain.policies.none")
    for line in explained.lines:
        yield from _line(line)
    if explained.ticket is not None:
        yield from _ticket(explained.ticket)
    for key, related in (("explain.before", explained.before), ("explain.after", explained.after)):
        yield text(key)
        yield from map(_related, related)
        if not related:
            yield text("explain.nothing")
    if not explained.complete:
        yield text("explain.incomplete")


def _name(event: AuditEvent) -> str:
    key = f"event.{event.event}"
    return text(key) if key in all_texts() else event.event.value


def _who(event: AuditEvent) -> Iterator[str]:
    if event.instance:
        yield text("explain.who", instance=event.instance, module=event.module)
        yield text("explain.source", source=event.source, number=event.number)
    elif event.outcome == "refused":
        yield text("explain.stranger", source=event.source)
    else:
        yield text("explain.source", source=event.source, number=event.number)
    if event.actor:
        yield text("explain.actor", actor=event.actor)
    if event.session:
        yield text("explain.session", session=event.session)


def _what(event: AuditEvent) -> Iterator[str]:
    if event.principal:
        yield text("explain.whom", principal=event.principal, tenant=event.tenant or "-")
    elif event.tenant:
        yield text("explain.tenant", tenant=event.tenant)
    if event.method:
        yield text("explain.what", method=event.method)
    if event.category:
        yield text("explain.category", category=event.category)
    if event.count and event.outcome == "ok" and event.event is not EventName.TICKET_ISSUE:
        yield text("explain.objects", count=event.count)
    if event.note:
        yield text("explain.note", note=event.note)


def _line(line: Line) -> Iterator[str]:
    ticket = text("explain.line.none")
    if line.ticket:
        categories = ", ".join(line.categories) or text("explain.line.nothing")
        ticket = text("explain.line.ticket", kind=line.ticket, action=line.action, categories=categories)
    callers = ", ".join(caller or "-" for caller in line.callers)
    yield text("explain.line", method=line.method, callers=callers, ticket=ticket)
    if line.needs_fresh_revocations:
        yield text("explain.line.fresh")


def _ticket(ticket: TicketFacts) -> Iterator[str]:
    time = moment(ticket.issued_ms)
    if ticket.entry is None:
        yield text("explain.ticket.unknown", ticket=ticket.id, time=time)
        return
    yield text(
        "explain.ticket",
        ticket=ticket.id,
        time=time,
        purpose=ticket.purpose,
        holder=ticket.holder,
        seconds=ticket.seconds,
        entry=ticket.entry,
    )
    yield text("explain.ticket.allows", allows=ticket.allows)
    yield text("explain.ticket.policies", policies=", ".join(ticket.policies) or "-")


def _related(item: Related) -> str:
    event = item.event
    refused = text("explain.related.refused", code=event.code) if event.outcome == "refused" else ""
    what = f"{_name(event)}{refused}"
    return f"  {item.index}  {moment(event.time_ms)}  {what}  {event.method or event.note}"
