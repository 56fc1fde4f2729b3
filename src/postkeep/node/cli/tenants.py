"""`postkeep tenant` and `postkeep domain`."""

from typing import Annotated

import typer

from postkeep.node.cli import asking, custody
from postkeep.node.cli.output import moment
from postkeep.node.cli.scene import group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.authority.api import TenantInfo
from postkeep.services.steward import api

_COLUMNS = ("name", "domains", "status", "users", "created", "id")


def add(app: typer.Typer) -> None:
    """Add the commands."""
    tenant = group(app, "tenant", "help.tenant")
    _add_tenant(tenant)
    custody.add(tenant)
    _add_domain(group(app, "domain", "help.domain"))


def _add_tenant(tenant: typer.Typer) -> None:
    @tenant.command("create", help=text("help.tenant.create"))
    def create(
        context: typer.Context,
        domain: str,
        name: Annotated[str, typer.Option("--name", help=text("help.name"))] = "",
    ) -> None:
        scene = scene_of(context)
        info = scene.ask("tenant_create", api.TenantCreate(domain, name), TenantInfo)
        scene.out.say(info, text("tenant.created", name=info.name, domain=info.domains[0]))

    @tenant.command("list", help=text("help.tenant.list"))
    def list_all(context: typer.Context) -> None:
        scene = scene_of(context)
        found = scene.ask("tenant_list", api.TenantAll(), api.Tenants).tenants
        scene.out.rows(found, _COLUMNS, [_row(info) for info in found])

    @tenant.command("show", help=text("help.tenant.show"))
    def show(context: typer.Context, domain: str) -> None:
        scene = scene_of(context)
        info = scene.ask("tenant_show", api.TenantShow(domain), TenantInfo)
        scene.out.row(info, _COLUMNS, _row(info))

    @tenant.command("delete", help=text("help.tenant.delete"))
    def delete(
        context: typer.Context,
        domain: str,
        *,
        yes: Annotated[bool, typer.Option("--yes", help=text("help.yes"))] = False,
    ) -> None:
        scene = scene_of(context)
        asking.confirm(domain, assumed=yes)
        gone = scene.ask("tenant_delete", api.TenantDelete(domain), api.Gone)
        scene.out.say(gone, text("deleted", messages=gone.messages, keys=gone.keys))


def _add_domain(domain: typer.Typer) -> None:
    @domain.command("add", help=text("help.domain.add"))
    def add_domain(context: typer.Context, tenant_domain: str, new_domain: str) -> None:
        scene = scene_of(context)
        done = scene.ask("domain_add", api.DomainAdd(tenant_domain, new_domain), api.Done)
        scene.out.say(done, text("done"))

    @domain.command("list", help=text("help.domain.list"))
    def list_all(context: typer.Context) -> None:
        scene = scene_of(context)
        found = scene.ask("tenant_list", api.TenantAll(), api.Tenants).tenants
        pairs = [{"domain": name, "tenant": info.name} for info in found for name in info.domains]
        scene.out.rows(pairs, ("domain", "name"), [(pair["domain"], pair["tenant"]) for pair in pairs])

    @domain.command("delete", help=text("help.domain.delete"))
    def delete(context: typer.Context, domain_name: str) -> None:
        scene = scene_of(context)
        done = scene.ask("domain_delete", api.DomainDelete(domain_name), api.Done)
        scene.out.say(done, text("done"))


def _row(info: TenantInfo) -> tuple[str, ...]:
    return (
        info.name,
        ", ".join(info.domains),
        info.status,
        str(info.users),
        moment(info.created_ms),
        info.tenant.hex(),
    )
