"""`postkeep alias` and `postkeep group`."""

from typing import Annotated

import typer

from postkeep.node.cli import asking
from postkeep.node.cli.output import CommandError, moment
from postkeep.node.cli.scene import Scene, group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.authority.api import UserInfo
from postkeep.services.steward import api

_COLUMNS = ("address", "name", "status", "members", "created")


def add(app: typer.Typer) -> None:
    """Add the commands."""
    _add_alias(group(app, "alias", "help.alias"))
    _add_group(group(app, "group", "help.group"))


def _add_alias(alias: typer.Typer) -> None:
    @alias.command("create", help=text("help.alias.create"))
    def create(context: typer.Context, address: str, target: str) -> None:
        scene = scene_of(context)
        scene.out.say(scene.ask("alias_create", api.AliasCreate(address, target), api.Done), text("done"))

    @alias.command("list", help=text("help.alias.list"))
    def list_all(context: typer.Context, domain: Annotated[str, typer.Argument()] = "") -> None:
        scene = scene_of(context)
        found: list[UserInfo] = []
        for kind in ("user", "group"):
            found += scene.ask("user_list", api.UserAll(domain, kind), api.Users).users
        pairs = [{"alias": alias, "address": info.address} for info in found for alias in info.aliases]
        scene.out.rows(pairs, ("aliases", "address"), [(pair["alias"], pair["address"]) for pair in pairs])

    @alias.command("delete", help=text("help.alias.delete"))
    def delete(context: typer.Context, address: str) -> None:
        scene = scene_of(context)
        scene.out.say(scene.ask("alias_delete", api.AliasDelete(address), api.Done), text("done"))


def _add_group(groups: typer.Typer) -> None:
    @groups.command("create", help=text("help.group.create"))
    def create(
        context: typer.Context,
        address: str,
        name: Annotated[str, typer.Option("--name", help=text("help.name"))] = "",
        member: Annotated[list[str] | None, typer.Option("--member", help=text("help.member"))] = None,
    ) -> None:
        scene = scene_of(context)
        info = scene.ask("group_create", api.GroupCreate(address, name, member or []), UserInfo)
        scene.out.say(info, text("group.created", address=info.address))

    @groups.command("list", help=text("help.group.list"))
    def list_all(context: typer.Context, domain: Annotated[str, typer.Argument()] = "") -> None:
        scene = scene_of(context)
        found = scene.ask("user_list", api.UserAll(domain, "group"), api.Users).users
        scene.out.rows(found, _COLUMNS, [_row(info) for info in found])

    @groups.command("show", help=text("help.group.show"))
    def show(context: typer.Context, address: str) -> None:
        scene = scene_of(context)
        info = _find(scene, address)
        scene.out.row(info, _COLUMNS, _row(info))

    @groups.command("members", help=text("help.group.members"))
    def members(
        context: typer.Context,
        address: str,
        member: Annotated[list[str] | None, typer.Argument(help=text("help.member"))] = None,
    ) -> None:
        scene = scene_of(context)
        done = scene.ask("group_members", api.GroupMembers(address, member or []), api.Done)
        scene.out.say(done, text("done"))

    @groups.command("mailbox", help=text("help.group.mailbox"))
    def mailbox(
        context: typer.Context,
        address: str,
        manager: Annotated[str, typer.Option("--manager", help=text("help.group.manager"))],
    ) -> None:
        scene = scene_of(context)
        done = scene.ask("group_mailbox", api.GroupMailbox(address, manager), api.Done)
        scene.out.say(done, text("group.mailbox", address=address, manager=manager))

    @groups.command("delete", help=text("help.group.delete"))
    def delete(
        context: typer.Context,
        address: str,
        *,
        yes: Annotated[bool, typer.Option("--yes", help=text("help.yes"))] = False,
    ) -> None:
        scene = scene_of(context)
        asking.confirm(address, assumed=yes)
        scene.out.say(scene.ask("group_delete", api.GroupDelete(address), api.Done), text("done"))


def _find(scene: Scene, address: str) -> UserInfo:
    info = scene.ask("user_show", api.UserShow(address), UserInfo)
    if info.kind != "group":
        raise CommandError(text("error.not_group", address=address), code="not_group")
    return info


def _row(info: UserInfo) -> tuple[str, ...]:
    return (info.address, info.name, info.status, ", ".join(info.members), moment(info.created_ms))
