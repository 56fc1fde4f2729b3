"""A tenant's own log from a running node, exported and verified alone, in both languages (A2)."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.auditor import audit
from tests.node_process import Node, new_node

pytestmark = pytest.mark.e2e

CONFIG = "[ledger]\nanchor_seconds = 1.0\nheartbeat_seconds = 1.0\n"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with new_node(config=CONFIG) as made:
        made.tenant("one.example")
        made.tenant("other.example")
        made.user("alice@one.example", "correct horse battery")
        made.user("bob@other.example", "correct horse battery")
        yield made


def exported(node: Node, target: Path, *arguments: str) -> dict[str, object]:
    """Export as soon as the tenant's log is signed: within some seconds."""
    for _ in range(100):
        done = node.cli("ledger", "export", "--tenant", "one.example", str(target), "--json", check=False)
        if done.returncode == 0:
            value: dict[str, object] = json.loads(done.stdout)
            return value
        assert "no_tenant_log" in done.stdout + done.stderr, done.stdout + done.stderr
        time.sleep(0.2)
    raise AssertionError("the tenant's log was never signed")


def test_a_tenant_is_given_its_log_and_can_verify_it_alone(node: Node, tmp_path: Path) -> None:
    value = exported(node, tmp_path / "out")
    assert isinstance(value["entries"], int)
    assert value["entries"] > 0
    copy = tmp_path / "elsewhere"
    shutil.move(tmp_path / "out", copy)
    done = node.cli("ledger", "verify", "--offline", str(copy))
    assert "The ledger is whole" in done.stdout
    done = node.cli("--lang", "zh", "ledger", "verify", "--offline", str(copy))
    assert "账本完整" in done.stdout
    # One octet of one entry.
    bundle = next(path for path in (copy / "log" / "tile" / "entries").rglob("*") if path.is_file())
    changed = bytearray(bundle.read_bytes())
    changed[len(changed) // 2] ^= 1
    bundle.write_bytes(changed)
    done = node.cli("ledger", "verify", "--offline", str(copy), "--json", check=False)
    assert done.returncode != 0
    assert json.loads(done.stdout)["first_bad_index"] is not None
    again = node.cli("ledger", "export", "--tenant", "one.example", str(copy), check=False)
    assert again.returncode != 0
    assert "does not exist yet" in again.stderr


def stranger(node: Node, directory: Path) -> tuple[int, list[str]]:
    """Verify with the auditors' program, which shares no code with the node; return the kinds of faults."""
    code, answer = audit(directory, node.cli("ledger", "key").stdout.split())
    return code, [fault["kind"] for fault in answer.get("findings", ())]


def test_a_stranger_with_the_auditors_program_verifies_the_tenants_log_and_finds_what_was_altered(
    node: Node, tmp_path: Path
) -> None:
    """A2: each file of a real export altered, one after the other; the node's code is not asked."""
    good = tmp_path / "good"
    exported(node, good)
    assert stranger(node, good) == (0, [])

    def altered(name: str, change: Callable[[Path], object]) -> tuple[int, list[str]]:
        copy = tmp_path / name
        shutil.copytree(good, copy)
        change(copy)
        return stranger(node, copy)

    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    def told(copy: Path, change: Callable[[dict[str, Any]], object]) -> None:
        value = json.loads((copy / "anchors.json").read_text())
        change(value)
        (copy / "anchors.json").write_text(json.dumps(value))

    (bundle,) = [path for path in (good / "log/tile/entries").rglob("*") if path.is_file()]
    (tile,) = [path for path in (good / "log/tile/0").rglob("*") if path.is_file()]
    assert altered("entry", lambda copy: flip(copy / bundle.relative_to(good)))[0] == 1
    assert altered("tile", lambda copy: flip(copy / tile.relative_to(good))) == (1, ["tile_altered"])
    assert altered("gone", lambda copy: (copy / bundle.relative_to(good)).unlink()) == (1, ["file_missing"])
    assert altered("head", lambda copy: flip(copy / "log/checkpoint"))[0] == 2
    assert altered("installation", lambda copy: flip(copy / "installation-checkpoint"))[0] == 2
    code, kinds = altered("anchor", lambda copy: told(copy, lambda told: told["anchors"][-1]["proof"].pop()))
    assert (code, kinds[0]) == (1, "anchor_unproved")
    code, kinds = altered("unanchored", lambda copy: told(copy, lambda told: told["anchors"].clear()))
    assert (code, kinds) == (1, ["anchor_missing"])
    assert altered("foreign", lambda copy: told(copy, lambda told: told.update(tenant="00" * 16)))[0] == 2


def test_the_public_keys_are_shown_as_verifiers_take_them(node: Node) -> None:
    keys = json.loads(node.cli("ledger", "key", "--json").stdout)
    assert [key.split("+", 2)[0] for key in keys["keys"]] == [keys["origin"]] * 2
    assert node.cli("ledger", "key").stdout.split() == keys["keys"]


def test_the_whole_ledger_is_verified_with_the_logs_of_its_tenants(node: Node, tmp_path: Path) -> None:
    exported(node, tmp_path / "out")
    value = json.loads(node.cli("ledger", "verify", "--json").stdout)
    assert value["ok"]
    assert len(value["tenants"]) >= 2
    assert "tenants agree" in node.cli("ledger", "verify").stdout


def test_a_module_that_is_killed_shows_as_silent_and_one_that_stops_does_not(node: Node) -> None:
    entries = json.loads(node.cli("ledger", "show", "--count", "400", "--json").stdout)
    beating = {
        entry["source"].partition(".")[0].partition("-")[0]
        for entry in entries
        if entry["event"] == "heartbeat"
    }
    assert {"ledger", "authority", "kms", "vault", "imap", "mx", "submission", "relay", "steward"} <= beating
    node.stop()
    entries_dir = node.data / "state" / "ledger"
    assert entries_dir.is_dir()
    value = json.loads(node.cli("ledger", "verify", "--json").stdout)
    assert value["ok"]
    assert value["silent"] == []
    node.start()


def told_silent(node: Node) -> dict[str, str]:
    """Return the processes that the ledger has told of, each with the one that has taken its place."""
    entries = json.loads(node.cli("ledger", "show", "--count", "400", "--json").stdout)
    return {entry["actor"]: entry.get("note", "") for entry in entries if entry.get("code") == "silent"}


def soon(true: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not come to pass"
        time.sleep(0.5)


def test_a_module_that_hangs_or_is_killed_is_told_of_after_three_heartbeats_and_shown(node: Node) -> None:
    """A6, the first thing that an auditor asks: who has stopped reporting, and how would one know?"""
    processes = node.processes()

    def states() -> dict[str, str]:
        found = json.loads(node.cli("ledger", "sources", "--json", check=False).stdout)
        return {one["source"].partition(".")[0]: one["state"] for one in found if not one["successor"]}

    soon(lambda: states().get("relay-0") == "lives")
    os.kill(processes["relay-0"], signal.SIGSTOP)
    try:
        soon(lambda: any(source.startswith("relay-0.") for source in told_silent(node)))
        shown = node.cli("ledger", "sources", check=False)
        assert shown.returncode == 5
        assert "SILENT" in shown.stdout
        assert "静默" in node.cli("--lang", "zh", "ledger", "sources", check=False).stdout
        findings = json.loads(node.cli("doctor", "--json", check=False).stdout)
        (found,) = [finding for finding in findings if finding["check"] == "signs of life"]
        assert found["verdict"] == "bad"
        assert "relay-0." in found["finding"]
    finally:
        os.kill(processes["relay-0"], signal.SIGCONT)
    os.kill(processes["submission-0"], signal.SIGKILL)
    soon(lambda: any(new.startswith("submission-0.") for new in told_silent(node).values()))
    soon(lambda: states().get("relay-0") == "lives")
    shown = node.cli("ledger", "sources")
    assert "ended without a farewell; submission-0." in shown.stdout
