"""The tree of commands."""

from pathlib import Path
from typing import Annotated

import typer

from postkeep.node.cli import (
    access,
    addresses,
    asking,
    backup,
    certificates,
    destroy,
    explain,
    holds,
    keys,
    ledger,
    local,
    media,
    people,
    policy,
    queue,
    requests,
    staff,
    tenants,
    witness,
)
from postkeep.node.cli.output import CommandError, Exit
from postkeep.node.cli.scene import Scene
from postkeep.node.cli.texts import text


def build() -> typer.Typer:
    """Put the commands together, with help in the language chosen."""
    app = typer.Typer(
        help=text("help.app"),
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.callback()
    def begin(
        context: typer.Context,
        data: Annotated[Path, typer.Option("--data", help=text("help.data"), readable=False)] = Path("./var"),
        *,
        as_json: Annotated[bool, typer.Option("--json", help=text("help.json"))] = False,
        _lang: Annotated[str, typer.Option("--lang", help=text("help.lang"))] = "",
        staff: Annotated[str, typer.Option("--as", help=text("help.as"))] = "",
        password_stdin: Annotated[bool, typer.Option("--password-stdin", help=text("help.as_stdin"))] = False,
    ) -> None:
        if password_stdin and not staff:
            raise CommandError(text("error.as_missing"), Exit.USAGE, "as_missing")
        password = asking.staff_password(staff, from_stdin=True) if password_stdin else None
        context.obj = Scene(data, as_json=as_json, staff=staff, password=password)

    for commands in (
        local,
        tenants,
        people,
        addresses,
        queue,
        keys,
        ledger,
        access,
        staff,
        requests,
        media,
        explain,
        policy,
        witness,
        backup,
        destroy,
        holds,
        certificates,
    ):
        commands.add(app)
    return app
