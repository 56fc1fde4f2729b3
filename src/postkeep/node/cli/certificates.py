"""`postkeep certificate`: certificates of destruction, shown and checked with nothing but public keys."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from postkeep.base.errors import IntegrityError
from postkeep.node.cli.destroy import identifier
from postkeep.node.cli.output import CommandError, Exit
from postkeep.node.cli.scene import group, scene_of
from postkeep.node.cli.texts import language, text
from postkeep.node.supervisor.layout import CERTIFICATE_KEY_FILE, LEDGER_KEY_FILE, LEDGER_MLDSA44_FILE
from postkeep.services.destruction.certificate import CERTIFICATE_BYTES_MAX, Keys, verify
from postkeep.services.steward import orders_api as api


def add(app: typer.Typer) -> None:
    """Add the commands."""
    certificate = group(app, "certificate", "help.certificate")

    @certificate.command("show", help=text("help.certificate.show"))
    def show(
        context: typer.Context,
        order_id: str,
        output: Annotated[Path | None, typer.Option("--output", help=text("help.certificate.output"))] = None,
        pdf: Annotated[Path | None, typer.Option("--pdf", help=text("help.certificate.pdf"))] = None,
    ) -> None:
        scene = scene_of(context)
        request = api.CertificateGet(identifier(order_id))
        data = scene.ask("certificate", request, api.CertificateData).certificate
        if output is not None:
            _write(output, data + b"\n")
        if pdf is not None:
            from postkeep.services.destruction.paper import write_pdf

            _write(pdf, write_pdf(data, chinese=language() == 1))
        if output is None and pdf is None:
            sys.stdout.buffer.write(data + b"\n")
        else:
            scene.out.say(
                {"files": [str(path) for path in (output, pdf) if path is not None]},
                text("certificate.written"),
            )

    @certificate.command("verify", help=text("help.certificate.verify"))
    def check(
        context: typer.Context,
        file: Path,
        key: Annotated[Path | None, typer.Option("--key", help=text("help.certificate.key"))] = None,
    ) -> None:
        scene = scene_of(context)
        keys = _keys(key or scene.data)
        try:
            with file.open("rb") as opened:
                body = verify(opened.read(CERTIFICATE_BYTES_MAX + 1), keys)
        except OSError as exc:
            raise CommandError(text("error.unreadable", path=file), Exit.USAGE, "unreadable") from exc
        except IntegrityError as error:
            message = text("certificate.bad", why=error.detail)
            raise CommandError(message, Exit.PROBLEMS, "integrity") from error
        scene.out.say(body, text("certificate.good", id=body.certificate, unit=text(f"unit.{body.unit}")))


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as exc:
        raise CommandError(text("error.unwritable", path=path), Exit.USAGE, "unwritable") from exc


def _keys(directory: Path) -> Keys:
    """Read the public keys that a node publishes in its data directory, or a copy of these files."""
    names = (CERTIFICATE_KEY_FILE, LEDGER_KEY_FILE, LEDGER_MLDSA44_FILE)
    try:
        return Keys(*(bytes.fromhex((directory / name).read_text("ascii").strip()) for name in names))
    except (OSError, ValueError) as exc:
        message = text("error.certificate_keys", path=directory, names=", ".join(names))
        raise CommandError(message, Exit.USAGE, "keys") from exc
