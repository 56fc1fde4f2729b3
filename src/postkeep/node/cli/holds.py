"""`postkeep hold`: legal holds."""

from typing import Annotated

import typer

from postkeep.node.cli.destroy import identifier
from postkeep.node.cli.output import CommandError, Exit, end_of_day, last_day, moment
from postkeep.node.cli.scene import group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.steward import orders_api as api

_COLUMNS = ("id", "covers", "class", "why", "placed_by", "created", "until", "status")


def add(app: typer.Typer) -> None:
    """Add the commands."""
    hold = group(app, "hold", "help.hold")
    _add_place(hold)

    @hold.command("list", help=text("help.hold.list"))
    def list_all(
        context: typer.Context,
        *,
        released: Annotated[bool, typer.Option("--released", help=text("help.hold.released"))] = False,
    ) -> None:
        scene = scene_of(context)
        found = scene.ask("hold_list", api.HoldAll(released), api.HoldList).holds
        scene.out.rows(found, _COLUMNS, [_row(info) for info in found])

    @hold.command("show", help=text("help.hold.show"))
    def show(context: typer.Context, hold_id: str) -> None:
        scene = scene_of(context)
        info = scene.ask("hold_show", api.HoldShow(identifier(hold_id)), api.HoldInfo)
        scene.out.lines(info, _lines(info))

    @hold.command("release", help=text("help.hold.release"))
    def release(context: typer.Context, hold_id: str) -> None:
        scene = scene_of(context)
        info = scene.ask("hold_release", api.HoldRelease(identifier(hold_id)), api.HoldInfo)
        scene.out.say(info, text("hold.released", id=info.id.hex()))


def _add_place(hold: typer.Typer) -> None:
    @hold.command("place", help=text("help.hold.place"))
    def place(  # noqa: PLR0917 - one parameter per option of the command
        context: typer.Context,
        reason: Annotated[str, typer.Option("--reason", help=text("help.hold.reason"))],
        person: Annotated[str, typer.Option("--person", help=text("help.hold.person"))] = "",
        tenant: Annotated[str, typer.Option("--tenant", help=text("help.hold.tenant"))] = "",
        mailbox: Annotated[str, typer.Option("--mailbox", help=text("help.hold.mailbox"))] = "",
        kind: Annotated[str, typer.Option("--class", help=text("help.hold.class"))] = "other",
        until: Annotated[str, typer.Option("--until", help=text("help.hold.until"))] = "",
    ) -> None:
        scene = scene_of(context)
        if bool(person) == bool(tenant) or (mailbox and not person):
            raise CommandError(text("error.hold_scope"), Exit.USAGE, "hold_scope")
        request = api.HoldPlace(kind, reason, person, tenant, mailbox, end_of_day(until))
        info = scene.ask("hold_place", request, api.HoldInfo)
        scene.out.say(info, text("hold.placed", id=info.id.hex()))


def _lines(info: api.HoldInfo) -> list[str]:
    state = text(f"hold.state.{info.state}")
    kind = text(f"hold.class.{info.kind}")
    facts = (
        ("tenant", info.tenant.hex()),
        ("principal", info.principal.hex()),
        ("mailbox", info.mailbox.hex()),
        ("class", kind),
        ("reason", info.reason),
        ("placed", f"{moment(info.made_ms)}  {info.placed_by}"),
        ("until", last_day(info.until_ms) if info.until_ms else ""),
        ("released", f"{moment(info.released_ms)}  {info.released_by}" if info.released_ms else ""),
    )
    title = text("hold.title", id=info.id.hex(), state=state)
    return [title, *(text(f"hold.line.{name}", value=value) for name, value in facts if value)]


def _row(info: api.HoldInfo) -> tuple[str, ...]:
    covers = "mailbox" if info.mailbox else "person" if info.principal else "tenant"
    return (
        info.id.hex(),
        text(f"unit.{covers}"),
        text(f"hold.class.{info.kind}"),
        info.reason,
        info.placed_by,
        moment(info.made_ms),
        last_day(info.until_ms),
        text(f"hold.state.{info.state}"),
    )
