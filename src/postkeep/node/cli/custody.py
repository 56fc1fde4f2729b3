"""`postkeep tenant custody`: a company's own key over its mail, in its token or behind its key server."""

import hashlib
import secrets
from pathlib import Path
from typing import Annotated

import typer

from postkeep.node.cli import asking
from postkeep.node.cli.output import CommandError, Exit
from postkeep.node.cli.scene import Scene, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.custody.api import Place
from postkeep.services.kms.custody_api import Custodian, SetCustody, custodian_of


def add(tenant: typer.Typer) -> None:
    """Add the command to its group."""

    @tenant.command("custody", help=text("help.tenant.custody"))
    def custody(
        context: typer.Context,
        domain: str,
        *,
        pkcs11: Annotated[str, typer.Option("--pkcs11", help=text("help.custody.pkcs11"))] = "",
        token: Annotated[str, typer.Option("--token", help=text("help.custody.token"))] = "",
        transit: Annotated[str, typer.Option("--transit", help=text("help.custody.transit"))] = "",
        mount: Annotated[str, typer.Option("--mount", help=text("help.custody.mount"))] = "transit",
        key: Annotated[str, typer.Option("--key", help=text("help.custody.key"))] = "",
        secret_file: Annotated[
            Path | None, typer.Option("--secret-file", help=text("help.custody.secret_file"))
        ] = None,
        ca_file: Annotated[Path | None, typer.Option("--ca-file", help=text("help.custody.ca_file"))] = None,
        back: Annotated[bool, typer.Option("--back", help=text("help.custody.back"))] = False,
        check: Annotated[bool, typer.Option("--check", help=text("help.custody.check"))] = False,
    ) -> None:
        scene = scene_of(context)
        if sum(map(bool, (pkcs11, transit, back, check))) > 1:
            raise CommandError(text("error.custody_choice"), Exit.USAGE, "usage")
        if pkcs11 or transit:
            place = _place(pkcs11, token, transit, mount, key, secret_file, ca_file)
            _change(scene, domain, place)
        elif back:
            _change(scene, domain, None)
        else:
            _show(scene, domain, ask=check)


def _place(  # noqa: PLR0917 - as the options come
    pkcs11: str,
    token: str,
    transit: str,
    mount: str,
    key: str,
    secret_file: Path | None,
    ca_file: Path | None,
) -> Place:
    if not key or secret_file is None or (pkcs11 and not token) or (transit and ca_file is None):
        raise CommandError(text("error.custody_options"), Exit.USAGE, "usage")
    secret = asking.private_line(str(secret_file)).decode("utf-8", "replace").rstrip("\r\n")
    if pkcs11:
        return Place("pkcs11", pkcs11, key, token=token, secret=secret)
    try:
        ca_pem = ca_file.read_text("ascii") if ca_file else ""
    except (OSError, UnicodeDecodeError) as exc:
        raise CommandError(text("error.custody_ca", path=ca_file), Exit.USAGE, "ca_file") from exc
    return Place("transit", transit, key, ca_pem=ca_pem, mount=mount, secret=secret)


def _change(scene: Scene, domain: str, place: Place | None) -> None:
    from postkeep.services.kms.api import Done
    from postkeep.services.steward.custody_api import CustodyOpened, TenantCustody

    key = secrets.token_bytes(32)
    custodian = custodian_of(place)
    request = TenantCustody(domain, custodian, hashlib.sha256(key).digest())
    tenant = scene.ask("tenant_custody", request, CustodyOpened).tenant
    scene.ask_kms("set_custody", SetCustody(tenant, key, place), Done)
    scene.out.say(custodian, text(f"custody.set.{custodian.kind or 'root'}", domain=domain))


def _show(scene: Scene, domain: str, *, ask: bool) -> None:
    from postkeep.services.steward.custody_api import TenantCustodyShow

    found = scene.ask("tenant_custody_show", TenantCustodyShow(domain, ask), Custodian)
    lines = [
        text(f"custody.show.{found.kind or 'root'}", where=found.where, name=found.key, token=found.token)
    ]
    if ask and found.kind:
        lines.append(text("custody.agrees"))
    scene.out.lines(found, lines)
