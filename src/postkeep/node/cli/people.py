"""`postkeep user` and `postkeep app-password`."""

from typing import Annotated

import typer

from postkeep.base.ids import parse_id
from postkeep.node.cli import asking
from postkeep.node.cli.output import CommandError, Exit, moment, parse_size, size
from postkeep.node.cli.scene import group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.authority.api import AppPassword, UserInfo
from postkeep.services.steward import api

_COLUMNS = ("address", "name", "kind", "status", "aliases", "quota", "created", "last_sign_in")


def add(app: typer.Typer) -> None:
    """Add the commands."""
    user = group(app, "user", "help.user")
    _add_making(user)
    _add_changing(user)
    _add_app_passwords(group(app, "app-password", "help.app_password"))


def _add_making(user: typer.Typer) -> None:
    @user.command("create", help=text("help.user.create"))
    def create(
        context: typer.Context,
        address: str,
        name: Annotated[str, typer.Option("--name", help=text("help.name"))] = "",
        quota: Annotated[str, typer.Option("--quota", help=text("help.quota"))] = "none",
        *,
        password_stdin: Annotated[
            bool, typer.Option("--password-stdin", help=text("help.password_stdin"))
        ] = False,
        no_password: Annotated[bool, typer.Option("--no-password", help=text("help.no_password"))] = False,
    ) -> None:
        scene = scene_of(context)
        limit = parse_size(quota)
        password = None if no_password else asking.password(from_stdin=password_stdin)
        info = scene.ask("user_create", api.UserCreate(address, name, password, limit), UserInfo)
        scene.out.say(info, text("user.created", address=info.address))

    @user.command("list", help=text("help.user.list"))
    def list_all(context: typer.Context, domain: Annotated[str, typer.Argument()] = "") -> None:
        scene = scene_of(context)
        found = scene.ask("user_list", api.UserAll(domain), api.Users).users
        scene.out.rows(found, _COLUMNS, [_row(info) for info in found])

    @user.command("show", help=text("help.user.show"))
    def show(context: typer.Context, address: str) -> None:
        scene = scene_of(context)
        info = scene.ask("user_show", api.UserShow(address), UserInfo)
        scene.out.row(info, _COLUMNS, _row(info))

    @user.command("delete", help=text("help.user.delete"))
    def delete(
        context: typer.Context,
        address: str,
        *,
        yes: Annotated[bool, typer.Option("--yes", help=text("help.yes"))] = False,
    ) -> None:
        scene = scene_of(context)
        asking.confirm(address, assumed=yes)
        gone = scene.ask("user_delete", api.UserDelete(address), api.Gone)
        scene.out.say(gone, text("deleted", messages=gone.messages, keys=gone.keys))


def _add_changing(user: typer.Typer) -> None:
    def set_status(context: typer.Context, address: str, status: str) -> None:
        scene = scene_of(context)
        scene.out.say(scene.ask("user_status", api.UserStatus(address, status), api.Done), text("done"))

    @user.command("disable", help=text("help.user.disable"))
    def disable(context: typer.Context, address: str) -> None:
        set_status(context, address, "disabled")

    @user.command("enable", help=text("help.user.enable"))
    def enable(context: typer.Context, address: str) -> None:
        set_status(context, address, "active")

    @user.command("password", help=text("help.user.password"))
    def password(
        context: typer.Context,
        address: str,
        *,
        password_stdin: Annotated[
            bool, typer.Option("--password-stdin", help=text("help.password_stdin"))
        ] = False,
    ) -> None:
        scene = scene_of(context)
        request = api.UserPassword(address, asking.password(from_stdin=password_stdin))
        scene.out.say(scene.ask("user_password", request, api.Done), text("done"))

    @user.command("quota", help=text("help.user.quota"))
    def quota(context: typer.Context, address: str, limit: str) -> None:
        scene = scene_of(context)
        request = api.UserQuota(address, parse_size(limit))
        scene.out.say(scene.ask("user_quota", request, api.Done), text("done"))

    @user.command("grant", help=text("help.user.grant"))
    def grant(context: typer.Context, address: str, sender: str) -> None:
        scene = scene_of(context)
        request = api.AddressGrant(address, sender)
        scene.out.say(scene.ask("address_grant", request, api.Done), text("done"))


def _add_app_passwords(app_password: typer.Typer) -> None:
    @app_password.command("create", help=text("help.app_password.create"))
    def create(
        context: typer.Context,
        address: str,
        name: str,
        protocol: Annotated[list[str] | None, typer.Option("--protocol", help=text("help.protocol"))] = None,
    ) -> None:
        scene = scene_of(context)
        request = api.AppPasswordCreate(address, name, protocol or ["imap", "submission"])
        made = scene.ask("app_password_create", request, AppPassword)
        scene.out.say(made, text("app_password.created", password=made.password))

    @app_password.command("list", help=text("help.app_password.list"))
    def list_all(context: typer.Context, address: str) -> None:
        scene = scene_of(context)
        found = scene.ask("app_password_list", api.AppPasswordAll(address), api.AppPasswords).passwords
        cells = [
            (
                one.id.hex(),
                one.name,
                ", ".join(one.protocols),
                moment(one.created_ms),
                moment(one.last_used_ms),
            )
            for one in found
        ]
        scene.out.rows(found, ("id", "name", "protocols", "created", "last_used"), cells)

    @app_password.command("delete", help=text("help.app_password.delete"))
    def delete(context: typer.Context, address: str, password_id: str) -> None:
        scene = scene_of(context)
        try:
            request = api.AppPasswordDelete(address, parse_id(password_id))
        except ValueError as exc:
            raise CommandError(text("error.id"), Exit.USAGE, "id") from exc
        scene.out.say(scene.ask("app_password_delete", request, api.Done), text("done"))


def _row(info: UserInfo) -> tuple[str, ...]:
    return (
        info.address,
        info.name,
        info.kind,
        info.status,
        ", ".join(info.aliases),
        size(info.quota_bytes),
        moment(info.created_ms),
        moment(info.last_sign_in_ms),
    )
