"""`postkeep policy`: the text that says who may be given which ticket."""

import typer

from postkeep.node.cli.scene import group, scene_of
from postkeep.node.cli.texts import text


def add(app: typer.Typer) -> None:
    """Add the commands."""
    policy = group(app, "policy", "help.policy")

    @policy.command("show", help=text("help.policy.show"))
    def show(context: typer.Context) -> None:
        from postkeep.services.authority.policy import load_policy

        scene = scene_of(context)
        loaded = load_policy()
        scene.out.say({"policies": loaded.names(), "text": loaded.text}, loaded.text.rstrip())
