"""`postkeep ledger accept-restored`: the way on after the ledger has lost what was signed of it."""

import typer

from postkeep.node.cli.scene import scene_of
from postkeep.node.cli.texts import text
from postkeep.services.steward.restored_api import ROOT_DIGITS, HistoryAccepted, LedgerAcceptRestored


def add(ledger: typer.Typer) -> None:
    """Add the command."""

    @ledger.command("accept-restored", help=text("help.ledger.accept"))
    def accept(context: typer.Context) -> None:
        scene = scene_of(context)
        done = scene.ask("ledger_accept_restored", LedgerAcceptRestored(), HistoryAccepted).history
        lost, shown = done.lost, done.shown
        scene.out.lines(
            {
                "lost": {"origin": lost.origin, "size": lost.size, "root": lost.root.hex()},
                "shown": {"origin": shown.origin, "size": shown.size, "root": shown.root.hex()},
            },
            [
                text("ledger.accepted.lost", size=lost.size, root=lost.root.hex()[:ROOT_DIGITS]),
                text("ledger.accepted.shown", size=shown.size, root=shown.root.hex()[:ROOT_DIGITS]),
                text("ledger.accepted.witnesses"),
            ],
        )
