"""A module that is killed under an administrator's script does not make the script fail, nor act twice."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from tests.node_process import Node, new_node

pytestmark = pytest.mark.e2e

AWAY_SECONDS = 1.0
VICTIMS = ("authority-0", "kms-0", "vault-0", "ledger-0", "steward-0")


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with new_node() as node:
        node.tenant("script.example")
        yield node


@contextlib.contextmanager
def away(node: Node, victim: str) -> Iterator[None]:
    """Keep a module from coming up for a while, from now on."""

    def kill() -> None:
        end = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(KeyError, ProcessLookupError):
                os.kill(node.processes()[victim], signal.SIGKILL)
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    time.sleep(0.1)
    try:
        yield
    finally:
        killer.join()


@pytest.mark.parametrize("victim", VICTIMS)
def test_commands_wait_for_a_module_that_restarts(node: Node, victim: str) -> None:
    name = victim.partition("-")[0]
    user = f"{name}@script.example"
    with away(node, victim):
        node.cli("user", "create", user, "--no-password")
    with away(node, victim):
        secret = node.json("app-password", "create", user, "phone")["password"]
    assert len(secret) >= 16
    assert len(node.json("app-password", "list", user)) == 1
    node.cli("user", "delete", user, "--yes")
    assert node.cli("user", "show", user, check=False).returncode == 1


def test_a_module_that_stays_away_is_reported_after_some_seconds(node: Node) -> None:
    vault = node.processes()["vault-0"]
    os.kill(vault, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        failed = node.cli("user", "create", "x@nowhere.example", "--no-password", check=False)
        assert failed.returncode == 1, "what is wrong for good is told at once"
        assert time.monotonic() - begun < 5
    finally:
        os.kill(vault, signal.SIGCONT)
