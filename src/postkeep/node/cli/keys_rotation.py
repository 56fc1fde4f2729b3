"""`postkeep key rotate` and `postkeep key rotation`: new generations of keys, and how far they are."""

import time
from typing import Annotated

import typer

from postkeep.node.cli import ticket_keys
from postkeep.node.cli.output import moment
from postkeep.node.cli.scene import Scene, group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.steward.rotation_api import KeyRotate, KeyRotations, RotationShown, RotationsShown

POLL_SECONDS = 0.5
"""Between looks while a command waits for a rotation's end."""
_COLUMNS = ("id", "key", "of", "generation", "phase", "progress", "started", "ended")


def add(key: typer.Typer) -> None:
    """Add the commands."""
    rotate = group(key, "rotate", "help.rotate")
    _add_rotate(rotate)
    ticket_keys.add(rotate)
    rotation = group(key, "rotation", "help.rotation")
    _add_looking(rotation)


def _add_rotate(rotate: typer.Typer) -> None:
    @rotate.command("root", help=text("help.rotate.root"))
    def root(
        context: typer.Context,
        *,
        wait: Annotated[bool, typer.Option("--wait", help=text("help.rotate.wait"))] = False,
    ) -> None:
        _begin(scene_of(context), KeyRotate("root"), wait=wait)

    @rotate.command("tenant", help=text("help.rotate.tenant"))
    def tenant(
        context: typer.Context,
        domain: str,
        *,
        wait: Annotated[bool, typer.Option("--wait", help=text("help.rotate.wait"))] = False,
    ) -> None:
        _begin(scene_of(context), KeyRotate("tenant", domain), wait=wait)

    @rotate.command("category", help=text("help.rotate.category"))
    def category(
        context: typer.Context,
        domain: str,
        category: Annotated[str, typer.Argument(help=text("help.rotate.which"))],
        *,
        wait: Annotated[bool, typer.Option("--wait", help=text("help.rotate.wait"))] = False,
    ) -> None:
        _begin(scene_of(context), KeyRotate("category", domain, category), wait=wait)

    @rotate.command("principal", help=text("help.rotate.principal"))
    def principal(
        context: typer.Context,
        address: str,
        *,
        wait: Annotated[bool, typer.Option("--wait", help=text("help.rotate.wait"))] = False,
    ) -> None:
        _begin(scene_of(context), KeyRotate("principal", address), wait=wait)


def _add_looking(rotation: typer.Typer) -> None:
    @rotation.command("list", help=text("help.rotation.list"))
    def list_all(context: typer.Context) -> None:
        scene = scene_of(context)
        found = scene.ask("key_rotations", KeyRotations(), RotationsShown).rotations
        scene.out.rows(found, _COLUMNS, [_cells(item) for item in found])

    @rotation.command("show", help=text("help.rotation.show"))
    def show(context: typer.Context, rotation: str) -> None:
        scene = scene_of(context)
        found = _look(scene, rotation)
        scene.out.row(found, _COLUMNS, _cells(found))


def _begin(scene: Scene, request: KeyRotate, *, wait: bool) -> None:
    shown = scene.ask("key_rotate", request, RotationShown)
    while wait and shown.ended_ms is None:
        time.sleep(POLL_SECONDS)
        shown = _look(scene, shown.id)
    if shown.ended_ms is None:
        sentence = text("rotation.begun", id=shown.id, generation=shown.generation)
    else:
        sentence = text(f"rotation.{shown.phase}", generation=shown.generation, count=shown.done)
    scene.out.say(shown, sentence)


def _look(scene: Scene, rotation: str) -> RotationShown:
    return scene.ask("key_rotations", KeyRotations(rotation), RotationsShown).rotations[0]


def _cells(item: RotationShown) -> tuple[str, ...]:
    kind = text(f"rotation.kind.{item.kind}")
    return (
        item.id,
        f"{kind} {item.category}".strip(),
        item.principal or item.tenant or "-",
        str(item.generation),
        text(f"rotation.phase.{item.phase}"),
        f"{item.done}/{max(item.total, item.done)}",
        moment(item.started_ms),
        moment(item.ended_ms),
    )
