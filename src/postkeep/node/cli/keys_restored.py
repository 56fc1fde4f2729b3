"""`postkeep key accept-restored`: the operator's word that an older key store was put back on purpose."""

import os
from typing import Annotated

import typer

from postkeep.node.cli.output import CommandError
from postkeep.node.cli.scene import scene_of
from postkeep.node.cli.texts import text
from postkeep.node.running import running
from postkeep.services.kms.root_kinds import write_file


def add(key: typer.Typer) -> None:
    """Add the command."""

    @key.command("accept-restored", help=text("help.accept"))
    def accept(
        context: typer.Context, state: Annotated[int, typer.Argument(min=1, help=text("help.accept.state"))]
    ) -> None:
        from postkeep.services.kms.witness import ACCEPTED_NAME

        scene = scene_of(context)
        if running(scene.data) is not None:
            raise CommandError(text("error.accept_running"), code="running")
        directory = scene.data / "state" / "kms"
        if not directory.is_dir():
            raise CommandError(text("error.accept_no_store", data=scene.data), code="not_found")
        path = directory / ACCEPTED_NAME
        write_file(path, f"{state}\n".encode(), 0o600)
        owner = directory.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
        scene.out.say({"state": state}, text("accept.noted", state=state))
