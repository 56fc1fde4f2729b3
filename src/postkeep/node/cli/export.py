"""`postkeep export`: a person's mail in one sealed file, on an approved request; and taken out of it again.

The command itself reads the mail: with a grant that names its request, a key of its own that ends with it,
and no other right. What it reads is in its memory only; on the disk it is sealed.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from postkeep.base.errors import IntegrityError, NotFoundError
from postkeep.node.cli import asking
from postkeep.node.cli.export_writing import export_mail, new_file, unwritable
from postkeep.node.cli.output import CommandError, Exit, instant, size
from postkeep.node.cli.scene import Scene, group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.steward.exports_api import ExportAsk, ExportAsked

if TYPE_CHECKING:
    from postkeep.crypto.export_file import Sealed
    from postkeep.services.export.contents import End

PassphraseFile = Annotated[str, typer.Option("--passphrase-file", help=text("help.export.passphrase_file"))]
PassphraseStdin = Annotated[
    bool, typer.Option("--passphrase-stdin", help=text("help.export.passphrase_stdin"))
]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    export = group(app, "export", "help.export")
    _add_create(export)
    _add_open(export)
    _add_key(export)


def _add_create(export: typer.Typer) -> None:
    @export.command("create", help=text("help.export.create"))
    def create(  # noqa: PLR0917 - typer's way to name options
        context: typer.Context,
        address: str,
        into: Annotated[Path, typer.Option("--into", help=text("help.export.into"))],
        reason: Annotated[str, typer.Option("--reason", help=text("help.export.reason"))] = "",
        mailbox: Annotated[str, typer.Option("--mailbox", help=text("help.export.mailbox"))] = "",
        since: Annotated[str, typer.Option("--since", help=text("help.export.since"))] = "",
        until: Annotated[str, typer.Option("--until", help=text("help.export.until"))] = "",
        recipient: Annotated[Path | None, typer.Option("--for", help=text("help.export.for"))] = None,
        passphrase_file: PassphraseFile = "",
        *,
        passphrase_stdin: PassphraseStdin = False,
    ) -> None:
        from postkeep.crypto import export_file

        scene = scene_of(context)
        times = instant(since), instant(until)
        if os.path.lexists(into):
            raise CommandError(text("error.export_there", path=into), Exit.USAGE, "export_there")
        if not into.parent.is_dir():
            raise CommandError(text("error.export_nowhere", path=into.parent), Exit.USAGE, "export_nowhere")
        public = b""
        if recipient is not None:
            if passphrase_file or passphrase_stdin:
                raise CommandError(text("error.export_recipient"), Exit.USAGE, "export_recipient")
            public = export_file.read_public_key(_read(recipient, export_file.KEY_FILE_BYTES_MAX))
        named = export_file.fingerprint(public) if public else b""
        ask = ExportAsk(
            address=address,
            mailbox=mailbox,
            since_ms=times[0],
            until_ms=times[1],
            recipient=named,
            reason=reason,
        )
        asked = scene.ask("export_ask", ask, ExportAsked)

        def seal() -> "Sealed":
            if public:
                return export_file.seal_to(public)
            secret = asking.file_passphrase(passphrase_file, from_stdin=passphrase_stdin, new=True)
            return export_file.seal_with_passphrase(secret.reveal())

        end, digest, why = asyncio.run(export_mail(scene, asked, into, seal))
        _say_created(scene, asked, into, end, digest, why)


def _say_created(  # noqa: PLR0917 - an export, and what came of it
    scene: Scene, asked: ExportAsked, into: Path, end: "End", digest: bytes, why: str
) -> None:
    value = {
        "file": str(into),
        "request": asked.request,
        "messages": end.messages,
        "unreadable": end.unreadable,
        "octets": end.octets,
        "sha256": digest.hex(),
        "closed": not why,
    }
    lines = [
        text("export.done", messages=end.messages, size=size(end.octets), path=into, digest=digest.hex())
    ]
    if end.unreadable:
        lines.append(text("export.unreadable", count=end.unreadable))
    if why:
        lines.append(text("export.not_closed", request=asked.request.hex(), why=why))
    scene.out.lines(value, lines)
    if end.unreadable or why:
        raise typer.Exit(Exit.PROBLEMS)


def _add_open(export: typer.Typer) -> None:
    @export.command("open", help=text("help.export.open"))
    def open_export(
        context: typer.Context,
        file: Path,
        into: Annotated[Path, typer.Option("--into", help=text("help.export.directory"))],
        private_key: Annotated[Path | None, typer.Option("--with", help=text("help.export.with"))] = None,
        passphrase_file: PassphraseFile = "",
        *,
        passphrase_stdin: PassphraseStdin = False,
    ) -> None:
        from postkeep.crypto import export_file
        from postkeep.services.export.sealed_file import SealedReader
        from postkeep.services.export.unpacking import unpack

        scene = scene_of(context)

        def opens(kind: int) -> Callable[[bytes], bytes]:
            if kind == export_file.PUBLIC_KEY and private_key is None:
                raise CommandError(text("error.export_private_key"), Exit.USAGE, "export_private_key")
            secret = asking.file_passphrase(passphrase_file, from_stdin=passphrase_stdin, new=False)
            if kind == export_file.PUBLIC_KEY and private_key is not None:
                private = _read(private_key, export_file.KEY_FILE_BYTES_MAX)
                return export_file.by_private_key(private, secret.reveal())
            return export_file.by_passphrase(secret.reveal())

        try:
            with file.open("rb") as source:
                head, end = unpack(SealedReader(source, opens), into)
        except OSError as exc:
            raise unwritable(Path(exc.filename or file), exc) from exc
        except IntegrityError as exc:
            if exc.code != IntegrityError.code:
                raise
            damaged = text("error.export_damaged", why=exc.detail)
            raise CommandError(damaged, Exit.PROBLEMS, "export_damaged") from exc
        value = {
            "directory": str(into),
            "address": head.address,
            "request": head.request,
            "approved": head.approved,
            "messages": end.messages,
            "unreadable": end.unreadable,
            "octets": end.octets,
        }
        done = text(
            "export.opened", messages=end.messages, size=size(end.octets), address=head.address, path=into
        )
        lines = [done, head.approved]
        if end.unreadable:
            lines.append(text("export.unreadable", count=end.unreadable))
        scene.out.lines(value, lines)


def _add_key(export: typer.Typer) -> None:
    @export.command("key", help=text("help.export.key"))
    def key(
        context: typer.Context,
        file: Annotated[Path, typer.Argument(help=text("help.export.key_file"))],
        passphrase_file: PassphraseFile = "",
        *,
        passphrase_stdin: PassphraseStdin = False,
    ) -> None:
        from postkeep.crypto import export_file

        scene = scene_of(context)
        public_file = file.with_name(file.name + ".pub")
        for path in (file, public_file):
            if os.path.lexists(path):
                raise CommandError(text("error.export_there", path=path), Exit.USAGE, "export_there")
        secret = asking.file_passphrase(passphrase_file, from_stdin=passphrase_stdin, new=True)
        public, private = export_file.new_key_pair(secret.reveal())
        for path, octets in ((file, private), (public_file, public)):
            with new_file(path) as written:
                written.write(octets)
                written.flush()
                os.fsync(written.fileno())
        fingerprint = export_file.fingerprint(export_file.read_public_key(public)).hex()
        value = {"private": str(file), "public": str(public_file), "fingerprint": fingerprint}
        said = text("export.key_made", public=public_file, private=file, fingerprint=fingerprint)
        scene.out.say(value, said)


def _read(path: Path, octets_max: int) -> bytes:
    """Read a small file; what is larger is cut, and so is none of ours."""
    try:
        with path.open("rb") as file:
            return file.read(octets_max + 1)
    except OSError as exc:
        raise NotFoundError(code="unreadable", public_text=text("error.unreadable", path=path)) from exc
