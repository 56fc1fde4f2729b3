"""`postkeep media`: the register of media that hold data, and their sanitisation."""

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from postkeep.node.cli.output import CommandError, Exit, moment
from postkeep.node.cli.scene import Scene, group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.steward import media_api as api
from postkeep.services.steward.media import Asset, Entry, State
from postkeep.services.steward.media_methods import METHODS, table

_COLUMNS = ("tag", "medium", "serials", "place", "categories", "encrypted", "status")

_Tag = Annotated[str, typer.Argument(metavar="TAG")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    media = group(app, "media", "help.media")
    _add_register(media)
    _add_sanitising(media)
    _add_ending(media)
    _add_looking(media)


def _add_register(media: typer.Typer) -> None:
    @media.command("add", help=text("help.media.add"))
    def add_one(
        context: typer.Context,
        tag: _Tag,
        *,
        medium: Annotated[str, typer.Option("--type", help=text("help.media.type"))],
        serial: Annotated[list[str], typer.Option("--serial", help=text("help.media.serial"))],
        category: Annotated[list[str], typer.Option("--category", help=text("help.media.category"))],
        encrypted: Annotated[str, typer.Option("--encrypted", help=text("help.media.encrypted"))],
        site: Annotated[str, typer.Option("--site", help=text("help.media.site"))] = "",
        rack: Annotated[str, typer.Option("--rack", help=text("help.media.rack"))] = "",
        host: Annotated[str, typer.Option("--host", help=text("help.media.host"))] = "",
        slot: Annotated[str, typer.Option("--slot", help=text("help.media.slot"))] = "",
    ) -> None:
        scene = scene_of(context)
        request = api.MediaAdd(
            tag=tag,
            medium=medium,
            serials=serial,
            categories=category,
            encrypted=encrypted,
            site=site,
            rack=rack,
            host=host,
            slot=slot,
        )
        asset = scene.ask("media_add", request, Asset)
        scene.out.say(asset, text("media.added", tag=asset.tag))

    @media.command("withdraw", help=text("help.media.withdraw"))
    def withdraw(
        context: typer.Context,
        tag: _Tag,
        reason: Annotated[str, typer.Option("--reason", help=text("help.reason"))],
    ) -> None:
        _act(scene_of(context), api.MediaAct(tag=tag, act="withdraw", remark=reason))


def _add_sanitising(media: typer.Typer) -> None:
    @media.command("sanitise", help=text("help.media.sanitise"))
    def sanitise(
        context: typer.Context,
        tag: _Tag,
        *,
        method: Annotated[str, typer.Option("--method", help=text("help.media.method"))],
        technique: Annotated[str, typer.Option("--technique", help=text("help.media.technique"))],
        tool: Annotated[str, typer.Option("--tool", help=text("help.media.tool"))],
        by: Annotated[str, typer.Option("--by", help=text("help.media.by"))],
        witness: Annotated[list[str], typer.Option("--witness", help=text("help.media.witness"))],
        photo: Annotated[Path | None, typer.Option("--photo", help=text("help.media.photo"))] = None,
        certificate: Annotated[str, typer.Option("--certificate", help=text("help.media.certificate"))] = "",
        failed: Annotated[bool, typer.Option("--failed", help=text("help.media.failed"))] = False,
    ) -> None:
        request = api.MediaAct(
            tag=tag,
            act="sanitise",
            by=by,
            method=method,
            technique=technique,
            tool=tool,
            result="failed" if failed else "passed",
            witnesses=tuple(witness),
            photo=_hash_of(photo) if photo is not None else "",
            certificate=certificate,
        )
        _act(scene_of(context), request)


def _add_ending(media: typer.Typer) -> None:
    @media.command("verify", help=text("help.media.verify"))
    def verify(
        context: typer.Context,
        tag: _Tag,
        tool: Annotated[str, typer.Option("--tool", help=text("help.media.tool"))],
        by: Annotated[str, typer.Option("--by", help=text("help.media.by"))],
        *,
        failed: Annotated[bool, typer.Option("--failed", help=text("help.media.failed"))] = False,
    ) -> None:
        result = "failed" if failed else "passed"
        _act(scene_of(context), api.MediaAct(tag=tag, act="verify", by=by, tool=tool, result=result))

    @media.command("release", help=text("help.media.release"))
    def release(
        context: typer.Context,
        tag: _Tag,
        fate: Annotated[str, typer.Option("--to", help=text("help.media.to"))],
        remark: Annotated[str, typer.Option("--remark", help=text("help.media.remark"))] = "",
    ) -> None:
        _act(scene_of(context), api.MediaAct(tag=tag, act="release", fate=fate, remark=remark))


def _add_looking(media: typer.Typer) -> None:
    @media.command("list", help=text("help.media.list"))
    def list_all(context: typer.Context) -> None:
        scene = scene_of(context)
        found = scene.ask("media_list", api.MediaAll(), api.Media).media
        scene.out.rows(found, _COLUMNS, [_row(asset) for asset in found])

    @media.command("show", help=text("help.media.show"))
    def show(context: typer.Context, tag: _Tag) -> None:
        scene = scene_of(context)
        asset = scene.ask("media_show", api.MediaShow(tag=tag), Asset)
        names = ("medium", "serials", "place", "categories", "encrypted")
        facts = zip(names, _row(asset)[1:6], strict=True)
        lines = [_now(asset)]
        lines += [text(f"media.line.{name}", value=value) for name, value in facts if value]
        scene.out.lines(asset, [*lines, *(_line(entry) for entry in asset.history)])

    @media.command("record", help=text("help.media.record"))
    def record(
        context: typer.Context,
        tag: _Tag,
        out: Annotated[Path, typer.Option("--out", help=text("help.media.out"))],
    ) -> None:
        scene = scene_of(context)
        signed = scene.ask("media_record", api.MediaRecord(tag=tag), api.SignedRecord)
        document = {
            "record": signed.record.decode(),
            "ed25519": signed.ed25519.hex(),
            "mldsa44": signed.mldsa44.hex(),
            "public_keys": signed.public_keys.hex(),
        }
        try:
            out.write_bytes(msgspec.json.encode(document) + b"\n")
        except OSError as exc:
            raise CommandError(text("error.unwritable", path=out), code="unwritable") from exc
        scene.out.say(document, text("media.recorded", tag=tag, path=out))

    @media.command("methods", help=text("help.media.methods"))
    def methods(context: typer.Context) -> None:
        scene = scene_of(context)
        rules = table()
        cells = [
            (name, method, ", ".join(medium.techniques(method)) or "-")
            for name, medium in rules.media.items()
            for method in METHODS
        ]
        scene.out.rows([rules], ("medium", "method", "techniques"), cells)


def _act(scene: Scene, request: api.MediaAct) -> None:
    asset = scene.ask("media_act", request, Asset)
    scene.out.say(asset, _now(asset))


def _now(asset: Asset) -> str:
    """Say where a medium stands, and what comes next."""
    now = text("media.now", tag=asset.tag, state=text(f"media.state.{asset.state}"))
    if asset.state in {State.RELEASED, State.DESTROYED}:
        return now
    return f"{now} {text(f'media.next.{asset.state}', tag=asset.tag)}"


def _hash_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise CommandError(text("error.unreadable", path=path), Exit.USAGE, "unreadable") from exc


def _row(asset: Asset) -> tuple[str, ...]:
    place = "/".join(part for part in (asset.site, asset.rack, asset.host, asset.slot) if part)
    return (
        asset.tag,
        asset.medium,
        ", ".join(asset.serials),
        place,
        ", ".join(asset.categories),
        asset.encrypted,
        text(f"media.state.{asset.state}"),
    )


def _line(entry: Entry) -> str:
    """Tell one act: when, what, how, by whom, and where it stands in the ledger."""
    parts = [
        moment(entry.at_ms),
        text(f"media.act.{entry.act}"),
        "/".join(part for part in (entry.method, entry.technique) if part),
        text(f"media.result.{entry.result}") if entry.result else "",
        entry.by,
        entry.tool,
        text("media.witnesses", names=", ".join(entry.witnesses)) if entry.witnesses else "",
        text("media.photo", value=entry.photo) if entry.photo else "",
        text("media.certificate", value=entry.certificate) if entry.certificate else "",
        text(f"media.fate.{entry.fate}") if entry.fate else "",
        entry.remark,
        text("media.ledger", index=entry.ledger),
    ]
    return "  ".join(part for part in parts if part)
