"""`postkeep key`: the commands about keys."""

import typer

from postkeep.node.cli import keys_ceilings, keys_restored, keys_root, keys_rotation
from postkeep.node.cli.scene import group


def add(app: typer.Typer) -> None:
    """Add the commands."""
    key = group(app, "key", "help.key")
    keys_root.add(key)
    keys_rotation.add(key)
    keys_ceilings.add(key)
    keys_restored.add(key)
