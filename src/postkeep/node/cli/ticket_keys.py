"""`postkeep key rotate ticket`: exchange the key that tickets are signed with."""

import typer

from postkeep.node.cli.output import moment
from postkeep.node.cli.scene import scene_of
from postkeep.node.cli.texts import text
from postkeep.services.authority.api import TicketKeyInfo
from postkeep.services.steward.api import KeyRotateTicket


def add(rotate: typer.Typer) -> None:
    """Add the command to the group `key rotate`."""

    @rotate.command("ticket", help=text("help.key.rotate.ticket"))
    def ticket(context: typer.Context) -> None:
        scene = scene_of(context)
        info = scene.ask("key_rotate_ticket", KeyRotateTicket(), TicketKeyInfo)
        scene.out.say(
            info,
            text(
                "ticket_key.rotated",
                new=info.key[:16],
                previous=info.previous[:16],
                time=moment(info.previous_until_ms),
            ),
        )
