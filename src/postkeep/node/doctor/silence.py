"""Checks which processes the ledger still hears of."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from postkeep.base.clock import SystemClock
from postkeep.base.errors import IntegrityError
from postkeep.node.config import Config, ledger_of
from postkeep.node.doctor.finding import Finding, bad, ok, warn
from postkeep.node.supervisor.layout import Layout
from postkeep.services.ledger.life import MISSED_MAX, SILENT, Heard, heard


def check_silence(layout: Layout, config: Config) -> Iterator[Finding]:
    """Say which processes stopped speaking without a farewell. Damage of the ledger is another check's."""
    found = heard_of_node(layout.data, config)
    if not found:
        return
    silent = silent_places(found)
    ended = [one.source for one in found if one.state == SILENT and one.successor]
    if silent:
        yield bad("signs of life", "life.silent", sources=", ".join(silent))
    elif ended:
        yield warn("signs of life", "life.ended", count=len(ended), sources=", ".join(ended[-3:]))
    else:
        yield ok("signs of life", "life.ok", count=len(found))


def heard_of_node(data: Path, config: Config) -> list[Heard]:
    """Read what a node's ledger has heard in its last day; empty without a ledger, or without heartbeats."""
    directory = ledger_of(data, config)
    if not (directory / "log").is_dir():
        return []
    try:
        limit_ms = round(MISSED_MAX * 1000 * config.ledger.heartbeat_seconds)
        return heard(directory, SystemClock().now_ms() - limit_ms)
    except (IntegrityError, FileNotFoundError):
        return []


def silent_places(found: Iterable[Heard]) -> list[str]:
    """Name the processes that are silent and that nothing has replaced."""
    return [one.source for one in found if one.state == SILENT and not one.successor]
