"""`postkeep key show`, `reseal`, `ceremony`, `check-share`: how the root key is sealed."""

import getpass
import hashlib
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from postkeep.base.errors import RefusedError, UnavailableError
from postkeep.node.cli import asking
from postkeep.node.cli.output import CommandError, Exit, moment
from postkeep.node.cli.scene import Scene, scene_of
from postkeep.node.cli.texts import text
from postkeep.node.cli.unsealing import pin, sealed_now
from postkeep.services.kms.root_kinds import RootKind, Sealed, read_shares, read_token

THRESHOLD_DEFAULT = 3
SHARES_DEFAULT = 5


def add(key: typer.Typer) -> None:
    """Add the commands."""
    _add_show(key)
    _add_reseal(key)
    _add_ceremony(key)
    _add_check_share(key)


def _add_show(key: typer.Typer) -> None:
    @key.command("show", help=text("help.key.show"))
    def show(context: typer.Context) -> None:
        scene = scene_of(context)
        sealed = sealed_now(scene.data)
        if sealed is None:
            raise CommandError(text("error.no_root_key", data=scene.data), code="not_found")
        value = describe(sealed)
        lines = [text(f"key.sealed.{sealed.kind}"), text("key.since", since=moment(value["since_ms"]))]
        if sealed.kind is RootKind.SHARES:
            lines.append(text("key.shares", threshold=value["threshold"], count=len(value["holders"])))
            lines += [f"  {holder['number']:2}  {holder['name']}" for holder in value["holders"]]
        if sealed.kind is RootKind.PKCS11:
            lines.append(text("key.token", **value["token"]))
        if sealed.kind is RootKind.FILE:
            lines.append(text("key.development"))
        if sealed.change is not None:
            lines.append(text("key.changing", new=sealed.change.new))
        scene.out.lines(value, lines)


def describe(sealed: Sealed) -> dict[str, Any]:
    """Say how the root key is sealed, without a secret."""
    value: dict[str, Any] = {"kind": sealed.kind.value, "changing": sealed.change is not None}
    match sealed.kind:
        case RootKind.SHARES:
            file = read_shares(sealed.path)
            holders = [{"number": line.number, "name": line.name} for line in file.holders]
            value |= {"since_ms": file.made_ms, "threshold": file.threshold, "holders": holders}
        case RootKind.PKCS11:
            token = read_token(sealed.path)
            place = {"token": token.token, "serial": token.serial, "key_label": token.key_label}
            value |= {"since_ms": token.made_ms, "token": place}
        case _:
            value["since_ms"] = int(sealed.path.stat().st_mtime * 1000)
    return value


def _add_reseal(key: typer.Typer) -> None:
    @key.command("reseal", help=text("help.key.reseal"))
    def reseal(
        context: typer.Context,
        to: Annotated[RootKind, typer.Option("--to", help=text("help.key.to"))],
        passphrase_fd: Annotated[
            int | None, typer.Option("--passphrase-fd", help=text("help.key.passphrase_fd"))
        ] = None,
        pin_fd: Annotated[int | None, typer.Option("--pin-fd", help=text("help.pin_fd"))] = None,
    ) -> None:
        scene = scene_of(context)
        if to is RootKind.SHARES:
            _hold_ceremony(scene, THRESHOLD_DEFAULT, SHARES_DEFAULT, (), None)
            return
        opened = _open(scene, to)
        secret = bytearray()
        if to is RootKind.PASSPHRASE:
            secret = new_passphrase(passphrase_fd)
        elif to is RootKind.PKCS11:
            secret = pin(_config(scene), pin_fd)
        old = _finish(scene, to, opened, bytes(secret))
        scene.out.say({"old": old, "new": to.value}, text("key.resealed", old=old, new=to.value))


def _add_ceremony(key: typer.Typer) -> None:
    @key.command("ceremony", help=text("help.key.ceremony"))
    def ceremony(
        context: typer.Context,
        threshold: Annotated[
            int, typer.Option("--threshold", help=text("help.key.threshold"))
        ] = THRESHOLD_DEFAULT,
        shares: Annotated[int, typer.Option("--shares", help=text("help.key.shares"))] = SHARES_DEFAULT,
        holder: Annotated[list[str] | None, typer.Option("--holder", help=text("help.key.holder"))] = None,
        to_directory: Annotated[
            Path | None, typer.Option("--to-directory", help=text("help.key.to_directory"))
        ] = None,
    ) -> None:
        _hold_ceremony(scene_of(context), threshold, shares, tuple(holder or ()), to_directory)


