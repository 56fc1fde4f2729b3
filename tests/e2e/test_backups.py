"""TM-14. Backups from outside: a node under load, killed on the way, and brought back in another directory.

What was acknowledged before a backup began is in it once, byte for byte; a restored node's ledger verifies; a
point in time between two backups can be gone back to. D3 is in test_backups_destroyed.py.
"""

import contextlib
import datetime as dt
import imaplib
import json
import os
import shutil
import signal
import smtplib
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.node_process import PROGRAM, Node, free_base_port, new_node

PASSWORD = "a long enough word"
ALICE = "alice@backup.example"
ONE_WORKER = "[node]\nworkers = 1\n"


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="pkb-", dir="/tmp"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def send(node: Node, to: str, name: str, text: str = "") -> bytes:
    message = (
        f"From: s@other.example\r\nMessage-ID: <{name}@other.example>\r\nSubject: {name}\r\n\r\n{text}\r\n"
    )
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=20) as client:
        client.sendmail("s@other.example", [to], message.encode())
    return message.encode()


def login(node: Node, address: str) -> imaplib.IMAP4_SSL:
    client = imaplib.IMAP4_SSL(
        "127.0.0.1", node.ports["imaps"], ssl_context=ssl.create_default_context(cafile=node.ca)
    )
    try:
        client.login(address, PASSWORD)
    except imaplib.IMAP4.error:
        client.shutdown()
        raise
    client.select("INBOX")
    return client


def inbox(node: Node, address: str) -> list[bytes]:
    client = login(node, address)
    _, found = client.uid("FETCH", "1:*", "(UID BODY.PEEK[])")
    client.logout()
    return [part[1] for part in found if isinstance(part, tuple)]


