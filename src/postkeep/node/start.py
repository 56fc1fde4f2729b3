"""`postkeep init` and `postkeep serve`, without their texts: from a directory to a running node."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from postkeep.base.errors import InvalidInputError, NotFoundError
from postkeep.base.files import sync_directory
from postkeep.node import config as configuration
from postkeep.node import logs
from postkeep.node.config import Config
from postkeep.node.disks import check_disks
from postkeep.node.preload import preload
from postkeep.node.running import Lock
from postkeep.node.sandbox.process import raise_descriptor_limit
from postkeep.node.supervisor.database import Database
from postkeep.node.supervisor.layout import Layout, open_layout, prepare
from postkeep.node.supervisor.loop import Supervisor
from postkeep.node.supervisor.own_tls import adopt
from postkeep.node.supervisor.plan import KEEPER_NAMES, PORT_NAMES, metrics_port, plan, ports
from postkeep.node.supervisor.ports import bind_all, listen
from postkeep.node.supervisor.root_secret import HeldRootSecret

FIRST_CONFIGURATION: Final = """\
# Postkeep's configuration. Everything has a default that works; `postkeep doctor` checks what stands here.
# The names and defaults are in src/postkeep/node/config.py.

[node]
# hostname = "mail.example.com"

[listen]
# address = "127.0.0.1"
# base_port = 2525

[keys]
# root = "file"        # "passphrase": asked for at every start
"""

_INIT_STOP_SECONDS_MAX: Final = 60.0
"""Nobody waits for a port: the first start after it shall not have to replay a log."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line decides."""

    data: Path
    config_file: Path | None = None
    base_port: int | None = None
    root_secret: bytearray | None = None
    """What opens the root key: a passphrase, a PIN, or the secret of the shares."""


def load_config(options: Options) -> Config:
    """Read the configuration and apply the command line's choices."""
    path = options.config_file or options.data / "postkeep.toml"
    if options.config_file is not None and not path.exists():
        raise NotFoundError(public_text=f"There is no configuration at {path}.")
    try:
        config = configuration.load(path)
    except msgspec.MsgspecError as exc:
        raise InvalidInputError(public_text=f"{path}: {exc}") from exc
    if options.base_port is not None:
        config = msgspec.structs.replace(
            config, listen=msgspec.structs.replace(config.listen, base_port=options.base_port)
        )
    return config


def initialise(options: Options) -> Layout:
    """Make directories, database, configuration and keys; harmless to repeat."""
    options.data.mkdir(mode=0o711, parents=True, exist_ok=True)
    config = load_config(options)
    layout = open_layout(options.data, config, serving=True)
    prepare(layout, config)
    check_disks(config)
    with Lock(layout.run, config):
        if not layout.config_file.exists():
            layout.config_file.write_text(FIRST_CONFIGURATION, "utf-8")
            layout.config_file.chmod(0o600)
        config = adopt(layout, config)
        Database(layout, config).create()
        # Why it fails is said in words at the end; what else the keepers tell is for who serves.
        config = msgspec.structs.replace(config, log=msgspec.structs.replace(config.log, level="error"))
        slots = plan(config, KEEPER_NAMES)
        preload(slots)
        supervisor = Supervisor(
            layout,
            config,
            slots,
            {},
            root_secret=HeldRootSecret(options.root_secret or bytearray()),
            on_ready=Supervisor.stop,
            stop_seconds_max=_INIT_STOP_SECONDS_MAX,
        )
        supervisor.run(None)
        if supervisor.failure:
            raise InvalidInputError(public_text=supervisor.failure, code="start_failed")
        _mark_complete(layout)
    return layout


def serve(options: Options, on_ready: Callable[[Layout, Config, str], None]) -> None:
    """Run the node until it is told to stop.

    `on_ready` also hears why kms gives no keys (`restored`, `ledger`); empty where it gives them.
    """
    config = load_config(options)
    layout = open_layout(options.data, config, serving=True)
    if not (layout.data / "initialised").exists():
        raise NotFoundError(
            public_text=f"{options.data} holds no node yet: run `postkeep init --data {options.data}`."
        )
    prepare(layout, config)
    check_disks(config)
    with Lock(layout.run, config):
        logs.configure(config.log, "supervisor", "supervisor")
        raise_descriptor_limit()
        config = adopt(layout, config)
        Database(layout, config).create()  # where an earlier release did without
        slots = plan(config)
        sockets = bind_all(slots, config)
        metrics = listen("127.0.0.1", metrics_port(config), shared=False)
        gc.disable()
        preload(slots)
        supervisor = Supervisor(
            layout,
            config,
            slots,
            sockets,
            root_secret=HeldRootSecret(options.root_secret or bytearray()),
            on_ready=lambda started: on_ready(layout, config, started.withheld),
        )
        supervisor.run(metrics)
        if supervisor.failure:
            raise InvalidInputError(public_text=supervisor.failure, code="start_failed")


def ready_line(layout: Layout, config: Config, withheld: str = "") -> bytes:
    """Return the one line that outside programs wait for; with `withheld` where no keys are given."""
    served = ports(config)
    line: dict[str, object] = {
        "event": "ready",
        "ports": {name: served.get(name) for name in PORT_NAMES},
        "ca": str(layout.ca_file),
    }
    return msgspec.json.encode(line | {"withheld": withheld} if withheld else line)


def _mark_complete(layout: Layout) -> None:
    marker = layout.data / "initialised"
    marker.touch(mode=0o600)
    sync_directory(layout.data)
