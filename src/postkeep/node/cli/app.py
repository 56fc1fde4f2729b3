"""The tree of commands. Its names stand here; the code behind one is imported when that one is asked for."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_group

from postkeep.node.cli import asking
from postkeep.node.cli.output import CommandError, Exit
from postkeep.node.cli.scene import Scene
from postkeep.node.cli.texts import text

COMMANDS: Final = {
    "local": ("init", "serve", "doctor", "version"),
    "tenants": ("tenant", "domain"),
    "people": ("user", "app-password"),
    "tokens": ("token",),
    "addresses": ("alias", "group"),
    "queue": ("queue", "store"),
    "keys": ("key",),
    "ledger": ("ledger",),
    "access": ("access",),
    "sharing": ("mailbox",),
    "staff": ("staff", "dual-control"),
    "requests": ("request", "approve", "decline"),
    "media": ("media",),
    "explain": ("explain",),
    "policy": ("policy",),
    "witness": ("witness",),
    "backup": ("backup",),
    "destroy": ("destroy", "order"),
    "holds": ("hold",),
    "export": ("export",),
    "certificates": ("certificate",),
}
"""Each module of this package with the commands and groups that its `add` puts together."""
_MODULE_OF: Final = {name: module for module, names in COMMANDS.items() for name in names}


class _Tree(TyperGroup):
    """Names and help for all; the command itself, with all that it imports, for the one that is called.

    A command starts in a third of the time that it would take to import the others with it.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, named, rest = super().resolve_command(ctx, args)
        return name, named if name is None else _load(name), rest


def build() -> typer.Typer:
    """Put the commands together, with help in the language chosen."""
    app = _typer(cls=_Tree, help=text("help.app"), no_args_is_help=True)

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

    for name in _MODULE_OF:
        app.command(name, help=text(f"help.{name.replace('-', '_')}"))(_load)
    return app


def _load(name: str) -> Any:
    """Import what stands behind a command or group; returns it as the parser knows it."""
    part = _typer()
    import_module(f"{__package__}.{_MODULE_OF[name]}").add(part)
    return get_group(part).commands[name]


def _typer(**settings: Any) -> typer.Typer:
    return typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, **settings
    )