def restore(place: str, into: Path, root_key: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    where = ["--from", place, "--root-key", str(root_key), "--data", str(into / "var"), "--json"]
    return subprocess.run(
        [*PROGRAM, "backup", "restore", *where, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "LANG": "C.UTF-8"},
    )


@contextlib.contextmanager
def restored(place: str, root_key: Path, *options: str) -> Iterator[tuple[Node, Any]]:
    """A restored node, running, with what the command said."""
    with directory() as into:
        done = restore(place, into, root_key, *options)
        assert done.returncode == 0, done.stderr
        node = Node(into, free_base_port())
        try:
            node.start()
            yield node, json.loads(done.stdout)
        finally:
            if node.process is not None and node.process.poll() is None:
                node.stop()


def contains_once(found: list[bytes], message: bytes) -> bool:
    return sum(part.endswith(message) for part in found) == 1


@pytest.mark.e2e
def test_a_node_under_load_is_backed_up_killed_on_the_way_and_restored_to_any_moment() -> None:
    with directory() as target, new_node(config=ONE_WORKER + f'[backup]\ntarget = "{target}"\n') as node:
        node.tenant("backup.example")
        node.user(ALICE, PASSWORD)
        before = [send(node, ALICE, f"before{number}", "x" * 40 * number) for number in range(40)]
        stop = threading.Event()

        def keep_sending() -> None:
            number = 0
            while not stop.is_set():
                with contextlib.suppress(OSError, smtplib.SMTPException):
                    send(node, ALICE, f"during{number}")
                number += 1

        sender = threading.Thread(target=keep_sending)
        sender.start()
        try:
            first = node.json("backup", "create")
            killed_in_the_middle(node)
            second = node.json("backup", "create")
        finally:
            stop.set()
            sender.join()
        assert not first["incremental"]
        assert second["incremental"]
        assert second["bytes_shipped"] < first["bytes_shipped"] / 2
        checked = node.json("backup", "verify", "--samples", "30")
        assert checked["ok"], checked
        assert checked["samples"]["opened"] == 30

        early = send(node, ALICE, "early")
        time.sleep(1.5)
        moment = dt.datetime.now(dt.UTC).isoformat()
        time.sleep(1.5)
        late = send(node, ALICE, "late")
        node.json("backup", "create")
        root_key = node.data / "state/kms/root.key"

        with restored(str(target), root_key) as (copy, said):
            found = inbox(copy, ALICE)
            assert all(contains_once(found, message) for message in [*before, early, late])
            assert len(found) == len(set(found))
            assert json.loads(copy.cli("ledger", "verify", "--json").stdout)["ok"]
            events = copy.json("ledger", "show", "--count", "400")
            assert "backup.restore" in [event["event"] for event in events]
            held, passed = [event for event in events if event["event"] == "key.accept_restored"]
            assert held["code"] == "held"
            assert passed["note"].endswith(", by-policy")  # K6: dual control is off, so nobody was asked
            after = send(copy, ALICE, "after")
            assert contains_once(inbox(copy, ALICE), after)
            assert said["missing"] == ""

        with restored(str(target), root_key, "--to", moment) as (copy, _):
            found = inbox(copy, ALICE)
            assert contains_once(found, early)
            assert not any(part.endswith(late) for part in found)
            assert contains_once(inbox(copy, ALICE), before[-1])

        occupied = restore(str(target), node.directory, root_key)
        assert occupied.returncode == 1
        assert json.loads(occupied.stderr)["error"]["code"] == "not_empty"


def killed_in_the_middle(node: Node) -> None:
    """Kill -9 the worker while it makes a backup; the supervisor brings it back."""
    command = subprocess.Popen(
        [*PROGRAM, "backup", "create", "--full", "--data", str(node.data)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 20
    while json.loads(node.cli("backup", "status", "--json").stdout)["state"] != "running":
        assert time.monotonic() < deadline
    pid = node.processes()["backup-0"]
    os.kill(pid, signal.SIGKILL)
    assert command.wait(timeout=60) != 0
    while node.processes().get("backup-0") in {None, pid}:
        assert time.monotonic() < deadline + 60
        time.sleep(0.1)


@pytest.mark.e2e
def test_backups_follow_their_schedule_and_a_changed_object_is_found_and_named() -> None:
    """What is due is made, and what is too many goes. The proof must be able to fail: one octet of one piece,
    and a manifest of another name."""
    config = ONE_WORKER + '[backup]\ntarget = "{}"\nevery_seconds = {}\nkeep = 2\n'
    with directory() as target, new_node(config=config.format(target, 1)) as node:
        node.tenant("backup.example")
        node.user(ALICE, PASSWORD)
        send(node, ALICE, "one", "x" * 5000)
        made = scheduled(node, after=int(time.time() * 1000))
        node.stop()
        assert node.json("backup", "verify")["samples"]["opened"] == 1
        (node.data / "postkeep.toml").write_text(config.format(target, 3600))  # else it is late by now
        found_out = [found for found in node.json("doctor") if found["check"] == "backups"]
        assert [found["verdict"] for found in found_out] == ["ok", "ok"], found_out
        piece = max(
            (target / "data").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0
        )
        octets = bytearray(piece.read_bytes())
        octets[len(octets) // 2] ^= 1
        piece.write_bytes(octets)
        found = node.cli("backup", "verify", "--json", check=False)
        assert found.returncode == 5
        assert piece.name in "".join(json.loads(found.stdout)["problems"])
        manifest = target / "backups" / made
        manifest.rename(manifest.with_name("0" * 32))
        found = node.cli("backup", "verify", "--id", made, "--json", check=False)
        assert found.returncode == 1
        assert json.loads(found.stderr)["error"]["code"] == "no_such_backup"
        chinese = node.cli("backup", "list", "--lang", "zh-CN").stdout
        assert "完成时间" in chinese


def scheduled(node: Node, after: int) -> str:
    """Wait for three backups that nobody asked for, ended after a moment (ms); return the last."""
    seen: dict[str, int] = {}
    deadline = time.monotonic() + 90
    while True:
        listed = node.json("backup", "list")
        assert len(listed) <= 3  # two that stay, and one that is being pruned
        seen |= {found["id"]: found["finished_ms"] for found in listed}
        if sum(finished > after for finished in seen.values()) >= 3:
            return str(listed[-1]["id"])
        assert time.monotonic() < deadline, node.tail()
        time.sleep(1)
