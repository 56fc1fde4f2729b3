"""`postkeep backup`: made by the running node's worker; listed, verified and restored by this command
itself."""

import asyncio
import contextlib
import datetime as dt
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from postkeep.node.cli.output import CommandError, Exit, moment, size
from postkeep.node.cli.scene import Scene, group, scene_of
from postkeep.node.cli.texts import error_text, text

if TYPE_CHECKING:
    from postkeep.node.backups.opening import AskRoot
    from postkeep.node.backups.verifying import Report
    from postkeep.node.config import Config
    from postkeep.services.backup import api

_POLL_SECONDS: Final = 0.2

From = Annotated[str, typer.Option("--from", help=text("help.backup.from"))]
ConfigFile = Annotated[Path | None, typer.Option("--config", help=text("help.config"))]
RootKey = Annotated[Path | None, typer.Option("--root-key", help=text("help.backup.root_key"))]
PassphraseFd = Annotated[int | None, typer.Option("--passphrase-fd", help=text("help.passphrase_fd"))]
SharesFd = Annotated[int | None, typer.Option("--shares-fd", help=text("help.shares_fd"))]
PinFd = Annotated[int | None, typer.Option("--pin-fd", help=text("help.pin_fd"))]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    backup = group(app, "backup", "help.backup")
    _add_making(backup)
    _add_list(backup)
    _add_verify(backup)
    _add_restore(backup)


def _add_making(backup: typer.Typer) -> None:
    @backup.command("create", help=text("help.backup.create"))
    def create(
        context: typer.Context,
        *,
        full: Annotated[bool, typer.Option("--full", help=text("help.backup.full"))] = False,
    ) -> None:
        from postkeep.services.backup import api

        scene = scene_of(context)
        job = _follow(scene, "create", api.Create(full=full))
        sentence = text(
            "backup.created" if job.incremental else "backup.created_full",
            id=job.backup,
            total=size(job.bytes_total),
            shipped=size(job.bytes_shipped),
            objects=job.objects_shipped,
            seconds=job.seconds,
        )
        scene.out.say(job, sentence)

    @backup.command("rekey", help=text("help.backup.rekey"))
    def rekey(context: typer.Context) -> None:
        from postkeep.services.backup import api

        scene = scene_of(context)
        job = _follow(scene, "rekey", api.Rekey())
        scene.out.say(job, text("backup.rekeyed", id=job.backup, count=job.removed))

    @backup.command("status", help=text("help.backup.status"))
    def status(context: typer.Context) -> None:
        from postkeep.services.backup import api

        scene = scene_of(context)
        job = scene.ask_backup("status", api.Status(), api.Job)
        lines = [_state(job)]
        if job.told_ms:
            lines.append(text("backup.told", time=moment(job.told_ms)))
        scene.out.lines(job, lines)

    @backup.command("prune", help=text("help.backup.prune"))
    def prune(
        context: typer.Context,
        keep: Annotated[int, typer.Option("--keep", min=0, help=text("help.backup.keep"))] = 0,
    ) -> None:
        from postkeep.services.backup import api

        scene = scene_of(context)
        job = _follow(scene, "prune", api.Prune(keep=keep))
        scene.out.say(job, text("backup.pruned", count=job.removed))


def _state(job: "api.Job") -> str:
    """Say how a job does, in one line."""
    if job.state == "none":
        return text("backup.state.none")
    values: dict[str, Any] = {
        "act": text(f"backup.act.{job.act}"),
        "id": f" {job.backup}" if job.backup else "",
        "seconds": job.seconds,
    }
    if job.state == "running":
        step = text(f"backup.step.{job.step}")
        return text("backup.state.running", **values, step=step, total=size(job.bytes_total))
    if job.state == "failed":
        return text("backup.state.failed", **values, why=error_text(job.code, job.text))
    return text("backup.state.done", **values)


def _follow(scene: Scene, act: str, request: msgspec.Struct) -> "api.Job":
    """Begin a job and wait for its end, saying how far it is where somebody watches."""
    from postkeep.services.backup import api

    job = scene.ask_backup(act, request, api.Job)
    watched = sys.stderr.isatty() and not scene.out.as_json
    while job.state == "running":
        if watched:
            step = text(f"backup.step.{job.step}") if job.step else ""
            sys.stderr.write(f"\r\x1b[K{step} {size(job.bytes_total)}")
            sys.stderr.flush()
        time.sleep(_POLL_SECONDS)
        job = scene.ask_backup("status", api.Status(), api.Job)
    if watched:
        sys.stderr.write("\r\x1b[K")
    if job.state != "done":
        raise CommandError(
            text("backup.failed", why=error_text(job.code, job.text)), code=job.code or "backup"
        )
    return job


