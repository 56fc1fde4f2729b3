"""A command starts fast because it imports what it needs, and nothing of what the node itself is made of."""

import subprocess
import sys
from importlib import import_module

import pytest
import typer
from typer.main import get_group

from postkeep.node.cli.app import COMMANDS
from postkeep.node.cli.texts import text

OF_A_NODE = {
    "argon2",
    "asyncpg",
    "cedarpy",
    "dns",
    "obstore",
    "pkcs11",
    "prometheus_client",
    "reportlab",
    "structlog",
    "uvloop",
}
"""What the modules of a running node use, or one command at its own moment."""
OF_A_CALL = {"asyncio", "cryptography", "pydantic", "rich", "ssl"}
"""What reading arguments, asking a node and drawing a table need, and the list of commands does not."""

_HELP = """
import sys
from postkeep.node.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
    print(*sys.modules)
"""
_ALL_COMMANDS = """
import sys
from importlib import import_module
import typer
for module in sys.argv[1:]:
    import_module("postkeep.node.cli." + module).add(typer.Typer())
print(*sys.modules)
"""


def _imported(program: str, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", program, *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name.partition(".")[0] for name in answer.splitlines()[-1].split()}


def test_the_list_of_commands_imports_no_command() -> None:
    imported = _imported(_HELP, "--help")
    assert "typer" in imported
    assert not imported & (OF_A_NODE | OF_A_CALL)


def test_no_command_imports_what_only_a_node_uses() -> None:
    imported = _imported(_ALL_COMMANDS, *COMMANDS)
    assert "postkeep" in imported
    assert not imported & OF_A_NODE


@pytest.mark.parametrize("module", COMMANDS)
def test_the_tree_names_every_command_and_describes_it_as_the_command_does(module: str) -> None:
    part = typer.Typer()
    import_module(f"postkeep.node.cli.{module}").add(part)
    own = {name: command.help for name, command in get_group(part).commands.items()}
    assert own == {name: text(f"help.{name.replace('-', '_')}") for name in COMMANDS[module]}
