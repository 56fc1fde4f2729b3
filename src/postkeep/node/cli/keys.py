"""`postkeep key`: the commands about keys."""

import typer

from postkeep.node.cli import keys_root, keys_rotation
from postkeep.node.cli.scene import group


def add(app: typer.Typer) -> None:
    """Add the commands."""
    key = group(app, "key", "help.key")
    keys_root.add(key)
    keys_rotation.add(key)
