"""What every command knows: which node, and how to answer."""

from pathlib import Path
from typing import TypeVar

import msgspec
import typer

from postkeep.node.cli.output import Output
from postkeep.node.cli.texts import text

T = TypeVar("T")


class Scene:
    """The data directory and the output of one command."""

    def __init__(self, data: Path, *, as_json: bool) -> None:
        self.data = data
        self.out = Output(as_json=as_json)

    def ask(self, method: str, request: msgspec.Struct, reply: type[T]) -> T:
        """Ask the steward of the running node."""
        from postkeep.node.cli.operator import call

        return call(self.data, f"steward.{method}", request, reply)


def scene_of(context: typer.Context) -> Scene:
    """Return the scene that the root command has set."""
    scene = context.obj
    assert isinstance(scene, Scene)
    return scene


def group(app: typer.Typer, name: str, help_key: str) -> typer.Typer:
    """Add a group of commands."""
    made = typer.Typer(help=text(help_key), no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(made, name=name)
    return made
