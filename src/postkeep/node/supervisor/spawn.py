"""Forking: one process of a module, or a short-lived one for an errand."""

import os
import secrets
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from postkeep.node.config import Config, CustodyConfig, TokenConfig
from postkeep.node.sandbox.process import Confinement, close_inherited, open_descriptors
from postkeep.node.supervisor import frames
from postkeep.node.supervisor.child import Birth, become
from postkeep.node.supervisor.layout import Layout, category_directories
from postkeep.node.supervisor.plan import Module, Slot


@dataclass(slots=True)
class Process:
    """A running process, as the supervisor sees it."""

    slot: Slot
    instance: str
    pid: int
    link: socket.socket
    started: float
    """On the monotonic clock, seconds."""
    uid: int
    ready: bool = False
    stopping: bool = False
    failure: str = ""
    """What the process said of its end."""
    failure_is_final: bool = False
    """Trying again with what it was given can't help, and may do harm."""
    failed_for_now: bool = False
    """It also said that trying again may help."""

    def send(self, frame: frames.ToChild) -> None:
        """Tell it something; a process that is dying hears nothing, and its end is noticed elsewhere."""
        try:
            self.link.send(frames.encode(frame))
        except OSError:
            structlog.get_logger().debug("link_closed", to=self.instance)


def spawn(
    slot: Slot, layout: Layout, config: Config, sockets: dict[str, socket.socket], now: float
) -> Process:
    """Fork a process for `slot`."""
    ours, theirs = frames.pair()
    instance = f"{slot.name}.{secrets.token_hex(2)}"
    state = layout.state(slot.module)
    token = config.keys.pkcs11 if slot.module.name == "kms" else TokenConfig()
    backup = slot.module.name == "backup" and bool(config.backup.target)
    custody = config.custody if slot.module.name == "custody" else CustodyConfig()
    confinement = Confinement(
        uid=layout.uid(slot.module),
        gid=layout.uid(slot.module),
        groups=(layout.keepers_gid,) if slot.module.keeper and layout.keepers_gid is not None else (),
        read_write=(
            state,
            *category_directories(slot.module, config),
            *map(Path, (*token.paths, *custody.paths)),
            *((layout.wal_spool,) if backup else ()),
        ),
        read_only=tuple(Path(module) for module in (token.module, *custody.modules) if module),
        sockets=layout.run if slot.module.keeper else None,
        connects=connects(slot.module, config),
    )
    birth = Birth(
        slot=slot,
        instance=instance,
        config=config,
        data_dir=layout.data,
        state_dir=state,
        run_dir=layout.run,
        link=theirs,
        sockets=sockets,
        confinement=confinement,
    )
    parent = os.getpid()
    pid = fork(
        lambda: become(birth, parent), (theirs.fileno(), *(sock.fileno() for sock in sockets.values()))
    )
    theirs.close()
    uid = os.geteuid() if confinement.uid is None else confinement.uid
    return Process(slot, instance, pid, ours, now, uid)


def connects(module: Module, config: Config) -> tuple[int, ...] | None:
    """Return the TCP ports that a module may connect to; None: all, for those whom others give addresses."""
    anywhere = {
        "kms": config.keys.pkcs11.connects,
        "custody": config.custody.connects or bool(config.custody.transit),
        "backup": bool(config.backup.target) and config.backup.remote,
    }
    external = any(entry.dsn for entry in config.categories.values())
    if module.may_connect or anywhere.get(module.name) or (external and module.database):
        return None
    if module.name == "steward":
        return tuple(sorted({witness.port for witness in config.ledger.witnesses} - {0}))
    return ()


def fork(work: Callable[[], int], kept: Iterable[int]) -> int:
    """Fork; the child does `work` and exits with what it returns, whatever happens. Returns its pid.

    Of the supervisor's descriptors the child keeps the standard ones and `kept`; of its signal handlers none.
    """
    parents = open_descriptors()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        close_inherited(parents, kept)
        code = work()
    except BaseException:  # noqa: BLE001 - nothing may return into the supervisor's code
        traceback.print_exc(limit=8, file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(code)
