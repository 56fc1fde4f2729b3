"""`postkeep staff` and `postkeep dual-control`: who may act here, and how many of them it takes."""

from typing import Annotated

import typer

from postkeep.base.ids import new_id
from postkeep.node.cli import asking
from postkeep.node.cli.output import moment
from postkeep.node.cli.scene import group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.authority import governance_api as api
from postkeep.services.authority.api import Done

_COLUMNS = ("name", "roles", "status", "created", "last_sign_in", "id")


def add(app: typer.Typer) -> None:
    """Add the commands."""
    staff = group(app, "staff", "help.staff")
    _add_accounts(staff)
    _add_changes(staff)
    _add_dual_control(group(app, "dual-control", "help.dual_control"))


def _add_accounts(staff: typer.Typer) -> None:
    @staff.command("create", help=text("help.staff.create"))
    def create(
        context: typer.Context,
        name: str,
        role: Annotated[list[str], typer.Option("--role", help=text("help.staff.role"))],
        *,
        password_stdin: Annotated[
            bool, typer.Option("--password-stdin", help=text("help.password_stdin"))
        ] = False,
    ) -> None:
        scene = scene_of(context)
        request = api.StaffCreate(new_id(), name, role, asking.password(from_stdin=password_stdin))
        info = scene.ask_authority("staff_create", request, api.StaffInfo)
        scene.out.say(info, text("staff.created", name=info.name, roles=_roles(info)))

    @staff.command("list", help=text("help.staff.list"))
    def list_all(context: typer.Context) -> None:
        scene = scene_of(context)
        found = scene.ask_authority("staff_list", api.StaffAll(), api.StaffList).staff
        owner = scene.data.resolve().stat().st_uid
        machine = {"name": "", "roles": ["operator"], "enabled": True, "uid": owner}
        cells = [(text("staff.machine"), text("role.operator"), text("staff.enabled"), "-", "-", str(owner))]
        scene.out.rows([machine, *found], _COLUMNS, cells + [_row(info) for info in found])

    @staff.command("show", help=text("help.staff.show"))
    def show(context: typer.Context, name: str) -> None:
        scene = scene_of(context)
        info = scene.ask_authority("staff_show", api.StaffShow(name), api.StaffInfo)
        scene.out.row(info, _COLUMNS, _row(info))

    @staff.command("delete", help=text("help.staff.delete"))
    def delete(
        context: typer.Context,
        name: str,
        *,
        yes: Annotated[bool, typer.Option("--yes", help=text("help.yes"))] = False,
    ) -> None:
        scene = scene_of(context)
        asking.confirm(name, assumed=yes)
        scene.out.say(scene.ask_authority("staff_delete", api.StaffDelete(name), Done), text("done"))


def _add_changes(staff: typer.Typer) -> None:
    def set_status(context: typer.Context, name: str, *, enabled: bool) -> None:
        scene = scene_of(context)
        info = scene.ask_authority("staff_status", api.StaffStatus(name, enabled), api.StaffInfo)
        scene.out.say(info, text("done"))

    @staff.command("disable", help=text("help.staff.disable"))
    def disable(context: typer.Context, name: str) -> None:
        set_status(context, name, enabled=False)

    @staff.command("enable", help=text("help.staff.enable"))
    def enable(context: typer.Context, name: str) -> None:
        set_status(context, name, enabled=True)

    @staff.command("roles", help=text("help.staff.roles"))
    def roles(
        context: typer.Context,
        name: str,
        role: Annotated[list[str], typer.Option("--role", help=text("help.staff.role"))],
    ) -> None:
        scene = scene_of(context)
        info = scene.ask_authority("staff_roles", api.StaffRoles(name, role), api.StaffInfo)
        scene.out.row(info, _COLUMNS, _row(info))

    @staff.command("password", help=text("help.staff.password"))
    def password(
        context: typer.Context,
        name: str,
        *,
        password_stdin: Annotated[
            bool, typer.Option("--password-stdin", help=text("help.password_stdin"))
        ] = False,
    ) -> None:
        scene = scene_of(context)
        chosen = asking.password(from_stdin=password_stdin)
        if scene.staff.strip().lower() == name.strip().lower():
            info = scene.ask_authority("staff_own_password", api.StaffOwnPassword(chosen), api.StaffInfo)
        else:
            info = scene.ask_authority("staff_password", api.StaffPassword(name, chosen), api.StaffInfo)
        scene.out.say(info, text("done"))


def _add_dual_control(dual_control: typer.Typer) -> None:
    def say(context: typer.Context, info: api.DualControlInfo) -> None:
        key = "dual_control.on" if info.on else "dual_control.off"
        values = {"since": moment(info.since_ms), "needed": info.approvals_needed} if info.on else {}
        scene_of(context).out.say(info, text(key, approvers=info.approvers, **values))

    def switch(context: typer.Context, *, on: bool) -> None:
        request = api.SetDualControl(on)
        say(context, scene_of(context).ask_authority("set_dual_control", request, api.DualControlInfo))

    @dual_control.command("on", help=text("help.dual_control.on"))
    def turn_on(context: typer.Context) -> None:
        switch(context, on=True)

    @dual_control.command("off", help=text("help.dual_control.off"))
    def turn_off(context: typer.Context) -> None:
        switch(context, on=False)

    @dual_control.command("status", help=text("help.dual_control.status"))
    def status(context: typer.Context) -> None:
        scene = scene_of(context)
        say(context, scene.ask_authority("dual_control", api.DualControl(), api.DualControlInfo))


def _roles(info: api.StaffInfo) -> str:
    return ", ".join(text(f"role.{role}") for role in info.roles)


def _row(info: api.StaffInfo) -> tuple[str, ...]:
    return (
        info.name,
        _roles(info),
        text("staff.enabled" if info.enabled else "staff.disabled"),
        moment(info.created_ms),
        moment(info.last_sign_in_ms),
        info.staff.hex(),
    )
