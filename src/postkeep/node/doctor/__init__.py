"""`postkeep doctor`: what is wrong with this machine and this node, and what to do about it."""

from collections.abc import Iterator
from pathlib import Path

from postkeep.base.errors import PostkeepError
from postkeep.node import start
from postkeep.node.config import Config
from postkeep.node.doctor.backups import check_backups
from postkeep.node.doctor.directory import check_directory
from postkeep.node.doctor.finding import Finding, Verdict, bad, ok
from postkeep.node.doctor.governing import check_governance
from postkeep.node.doctor.living import check_node
from postkeep.node.doctor.machine import check_machine
from postkeep.node.doctor.memory import check_memory
from postkeep.node.doctor.silence import check_silence
from postkeep.node.doctor.withholding import check_withheld
from postkeep.node.doctor.witnessing import check_witnesses
from postkeep.node.supervisor.layout import open_layout

__all__ = ["Finding", "Verdict", "examine"]


def examine(data: Path, base_port: int | None = None) -> list[Finding]:
    """Make every check and return what was found, in a fixed order."""
    return list(_examine(data, base_port))


def _examine(data: Path, base_port: int | None) -> Iterator[Finding]:
    try:
        config = start.load_config(start.Options(data, base_port=base_port))
        yield ok("configuration", "config.ok", path=data / "postkeep.toml")
    except PostkeepError as error:
        config = Config()
        yield bad("configuration", "config.bad", problem=error.public_text)
    yield from check_machine(config)
    yield from check_memory()
    try:
        layout = open_layout(data, config, serving=False)
    except PostkeepError as error:
        yield bad("data directory", "config.bad", problem=error.public_text)
        return
    yield from check_directory(layout, config)
    yield from check_node(layout, config)
    yield from check_silence(layout, config)
    yield from check_backups(layout, config)
    yield from check_governance(layout)
    yield from check_withheld(layout)
    yield from check_witnesses(layout, config)