def _hold_ceremony(
    scene: Scene, threshold: int, count: int, names: Sequence[str], directory: Path | None
) -> None:
    from postkeep.crypto.shares import check_counts
    from postkeep.node.cli import ceremony
    from postkeep.node.cli.terminal import Terminal
    from postkeep.services.kms.custody_api import lines_of

    check_counts(threshold, count)
    if names and len(names) != count:
        raise CommandError(text("error.ceremony_names", count=count), Exit.USAGE, "share.names")
    screen = Terminal() if directory is None else None
    opened = _open(scene, RootKind.SHARES)
    if screen is not None:
        held = ceremony.hold(screen, threshold, count, names)
    else:
        assert directory is not None
        held = ceremony.write_files(directory, threshold, count, names)
        print(text("ceremony.files", directory=directory), file=sys.stderr)  # noqa: T201 - a warning beside the answer
    old = _finish(scene, RootKind.SHARES, opened, held.secret, lines_of(held.roster))
    value = {
        "old": old,
        "new": RootKind.SHARES.value,
        "threshold": threshold,
        "holders": [{"number": line.number, "name": line.name} for line in held.roster.holders],
    }
    scene.out.say(value, text("key.resealed", old=old, new=RootKind.SHARES.value))


def _add_check_share(key: typer.Typer) -> None:
    @key.command("check-share", help=text("help.key.check_share"))
    def check_share(
        context: typer.Context,
        shares_fd: Annotated[int | None, typer.Option("--shares-fd", help=text("help.shares_fd"))] = None,
    ) -> None:
        from postkeep.crypto import shares
        from postkeep.node.cli import ceremony
        from postkeep.node.cli.terminal import Terminal

        scene = scene_of(context)
        sealed = sealed_now(scene.data)
        if sealed is None or sealed.kind is not RootKind.SHARES:
            raise CommandError(text("error.not_shares"), code="not_found")
        roster = read_shares(sealed.path).roster()
        given = ceremony.ask_share(Terminal()) if shares_fd is None else ceremony.read_lines(shares_fd)[0]
        try:
            holder, share = shares.check_share(roster, given)
        except shares.ShareError as error:
            raise CommandError(ceremony.error_words(error), code=error.code) from error
        code = ceremony.check_code(share)
        value = {"number": holder.number, "name": holder.name, "code": code}
        scene.out.say(value, text("shares.right", name=holder.name, number=holder.number, code=code))


def _open(scene: Scene, kind: RootKind) -> bytes:
    """Have the node expect the change; return the key that proves who asked."""
    from postkeep.services.steward.api import Done
    from postkeep.services.steward.custody_api import KeyReseal

    key = secrets.token_bytes(32)
    scene.ask("key_reseal", KeyReseal(kind, hashlib.sha256(key).digest()), Done)
    return key


def _finish(scene: Scene, kind: RootKind, key: bytes, secret: bytes, roster: Any = None) -> str:
    from postkeep.services.kms.custody_api import Reseal, Resealed

    request = Reseal(kind, key, secret, roster)
    try:
        return scene.ask_kms("reseal", request, Resealed).old.value
    except (UnavailableError, RefusedError) as error:
        if isinstance(error, RefusedError) and error.code != "refused.no_window":
            raise
        raise CommandError(text("error.reseal_unknown"), Exit.UNAVAILABLE, "unavailable") from error


def new_passphrase(descriptor: int | None) -> bytearray:
    """Read a new passphrase: from a descriptor, or twice from the terminal."""
    if descriptor is not None or not sys.stdin.isatty():
        return asking.passphrase(descriptor)
    value = getpass.getpass(text("ask.new_passphrase"))
    if value != getpass.getpass(text("ask.again")):
        raise CommandError(text("error.passwords_differ"), Exit.USAGE, "passwords_differ")
    return bytearray(value.encode())


def _config(scene: Scene) -> Any:
    from postkeep.node import start

    return start.load_config(start.Options(scene.data))
