"""Checks of the node itself: does it run, does every module answer, is the ledger whole."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postkeep.node.config import Config, ledger_of
from postkeep.node.doctor.finding import Finding, bad, ok
from postkeep.node.running import RunningState, probe, running
from postkeep.node.supervisor.layout import LEDGER_KEY_FILE, LEDGER_MLDSA44_FILE, Layout
from postkeep.node.supervisor.plan import KEEPER_NAMES, ports

_CONNECT_SECONDS: Final = 1.0


def check_node(layout: Layout, config: Config) -> Iterator[Finding]:
    """Examine the running node, or say that none runs."""
    state = running(layout.data)
    if state is None:
        yield ok("node", "node.down", path=layout.data)
        yield _ports_of_nobody(config)
    else:
        asked = {
            name: _answers(Path(state.run) / f"{name}.sock") for name in (*KEEPER_NAMES, "steward", "backup")
        }
        silent = [name for name, answers in asked.items() if not answers]
        if silent:
            yield bad("node", "node.silent", pid=state.pid, modules=", ".join(silent))
        else:
            yield ok("node", "node.up", pid=state.pid, modules=", ".join(asked))
        yield _ports_of_node(state, config)
    yield _ledger(layout, config)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_CONNECT_SECONDS)
        try:
            sock.connect(str(path))
        except OSError:
            return False
        return True


def _ports_of_node(state: RunningState, config: Config) -> Finding:
    distance = state.base_port - config.listen.base_port
    numbers = [number + distance for number in ports(config).values()]
    silent = [number for number in numbers if not probe(state.address, number, _CONNECT_SECONDS)]
    if silent:
        return bad("ports", "ports.silent", ports=_list(silent))
    return ok("ports", "ports.ours", ports=_list(numbers))


def _ports_of_nobody(config: Config) -> Finding:
    numbers = list(ports(config).values())
    taken = [number for number in numbers if probe(config.listen.address, number, _CONNECT_SECONDS)]
    if taken:
        return bad("ports", "ports.taken", ports=_list(taken))
    return ok("ports", "ports.free", ports=_list(numbers))


def _ledger(layout: Layout, config: Config) -> Finding:
    from postkeep.services.ledger.verify import verify_directory

    key_file = layout.data / LEDGER_KEY_FILE
    directory = ledger_of(layout.data, config)
    if not key_file.is_file() or not directory.is_dir():
        return ok("ledger", "ledger.none")
    keys = [
        bytes.fromhex(path.read_text("ascii").strip()) if path.is_file() else b""
        for path in (key_file, layout.data / LEDGER_MLDSA44_FILE)
    ]
    report = verify_directory(directory, keys[0], mldsa_key=keys[1])
    if report.findings:
        return bad("ledger", "ledger.bad", finding=report.findings[0])
    return ok("ledger", "ledger.ok", entries=report.entries, size=report.checkpoint_size)


def _list(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)
