"""`postkeep queue` and `postkeep store`."""

from typing import Annotated

import typer

from postkeep.base.ids import parse_id
from postkeep.node.cli.output import CommandError, Exit, moment, size
from postkeep.node.cli.scene import Scene, group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.queue.api import QueueRow
from postkeep.services.steward import api

_COLUMNS = ("id", "destination", "recipients", "size", "attempts", "created", "due", "state", "reason")
_LIST_MAX = 10_000


def add(app: typer.Typer) -> None:
    """Add the commands."""
    queue = group(app, "queue", "help.queue")
    _add_looking(queue)
    for act in ("retry", "hold", "release", "delete"):
        _add_act(queue, act)
    _add_store(group(app, "store", "help.store"))


def _add_looking(queue: typer.Typer) -> None:
    @queue.command("list", help=text("help.queue.list"))
    def list_all(context: typer.Context, domain: Annotated[str, typer.Argument()] = "") -> None:
        scene = scene_of(context)
        _print(scene, scene.ask("queue_list", api.QueueAll(domain), api.QueueItems).rows)

    @queue.command("show", help=text("help.queue.show"))
    def show(context: typer.Context, item: str) -> None:
        scene = scene_of(context)
        wanted = _ids([item])[0]
        found = scene.ask("queue_list", api.QueueAll("", _LIST_MAX), api.QueueItems).rows
        rows = [row for row in found if row.id == wanted]
        if not rows:
            raise CommandError(text("error.no_item"), code="not_found")
        scene.out.row(rows[0], _COLUMNS, _row(rows[0]))


def _add_act(queue: typer.Typer, act: str) -> None:
    @queue.command(act, help=text(f"help.queue.{act}"))
    def change(
        context: typer.Context,
        items: Annotated[list[str] | None, typer.Argument()] = None,
        *,
        everything: Annotated[bool, typer.Option("--all", help=text("help.all"))] = False,
    ) -> None:
        scene = scene_of(context)
        if bool(items) == everything:
            raise CommandError(text("error.ids"), Exit.USAGE, "ids")
        changed = scene.ask("queue_act", api.QueueChange(act, _ids(items or [])), api.Counted)
        scene.out.say(changed, text("queue.changed", count=changed.count))


def _add_store(store: typer.Typer) -> None:
    @store.callback()
    def begin() -> None:
        """Keep `check` a subcommand although it is the only one."""

    @store.command("check", help=text("help.store.check"))
    def check(context: typer.Context) -> None:
        scene = scene_of(context)
        state = scene.ask("store_check", api.StoreCheck(), api.StoreState)
        good = text("store.good", mailboxes=state.mailboxes, messages=state.messages, bodies=state.bodies)
        scene.out.lines(state, [text("store.bad"), *state.problems] if state.problems else [good])
        raise typer.Exit(Exit.PROBLEMS if state.problems else Exit.OK)


def _print(scene: Scene, rows: list[QueueRow]) -> None:
    scene.out.rows(rows, _COLUMNS, [_row(row) for row in rows])


def _ids(items: list[str]) -> list[bytes]:
    try:
        return [parse_id(item) for item in items]
    except ValueError as exc:
        raise CommandError(text("error.id"), Exit.USAGE, "id") from exc


def _row(row: QueueRow) -> tuple[str, ...]:
    state = "held" if row.held else "under way" if row.leased else "waiting"
    return (
        row.id.hex(),
        row.destination,
        str(row.recipients),
        size(row.size),
        str(row.attempts),
        moment(row.created_ms),
        moment(row.not_before_ms),
        state,
        row.reason,
    )