def _add_list(backup: typer.Typer) -> None:
    @backup.command("list", help=text("help.backup.list"))
    def list_(context: typer.Context, place: From = "", config: ConfigFile = None) -> None:
        from postkeep.node.backups.opening import target_of
        from postkeep.services.backup.catalogue import list_backups
        from postkeep.services.backup.pruning import list_weeks

        scene = scene_of(context)
        loaded, where = _place(scene, place, config)
        target = target_of(loaded, where)

        async def look() -> tuple[list[Any], dict[str, tuple[int, int]]]:
            return await list_backups(target), await list_weeks(target)

        listed, weeks = asyncio.run(look())
        values = [
            {
                "id": found.id,
                "finished_ms": found.finished_ms,
                "bytes": found.size,
                "keys_until_ms": weeks.get(found.week, (0, 0))[1],
            }
            for found in listed
        ]
        cells = [
            (
                str(value["id"]),
                moment(int(value["finished_ms"])),
                size(int(value["bytes"])),
                moment(int(value["keys_until_ms"])) if value["keys_until_ms"] else text("backup.no_keys"),
            )
            for value in values
        ]
        scene.out.rows(values, ("backup", "finished", "size", "keys_until"), cells)


def _add_verify(backup: typer.Typer) -> None:
    @backup.command("verify", help=text("help.backup.verify"))
    def verify(
        context: typer.Context,
        place: From = "",
        backup_id: Annotated[str, typer.Option("--id", help=text("help.backup.id"))] = "",
        *,
        samples: Annotated[
            int, typer.Option("--samples", min=1, max=10_000, help=text("help.backup.samples"))
        ] = 20,
        config: ConfigFile = None,
        root_key: RootKey = None,
        passphrase_fd: PassphraseFd = None,
        shares_fd: SharesFd = None,
        pin_fd: PinFd = None,
    ) -> None:
        from postkeep.node.backups.custody_aside import custody_aside
        from postkeep.node.backups.opening import target_of
        from postkeep.node.backups.verified import Verified, note_verified
        from postkeep.node.backups.verifying import Inquiry
        from postkeep.node.backups.verifying import verify as check

        scene = scene_of(context)
        loaded, where = _place(scene, place, config)
        state = scene.data / "state" / "kms"
        with custody_aside(loaded) as custody:
            inquiry = Inquiry(
                target=target_of(loaded, where),
                config=loaded,
                state=state if state.is_dir() else None,
                ask=_asker(loaded, passphrase_fd, shares_fd, pin_fd),
                root_key=root_key,
                backup=backup_id,
                samples=samples,
                custody=custody,
                tell=_teller(scene),
            )
            report = asyncio.run(check(inquiry))
        with contextlib.suppress(PermissionError):  # whoever only reads the target leaves no word here
            if not report.problems and report.samples.opened and (scene.data / "initialised").exists():
                note_verified(scene.data, Verified(report.backup, int(time.time() * 1000)))
        value = {**msgspec.to_builtins(report), "ok": not report.problems}
        scene.out.lines(value, _report_lines(report))
        raise typer.Exit(Exit.PROBLEMS if report.problems else Exit.OK)


def _report_lines(report: "Report") -> list[str]:
    """Say what a verification has found."""
    lines = [
        text("verify.backup", id=report.backup, time=moment(report.finished_ms)),
        text("verify.objects", count=report.objects),
    ]
    if report.keys_until_ms:
        lines.append(
            text(
                "verify.samples",
                opened=report.samples.opened,
                erased=report.samples.erased,
                failed=len(report.samples.failed),
                messages=report.messages,
            )
        )
        if report.samples.company_holds:
            lines.append(text("verify.company_holds", count=report.samples.company_holds))
        lines.append(text("verify.keys_until", time=moment(report.keys_until_ms)))
    else:
        lines.append(text("verify.no_keys"))
    lines.append(text("verify.destroyed_until", time=moment(report.destroyed_until_ms)))
    if report.keeps_versions:
        lines.append(text("verify.versions"))
    if report.problems:
        lines += [text("verify.bad"), *report.problems]
    else:
        lines.append(text("verify.good" if report.samples.opened else "verify.none_opened"))
    return lines


