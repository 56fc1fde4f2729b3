"""`postkeep key`: the commands about keys."""

import typer

from postkeep.node.cli import keys_root
from postkeep.node.cli.scene import group


def add(app: typer.Typer) -> None:
    """Add the commands."""
    key = group(app, "key", "help.key")
    keys_root.add(key)
