"""`postkeep key accept-restored`: on a stopped node it asks, on a running node it goes through with it.

kms does not start from a key store older than the ledger knows. With the node stopped, the operator says that
this one is meant: kms starts then, and holds it. With the node running, what is held is accepted: at once, or
under dual control when two others have approved it.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from postkeep.node.cli.output import CommandError, Exit
from postkeep.node.cli.scene import Scene, scene_of
from postkeep.node.cli.texts import text
from postkeep.node.running import running
from postkeep.services.steward.restored_api import KeyAcceptRestored, StoreAccepted


def add(key: typer.Typer) -> None:
    """Add the command."""

    @key.command("accept-restored", help=text("help.accept"))
    def accept(
        context: typer.Context,
        state: Annotated[int, typer.Argument(min=0, show_default=False, help=text("help.accept.state"))] = 0,
    ) -> None:
        scene = scene_of(context)
        if running(scene.data) is None:
            _ask(scene, scene.data / "state" / "kms", state)
            return
        done = scene.ask("key_accept_restored", KeyAcceptRestored(state=state), StoreAccepted)
        scene.out.say(done, text("accept.done", was=done.was, told=done.told))


def _ask(scene: Scene, directory: Path, state: int) -> None:
    """Leave word for the next start of kms, as the owner of its directory."""
    from postkeep.base.files import write_file
    from postkeep.services.kms.witness import ACCEPTED_NAME

    if not state:
        raise CommandError(text("error.accept_state"), Exit.USAGE, "state")
    if not directory.is_dir():
        raise CommandError(text("error.accept_no_store", data=scene.data), code="not_found")
    path = directory / ACCEPTED_NAME
    write_file(path, f"{state}\n".encode(), 0o600)
    owner = directory.stat()
    os.chown(path, owner.st_uid, owner.st_gid)
    scene.out.say({"state": state}, text("accept.noted", state=state))
