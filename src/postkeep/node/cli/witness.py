"""`postkeep witness`: the witness program itself, and what a node's witnesses say."""

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from postkeep.node.cli import asking
from postkeep.node.cli.output import CommandError, Exit, moment
from postkeep.node.cli.scene import Scene, group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.steward import witnesses_api as api
from postkeep.stores.witness_logs import KeptWitness, KnownLog, WitnessDirectory

if TYPE_CHECKING:
    from postkeep.base.secret import Secret
    from postkeep.services.witness.cosigner import Cosigner

PassphraseFile = Annotated[str, typer.Option("--passphrase-file", help=text("help.witness.passphrase_file"))]
PassphraseStdin = Annotated[
    bool, typer.Option("--passphrase-stdin", help=text("help.witness.passphrase_stdin"))
]

_PORT_MAX = 65_535


def add(app: typer.Typer) -> None:
    """Add the commands."""
    witness = group(app, "witness", "help.witness")
    _add_own(witness)
    _add_serve(witness)
    _add_logs(group(witness, "log", "help.witness.log"))
    _add_status(witness)


def _add_own(witness: typer.Typer) -> None:
    @witness.command("init", help=text("help.witness.init"))
    def init(
        context: typer.Context,
        name: Annotated[str, typer.Argument(help=text("help.witness.name"))],
        *,
        sealed: Annotated[bool, typer.Option("--sealed", help=text("help.witness.sealed"))] = False,
        passphrase_file: PassphraseFile = "",
        passphrase_stdin: PassphraseStdin = False,
    ) -> None:
        from postkeep.services.witness.sealing import draw

        scene = scene_of(context)
        secret = None
        if sealed or passphrase_file or passphrase_stdin:
            secret = _passphrase(passphrase_file, from_stdin=passphrase_stdin, new=True)
        kept = draw(name, secret)
        WitnessDirectory(scene.data).create(kept)
        keys = _keys(kept)
        scene.out.lines({"name": name, "keys": keys}, [text("witness.made", name=name), *keys])

    @witness.command("key", help=text("help.witness.key"))
    def key(context: typer.Context) -> None:
        scene = scene_of(context)
        kept = WitnessDirectory(scene.data).witness()
        scene.out.lines({"name": kept.name, "keys": _keys(kept)}, _keys(kept))


def _add_serve(witness: typer.Typer) -> None:
    @witness.command("serve", help=text("help.witness.serve"))
    def serve(
        context: typer.Context,
        *,
        listen: Annotated[str, typer.Option("--listen", help=text("help.witness.listen"))] = "127.0.0.1:2600",
        passphrase_file: PassphraseFile = "",
        passphrase_stdin: PassphraseStdin = False,
    ) -> None:
        from postkeep.node import logs
        from postkeep.node.config import LogConfig
        from postkeep.services.witness.sealing import open_cosigner

        scene = scene_of(context)
        address, _, port = listen.rpartition(":")
        if not address or not port.isascii() or not port.isdigit() or int(port) > _PORT_MAX:
            raise CommandError(text("error.listen"), Exit.USAGE, "listen")
        kept = WitnessDirectory(scene.data).witness()
        secret = None
        if kept.sealed:
            secret = _passphrase(passphrase_file, from_stdin=passphrase_stdin, new=False)
        cosigner = open_cosigner(kept, secret)
        WitnessDirectory(scene.data).hold()
        logs.configure(LogConfig(), "witness", "witness")
        asyncio.run(_serve(scene, cosigner, address.strip("[]"), int(port)))


async def _serve(scene: Scene, cosigner: "Cosigner", address: str, port: int) -> None:
    from postkeep.base.clock import SystemClock
    from postkeep.faces.witness.server import WitnessServer
    from postkeep.services.witness.service import Witness

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = WitnessServer(Witness(WitnessDirectory(scene.data), cosigner, SystemClock()).add_checkpoint)
    try:
        port = await server.start(address, port)
    except OSError as error:
        raise CommandError(text("error.listen"), Exit.FAILED, "listen") from error
    host = f"[{address}]" if ":" in address else address
    ready = {"event": "ready", "url": f"http://{host}:{port}/", "name": cosigner.name}
    sys.stdout.buffer.write(msgspec.json.encode(ready) + b"\n")
    sys.stdout.flush()
    await stop.wait()
    await server.close()


def _add_logs(log: typer.Typer) -> None:
    @log.command("add", help=text("help.witness.log.add"))
    def add_log(
        context: typer.Context,
        keys: Annotated[list[str], typer.Argument(help=text("help.witness.log.keys"))],
    ) -> None:
        from postkeep.crypto.verifier_key import parse_verifier_key

        scene = scene_of(context)
        names = {parse_verifier_key(key).name for key in keys}
        if len(names) != 1:
            raise CommandError(text("error.log_keys"), Exit.USAGE, "log_keys")
        directory = WitnessDirectory(scene.data)
        directory.witness()
        known = KnownLog(names.pop(), tuple(keys))
        directory.add_log(known)
        scene.out.say(known, text("witness.log_added", origin=known.origin))

    @log.command("list", help=text("help.witness.log.list"))
    def list_logs(context: typer.Context) -> None:
        scene = scene_of(context)
        directory = WitnessDirectory(scene.data)
        directory.witness()
        values = [
            {
                "origin": known.origin,
                "size": _signed_size(directory, known.origin),
                "forks": directory.forks(known.origin),
            }
            for known in directory.logs()
        ]
        cells = [(str(v["origin"]), str(v["size"]), str(v["forks"])) for v in values]
        scene.out.rows(values, ("origin", "signed", "forks"), cells)


def _add_status(witness: typer.Typer) -> None:
    @witness.command("status", help=text("help.witness.status"))
    def status(context: typer.Context) -> None:
        scene = scene_of(context)
        told = scene.ask("witness_status", api.WitnessStatus(), api.WitnessStates).witnesses
        if not told:
            scene.out.say([], text("witness.none"))
            return
        cells = [
            (item.name, text(f"witness.state.{item.state}"), str(item.size), moment(item.signed_ms))
            for item in told
        ]
        scene.out.rows(told, ("witness", "state", "signed", "since"), cells)
        for item in told:
            if item.state == "conflict":
                scene.out.remark(text("witness.conflict", name=item.name, size=item.size))
        if any(item.state != "ok" for item in told):
            raise typer.Exit(Exit.PROBLEMS)


def _passphrase(path: str, *, from_stdin: bool, new: bool) -> "Secret[bytes]":
    return asking.file_passphrase(path, from_stdin=from_stdin, new=new, ask="ask.witness_passphrase")


def _keys(kept: KeptWitness) -> tuple[str, ...]:
    """Return a witness's public keys, for which nobody needs its passphrase."""
    from postkeep.services.witness.sealing import open_cosigner

    return kept.keys if kept.sealed else open_cosigner(kept, None).verifier_keys()


def _signed_size(directory: WitnessDirectory, origin: str) -> int:
    from postkeep.crypto.note import parse_checkpoint, peek_note

    note = directory.head(origin)
    return parse_checkpoint(peek_note(note)).size if note else 0
