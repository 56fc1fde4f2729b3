"""`postkeep ledger sources`: which processes live, by what the ledger has heard of them."""

from typing import TYPE_CHECKING

import typer

from postkeep.node.cli.output import CommandError, Exit, moment
from postkeep.node.cli.scene import scene_of
from postkeep.node.cli.texts import text

if TYPE_CHECKING:
    from postkeep.services.ledger.life import Heard


def add(ledger: typer.Typer) -> None:
    """Add the command."""

    @ledger.command("sources", help=text("help.ledger.sources"))
    def sources(context: typer.Context) -> None:
        from postkeep.node import start
        from postkeep.node.doctor.silence import heard_of_node, silent_places

        scene = scene_of(context)
        found = heard_of_node(scene.data, start.load_config(start.Options(scene.data)))
        if not found:
            raise CommandError(text("error.no_ledger", path=scene.data), code="no_ledger")
        cells = [(one.source, _state(one), str(one.index), moment(one.time_ms)) for one in found]
        scene.out.rows(found, ("source", "state", "index", "time"), cells)
        if silent_places(found):
            scene.out.remark(text("ledger.source.silent_why"))
            raise typer.Exit(Exit.PROBLEMS)


def _state(one: "Heard") -> str:
    if one.state == "silent" and one.successor:
        return text("ledger.source.replaced", successor=one.successor)
    return text(f"ledger.source.{one.state}")