def _add_restore(backup: typer.Typer) -> None:
    @backup.command("restore", help=text("help.backup.restore"))
    def restore(
        context: typer.Context,
        place: From = "",
        backup_id: Annotated[str, typer.Option("--id", help=text("help.backup.id"))] = "",
        *,
        to: Annotated[str, typer.Option("--to", help=text("help.backup.to"))] = "",
        config: ConfigFile = None,
        root_key: RootKey = None,
        passphrase_fd: PassphraseFd = None,
        shares_fd: SharesFd = None,
        pin_fd: PinFd = None,
        accept_missing: Annotated[
            bool, typer.Option("--accept-missing-tombstones", help=text("help.backup.accept_missing"))
        ] = False,
    ) -> None:
        from postkeep.node.backups.opening import target_of
        from postkeep.node.backups.restoring import Wish
        from postkeep.node.backups.restoring import restore as bring_back
        from postkeep.node.config import Config, load

        scene = scene_of(context)
        if not place:
            raise CommandError(text("error.backup_from"), Exit.USAGE, "backup_from")
        if backup_id and to:
            raise CommandError(text("error.backup_both"), Exit.USAGE, "backup_both")
        loaded = load(_there(config)) if config is not None else Config()
        wish = Wish(
            data=scene.data,
            target=target_of(loaded, place),
            ask=_asker(loaded, passphrase_fd, shares_fd, pin_fd),
            root_key=root_key,
            config_file=config,
            backup=backup_id,
            to_ms=_instant(to),
            accept_missing=accept_missing,
            tell=_teller(scene),
        )
        outcome = asyncio.run(bring_back(wish))
        value = {
            "backup": outcome.manifest.id,
            "keys_from": outcome.keys_from,
            "wraps_from": outcome.wraps_from,
            "rows_of_ms": outcome.rows_of_ms,
            "destroyed_until_ms": outcome.destroyed_until_ms,
            "messages_destroyed_again": outcome.messages,
            "accounts_destroyed_again": outcome.owners,
            "missing": outcome.missing,
            "root_rotated_since": outcome.rotated,
            "seconds": round(outcome.seconds, 2),
            "bytes_fetched": outcome.bytes_fetched,
        }
        lines = [
            text("restore.done", id=outcome.manifest.id, time=moment(outcome.rows_of_ms), data=scene.data),
            text("restore.again", messages=outcome.messages, accounts=outcome.owners),
            text("restore.until", time=moment(outcome.destroyed_until_ms)),
        ]
        if outcome.missing:
            lines.append(text("restore.missing", why=outcome.missing))
        if outcome.keys_from != outcome.manifest.id:
            lines.append(text("restore.other_keys", id=outcome.keys_from))
        if outcome.rotated:
            lines.append(text("restore.rotated"))
        lines.append(text("restore.next", data=scene.data))
        scene.out.lines(value, lines)


def _teller(scene: Scene) -> Callable[[str], None]:
    """Return what says the steps, where people read."""

    def tell(step: str) -> None:
        if not scene.out.as_json:
            sys.stderr.write(text(f"reading.step.{step}") + "\n")

    return tell


def _place(scene: Scene, place: str, file: Path | None) -> "tuple[Config, str]":
    """Return the configuration, and the target: that named, else the one configured."""
    from postkeep.node.config import load

    loaded = load(_there(file) if file is not None else scene.data / "postkeep.toml")
    where = place or loaded.backup.target
    if not where:
        raise CommandError(text("error.no_backup_target"), Exit.USAGE, "no_backup_target")
    return loaded, where


def _there(file: Path) -> Path:
    """Return a configuration that was named; without it, another one would be followed in silence."""
    if not file.is_file():
        raise CommandError(text("error.no_config", path=file), Exit.USAGE, "no_config")
    return file


def _asker(config: "Config", passphrase: int | None, shares: int | None, pin: int | None) -> "AskRoot":
    from postkeep.node import logs
    from postkeep.node.cli.unsealing import Descriptors, root_secret
    from postkeep.node.config import LogConfig

    # The seal of a development key warns in the log, which a command sends to standard error.
    logs.configure(LogConfig(level="error"), "backup", "backup")
    unbound = msgspec.structs.replace(config, keys=msgspec.structs.replace(config.keys, root=""))
    return lambda state: root_secret(state.parent.parent, unbound, Descriptors(passphrase, shares, pin))[1]


def _instant(given: str) -> int:
    """Read a moment as `2026-11-24T06:00:00Z`; without an offset it is UTC. Milliseconds; 0 for none."""
    if not given:
        return 0
    try:
        read = dt.datetime.fromisoformat(given)
    except ValueError as exc:
        raise CommandError(text("error.backup_time", given=given), Exit.USAGE, "backup_time") from exc
    return int((read if read.tzinfo else read.replace(tzinfo=dt.UTC)).timestamp() * 1000)
