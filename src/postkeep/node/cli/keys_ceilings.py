"""`postkeep key ceilings`: who is stopped because of too many keys, and lifting it."""

import typer

from postkeep.node.cli.output import moment
from postkeep.node.cli.scene import group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.kms.ceilings_api import CeilingStops
from postkeep.services.steward.api import Done, KeyCeilingLift, KeyCeilings

_COLUMNS = ("stopped", "subject", "stopped_since", "until")


def add(key: typer.Typer) -> None:
    """Add the commands."""
    ceilings = group(key, "ceilings", "help.ceilings")

    @ceilings.command("list", help=text("help.ceilings.list"))
    def list_all(context: typer.Context) -> None:
        scene = scene_of(context)
        found = scene.ask("key_ceilings", KeyCeilings(), CeilingStops).stops
        cells = [
            (text(f"ceiling.{item.kind}"), item.subject, moment(item.since_ms), moment(item.until_ms))
            for item in found
        ]
        scene.out.rows(found, _COLUMNS, cells)

    @ceilings.command("lift", help=text("help.ceilings.lift"))
    def lift(context: typer.Context, name: str) -> None:
        scene = scene_of(context)
        scene.out.say(
            scene.ask("key_ceiling_lift", KeyCeilingLift(name), Done), text("ceiling.lifted", name=name)
        )
