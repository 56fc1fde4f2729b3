"""`postkeep ledger`: verify all of it, or look at its end."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from postkeep.base.errors import NotFoundError
from postkeep.base.ids import parse_id
from postkeep.model.audit import AuditEvent
from postkeep.node.cli import ledger_restored, ledger_sources
from postkeep.node.cli.output import CommandError, Exit, moment
from postkeep.node.cli.scene import Scene, group, scene_of
from postkeep.node.cli.texts import text
from postkeep.node.supervisor.layout import LEDGER_KEY_FILE, LEDGER_KEY_FILES, LEDGER_MLDSA44_FILE
from postkeep.services.authority.api import TenantInfo
from postkeep.services.steward import api
from postkeep.stores.kept_checkpoint import kept_checkpoint

if TYPE_CHECKING:
    from postkeep.services.ledger.verify import Report

SILENT_SHOWN_MAX: Final = 20
"""Sources that are named one by one: each process that was killed is one, for ever."""


def add(app: typer.Typer) -> None:
    """Add the commands."""
    ledger = group(app, "ledger", "help.ledger")
    _add_verify(ledger)
    _add_key(ledger)
    _add_export(ledger)
    ledger_restored.add(ledger)
    ledger_sources.add(ledger)

    @ledger.command("show", help=text("help.ledger.show"))
    def show(
        context: typer.Context,
        count: Annotated[int, typer.Option("--count", help=text("help.count"))] = 20,
    ) -> None:
        scene = scene_of(context)
        start, entries = _last_entries(scene, count)
        events = [msgspec.json.decode(entry, type=AuditEvent) for entry in entries]
        cells = [
            (
                str(start + position),
                moment(event.time_ms),
                event.event,
                event.source,
                event.outcome,
                event.note or event.method or event.code,
            )
            for position, event in enumerate(events)
        ]
        scene.out.rows(events, ("index", "time", "event", "source", "outcome", "note"), cells)


def _last_entries(scene: Scene, count: int) -> tuple[int, list[bytes]]:
    """Read the last entries, page after page: one answer holds a thousand at most."""
    found = scene.ask("ledger_read", api.LedgerRead(-count, count), api.LedgerEntries)
    start, entries = found.start, list(found.entries)
    while found.entries and len(entries) < count:
        after = api.LedgerRead(start + len(entries), count - len(entries))
        found = scene.ask("ledger_read", after, api.LedgerEntries)
        entries += found.entries
    return start, entries


def _add_verify(ledger: typer.Typer) -> None:
    @ledger.command("verify", help=text("help.ledger.verify"))
    def verify(
        context: typer.Context,
        offline: Annotated[Path | None, typer.Option("--offline", help=text("help.ledger.offline"))] = None,
        key: Annotated[str, typer.Option("--key", help=text("help.ledger.key"))] = "",
        known: Annotated[list[Path] | None, typer.Option("--known", help=text("help.ledger.known"))] = None,
    ) -> None:
        from postkeep.services.ledger.export import is_export, verify_export
        from postkeep.services.ledger.verify import LogKeys, verify_directory

        scene = scene_of(context)
        root = scene.data if offline is None else offline
        public_key = _public_key(key, root, scene.data)
        mldsa_key = b"" if key else _mldsa_key(root, scene.data)
        if is_export(root):
            report = verify_export(root, LogKeys(public_key, mldsa_key))
        else:
            checkpoints = _known_checkpoints(known or [], root)  # before the ledger itself: it only grows
            report = verify_directory(
                _log_directory(root), public_key, mldsa_key=mldsa_key, known_checkpoints=checkpoints
            )
        scene.out.lines(_report_value(report), _report_lines(report))
        raise typer.Exit(Exit.OK if report.good else Exit.PROBLEMS)


def _report_value(report: "Report") -> dict[str, object]:
    return {
        "ok": report.good,
        "origin": report.origin,
        "entries": report.entries,
        "checkpoint_size": report.checkpoint_size,
        "first_bad_index": report.first_bad_index,
        "findings": [str(finding) for finding in report.findings],
        "lost": [str(finding) for finding in report.lost],
        "silent": [str(finding) for finding in report.silent],
        "given_up": [str(finding) for finding in report.given_up],
        "torn_bytes": report.torn_bytes,
        "tenants": {
            tenant: {
                "entries": one.entries,
                "checkpoint_size": one.checkpoint_size,
                "first_bad_index": one.first_bad_index,
                "findings": [str(finding) for finding in one.findings],
            }
            for tenant, one in report.tenants.items()
        },
    }


def _report_lines(report: "Report") -> list[str]:
    """Say what was found: faults first, and what is no fault but worth a look after them."""
    lines = [text("ledger.good", entries=report.entries, size=report.checkpoint_size)]
    if not report.good:
        lines = [text("ledger.bad"), *(str(finding) for finding in report.findings)]
    for tenant, one in report.tenants.items():
        lines += [text("ledger.tenant_bad", tenant=tenant, finding=finding) for finding in one.findings]
    if report.good and report.tenants:
        lines.append(text("ledger.tenants_good", count=len(report.tenants)))
    lines += [str(finding) for finding in (*report.given_up, *report.lost)]
    if report.torn_bytes:
        lines.append(text("ledger.torn", bytes=report.torn_bytes))
    lines += [
        text("ledger.silent", source=finding.place, index=finding.index)
        for finding in report.silent[:SILENT_SHOWN_MAX]
    ]
    if len(report.silent) > SILENT_SHOWN_MAX:
        lines.append(text("ledger.silent_more", count=len(report.silent) - SILENT_SHOWN_MAX))
    return lines


def _add_export(ledger: typer.Typer) -> None:
    @ledger.command("export", help=text("help.ledger.export"))
    def export(
        context: typer.Context,
        target: Annotated[Path, typer.Argument(metavar="DIR")],
        tenant: Annotated[str, typer.Option("--tenant", help=text("help.ledger.tenant"))],
    ) -> None:
        import shutil

        from postkeep.services.ledger.export import export_tenant

        scene = scene_of(context)
        identifier = _tenant_id(scene, tenant)
        try:
            size = export_tenant(_log_directory(scene.data), identifier, target)
            for name in LEDGER_KEY_FILES.values():
                if (scene.data / name).is_file():
                    shutil.copyfile(scene.data / name, target / name)
        except NotFoundError as exc:
            raise CommandError(text("error.no_tenant_log", tenant=tenant), code="no_tenant_log") from exc
        except OSError as exc:
            raise CommandError(text("error.not_written", path=exc.filename), code="not_written") from exc
        value = {"tenant": identifier, "entries": size, "directory": str(target)}
        scene.out.say(value, text("ledger.exported", entries=size, path=target))


def _tenant_id(scene: Scene, tenant: str) -> str:
    """Return a tenant's identifier: given as it is, or asked for by one of its domains."""
    try:
        return parse_id(tenant).hex()
    except ValueError:
        return scene.ask("tenant_show", api.TenantShow(tenant), TenantInfo).tenant.hex()


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
    """Find the ledger of a data directory, or take the directory for the ledger's own."""
    from postkeep.node.config import ledger_of, load

    found = ledger_of(root, load(root / "postkeep.toml"))
    found = found if found.is_dir() else root
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
