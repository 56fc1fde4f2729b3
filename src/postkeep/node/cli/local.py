"""`postkeep init`, `serve`, `doctor`, `version`: what runs on this machine without asking a node."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from postkeep.node.cli.output import Exit
from postkeep.node.cli.scene import scene_of
from postkeep.node.cli.texts import language, text


def add(app: typer.Typer) -> None:
    """Add the commands."""
    _add_init(app)
    _add_serve(app)
    _add_looking(app)


def _add_init(app: typer.Typer) -> None:
    @app.command("init", help=text("help.init"))
    def init(
        context: typer.Context,
        config: Annotated[Path | None, typer.Option("--config", help=text("help.config"))] = None,
        passphrase_fd: Annotated[
            int | None, typer.Option("--passphrase-fd", help=text("help.passphrase_fd"))
        ] = None,
        shares_fd: Annotated[int | None, typer.Option("--shares-fd", help=text("help.shares_fd"))] = None,
        pin_fd: Annotated[int | None, typer.Option("--pin-fd", help=text("help.pin_fd"))] = None,
    ) -> None:
        from postkeep.node import logs, start
        from postkeep.node.cli.unsealing import Descriptors, root_secret
        from postkeep.node.config import LogConfig
        from postkeep.services.kms.root_kinds import RootKind

        scene = scene_of(context)
        options = start.Options(scene.data, config)
        loaded = start.load_config(options)
        logs.configure(LogConfig(format=loaded.log.format, level="warning"), "init", "init")
        kind, secret = root_secret(scene.data, loaded, Descriptors(passphrase_fd, shares_fd, pin_fd))
        options = start.Options(scene.data, config, root_secret=secret)
        layout = start.initialise(options)
        lines = [text("init.done", data=scene.data), text("init.operator", data=scene.data, uid=os.geteuid())]
        if kind is RootKind.FILE:
            lines.append(text("init.root_file", config=layout.config_file))
        value = {"data": layout.data, "operator_uid": os.geteuid(), "root_key": kind.value}
        scene.out.lines({**value, "data": str(layout.data)}, lines)


def _add_serve(app: typer.Typer) -> None:
    @app.command("serve", help=text("help.serve"))
    def serve(
        context: typer.Context,
        config: Annotated[Path | None, typer.Option("--config", help=text("help.config"))] = None,
        base_port: Annotated[int | None, typer.Option("--base-port", help=text("help.base_port"))] = None,
        *,
        passphrase_fd: Annotated[
            int | None, typer.Option("--passphrase-fd", help=text("help.passphrase_fd"))
        ] = None,
        shares_fd: Annotated[int | None, typer.Option("--shares-fd", help=text("help.shares_fd"))] = None,
        pin_fd: Annotated[int | None, typer.Option("--pin-fd", help=text("help.pin_fd"))] = None,
        guide: Annotated[bool, typer.Option("--guide", help=text("help.guide"))] = False,
    ) -> None:
        from postkeep.node import start
        from postkeep.node.cli.unsealing import Descriptors, root_secret
        from postkeep.node.config import Config
        from postkeep.node.supervisor.layout import Layout
        from postkeep.node.supervisor.plan import ports
        from postkeep.services.kms.root_kinds import RootKind

        scene = scene_of(context)
        options = start.Options(scene.data, config, base_port)
        loaded_config = start.load_config(options)
        kind, secret = root_secret(scene.data, loaded_config, Descriptors(passphrase_fd, shares_fd, pin_fd))
        options = start.Options(scene.data, config, base_port, root_secret=secret)
        if kind is RootKind.FILE and sys.stderr.isatty():
            sys.stderr.write(text("serve.development") + "\n")

        def announce(layout: Layout, loaded: Config, withheld: str) -> None:
            if not (guide and sys.stdout.isatty()):  # the guide says the same to who looks on
                sys.stdout.buffer.write(start.ready_line(layout, loaded, withheld) + b"\n")
                sys.stdout.flush()
            if withheld and sys.stderr.isatty():
                sys.stderr.write(text(f"serve.withheld.{withheld}") + "\n")
            if guide:
                lines = [text("guide.ready", address=loaded.listen.address)]
                lines += [f"  {name:12} {port}" for name, port in ports(loaded).items()]
                lines += ["", text("guide.ca", path=layout.ca_file), "", text("guide.next")]
                data = "" if str(scene.data) == "var" else f" --data {scene.data}"
                program = ".venv/bin/postkeep" if Path(".venv/bin/postkeep").exists() else "postkeep"
                lines += [
                    f"  {program} tenant create example.com{data}",
                    f"  {program} user create alice@example.com{data}",
                    "",
                    text("guide.stop"),
                ]
                sys.stderr.write("\n".join(lines) + "\n")

        start.serve(options, announce)


def _add_looking(app: typer.Typer) -> None:
    @app.command("doctor", help=text("help.doctor"))
    def doctor(
        context: typer.Context,
        base_port: Annotated[int | None, typer.Option("--base-port", help=text("help.base_port"))] = None,
    ) -> None:
        from postkeep.node.doctor import examine
        from postkeep.node.doctor.finding import Verdict

        scene = scene_of(context)
        findings = examine(scene.data, base_port)
        number = language()
        cells = [(*found.titles(number), found.says(number), found.advises(number)) for found in findings]
        values = [
            {
                "check": found.check,
                "verdict": found.verdict,
                "finding": found.says(number),
                "advice": found.advises(number),
            }
            for found in findings
        ]
        scene.out.rows(values, ("status", "check", "finding", "advice"), cells)
        bad = any(found.verdict is Verdict.BAD for found in findings)
        raise typer.Exit(Exit.PROBLEMS if bad else Exit.OK)

    @app.command("version", help=text("help.version"))
    def version(context: typer.Context) -> None:
        import platform
        from importlib import metadata

        from cryptography.hazmat.backends.openssl import backend

        value = {
            "postkeep": metadata.version("postkeep"),
            "python": platform.python_version(),
            "openssl": backend.openssl_version_text(),
        }
        scene_of(context).out.lines(value, [f"{name} {number}" for name, number in value.items()])
