"""`postkeep ledger`: verify all of it, or look at its end."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from postkeep.model.audit import AuditEvent
from postkeep.node.cli.output import CommandError, Exit, moment
from postkeep.node.cli.scene import group, scene_of
from postkeep.node.cli.texts import text
from postkeep.node.supervisor.layout import LEDGER_KEY_FILE, LEDGER_MLDSA44_FILE
from postkeep.services.steward import api
from postkeep.stores.kept_checkpoint import kept_checkpoint


def add(app: typer.Typer) -> None:
    """Add the commands."""
    ledger = group(app, "ledger", "help.ledger")
    _add_verify(ledger)
    _add_key(ledger)

    @ledger.command("show", help=text("help.ledger.show"))
    def show(
        context: typer.Context,
        count: Annotated[int, typer.Option("--count", help=text("help.count"))] = 20,
    ) -> None:
        scene = scene_of(context)
        found = scene.ask("ledger_read", api.LedgerRead(-count, count), api.LedgerEntries)
        events = [msgspec.json.decode(entry, type=AuditEvent) for entry in found.entries]
        cells = [
            (
                str(found.start + position),
                moment(event.time_ms),
                event.event,
                event.source,
                event.outcome,
                event.note or event.method or event.code,
            )
            for position, event in enumerate(events)
        ]
        scene.out.rows(events, ("index", "time", "event", "source", "outcome", "note"), cells)


def _add_verify(ledger: typer.Typer) -> None:
    @ledger.command("verify", help=text("help.ledger.verify"))
    def verify(
        context: typer.Context,
        offline: Annotated[Path | None, typer.Option("--offline", help=text("help.ledger.offline"))] = None,
        key: Annotated[str, typer.Option("--key", help=text("help.ledger.key"))] = "",
        known: Annotated[list[Path] | None, typer.Option("--known", help=text("help.ledger.known"))] = None,
    ) -> None:
        from postkeep.services.ledger.verify import verify_directory

        scene = scene_of(context)
        root = scene.data if offline is None else offline
        checkpoints = _known_checkpoints(known or [], root)  # before the ledger itself: it only grows
        report = verify_directory(
            _log_directory(root),
            _public_key(key, root, scene.data),
            mldsa_key=b"" if key else _mldsa_key(root, scene.data),
            known_checkpoints=checkpoints,
        )
        findings = [str(finding) for finding in report.findings]
        lost = [str(finding) for finding in report.lost]
        value = {
            "ok": not findings,
            "origin": report.origin,
            "entries": report.entries,
            "checkpoint_size": report.checkpoint_size,
            "first_bad_index": report.first_bad_index,
            "findings": findings,
            "lost": lost,
            "torn_bytes": report.torn_bytes,
        }
        good = text("ledger.good", entries=report.entries, size=report.checkpoint_size)
        torn = [text("ledger.torn", bytes=report.torn_bytes)] if report.torn_bytes else []
        scene.out.lines(value, [*([text("ledger.bad"), *findings] if findings else [good]), *lost, *torn])
        raise typer.Exit(Exit.PROBLEMS if findings else Exit.OK)


def _add_key(ledger: typer.Typer) -> None:
    @ledger.command("key", help=text("help.ledger.key_show"))
    def key(context: typer.Context) -> None:
        from postkeep.crypto.cosignature import MLDSA44
        from postkeep.crypto.note import parse_checkpoint, peek_note, verifier_key

        scene = scene_of(context)
        checkpoint = _log_directory(scene.data) / "log" / "checkpoint"
        if not checkpoint.is_file():
            raise CommandError(text("error.no_checkpoint"), code="no_checkpoint")
        origin = parse_checkpoint(peek_note(checkpoint.read_bytes())).origin
        keys = [verifier_key(origin, _public_key("", scene.data))]
        post_quantum = _mldsa_key(scene.data)
        if post_quantum:
            keys.append(verifier_key(origin, post_quantum, MLDSA44))
        scene.out.lines({"origin": origin, "keys": keys}, keys)


def _known_checkpoints(files: list[Path], root: Path) -> list[bytes]:
    """Read checkpoints kept elsewhere: those named, and the copy that kms keeps of the last it signed."""
    try:
        found = [path.read_bytes() for path in files]
        kept = kept_checkpoint(root / "state" / "kms")
    except OSError as exc:
        raise CommandError(text("error.unreadable", path=exc.filename), code="unreadable") from exc
    return found if kept is None else [*found, kept]


def _log_directory(root: Path) -> Path:
    """Find the ledger in a data directory, or take the directory for the ledger's own."""
    inside = root / "state" / "ledger"
    found = inside if inside.is_dir() else root
    if not found.is_dir():
        raise CommandError(text("error.no_ledger", path=root), code="no_ledger")
    return found


def _public_key(given: str, *places: Path) -> bytes:
    """Return the key of the checkpoints: given, or as the node has written it down."""
    for candidate in (given, *(_read(place / LEDGER_KEY_FILE) for place in places)):
        try:
            key = bytes.fromhex(candidate)
        except ValueError:
            continue
        if key:
            return key
    raise CommandError(text("error.ledger_key"), code="ledger_key")


def _mldsa_key(*places: Path) -> bytes:
    """Return the second key, as the node has written it down; empty where there is none yet."""
    for place in places:
        written = _read(place / LEDGER_MLDSA44_FILE)
        if written:
            return bytes.fromhex(written)
    return b""


def _read(path: Path) -> str:
    return path.read_text("ascii").strip() if path.is_file() else ""
