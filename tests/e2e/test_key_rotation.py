"""K5, K8 from outside: keys rotated on a running node, kms killed in the middle, a public key swapped."""

import contextlib
import imaplib
import os
import signal
import smtplib
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.node_process import Node, new_node

pytestmark = pytest.mark.e2e

PASSWORD = "turn and turn again 1"
ALICE, BOB = "alice@turning.example", "bob@turning.example"
CONFIG = "[keys]\nretire_seconds = 0\nprincipal_days = 0\n[relay]\nallow_private_addresses = true\n"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with new_node(config=CONFIG) as running:
        running.tenant("turning.example")
        for person in (ALICE, BOB):
            running.user(person, PASSWORD)
        yield running


def send(node: Node, person: str, subject: str) -> None:
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=30) as client:
        client.sendmail("x@y.example", [person], f"Subject: {subject}\r\n\r\ntext {subject}\r\n".encode())


def subjects(node: Node, person: str) -> list[str]:
    tls = ssl.create_default_context(cafile=node.ca)
    deadline = time.monotonic() + 20
    while True:
        try:
            with imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=tls) as client:
                client.login(person, PASSWORD)
                client.select("INBOX")
                _, found = client.fetch("1:*", "(BODY.PEEK[TEXT])")
                return [part[1].decode().strip() for part in found if isinstance(part, tuple)]
        except imaplib.IMAP4.error:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def ended(node: Node, rotation: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        shown = node.json("key", "rotation", "show", rotation)
        if shown["ended_ms"] is not None:
            return dict(shown)
        assert time.monotonic() < deadline, shown
        time.sleep(0.2)


def test_every_kind_of_key_is_rotated_and_old_mail_stays_readable(node: Node) -> None:
    send(node, ALICE, "before")
    assert subjects(node, ALICE) == ["text before"]
    old_root = (node.data / "state/kms/root.key").read_bytes()
    for arguments in (
        ("root",),
        ("tenant", "turning.example"),
        ("category", "turning.example", "secret"),
        ("category", "turning.example", "account"),
        ("principal", ALICE),
    ):
        said = node.cli("key", "rotate", *arguments, "--wait").stdout
        assert "the old key is destroyed" in said
        assert subjects(node, ALICE)[0] == "text before"
    assert (node.data / "state/kms/root.key").read_bytes() != old_root
    send(node, ALICE, "after")
    assert subjects(node, ALICE) == ["text before", "text after"]
    listed = node.json("key", "rotation", "list")
    assert [(item["kind"], item["phase"], item["generation"]) for item in listed] == [
        ("principal", "done", 2),
        ("category", "done", 2),
        ("category", "done", 2),
        ("tenant", "done", 2),
        ("root", "done", 2),
    ]
    table = node.cli("key", "rotation", "list", "--lang", "zh-CN").stdout
    assert "根密钥" in table
    assert "完成" in table
    told = [entry for entry in node.json("ledger", "show", "--count", "1000") if entry["event"] == "key.rotate"]
    assert {entry["note"] for entry in told} >= {"root begin", "root done", "principal begin", "principal done"}
    node.stop()
    node.start()
    assert subjects(node, ALICE) == ["text before", "text after"]


def test_kms_killed_in_the_middle_of_a_rotation_comes_back_and_ends_it(node: Node) -> None:
    """K5 with real processes: SIGKILL while rotations run, over and over."""
    send(node, BOB, "kept")
    expected = subjects(node, BOB)
    rotations = []
    for _ in range(4):
        for arguments in (("root",), ("tenant", "turning.example"), ("principal", BOB)):
            with contextlib.suppress(AssertionError):  # kms may be away at this moment
                rotations.append(node.json("key", "rotate", *arguments)["id"])
        os.kill(node.processes()["kms-0"], signal.SIGKILL)
        time.sleep(0.5)
    assert rotations
    for rotation in rotations:
        assert ended(node, rotation)["phase"] == "done"
    assert subjects(node, BOB) == expected
    send(node, BOB, "more")
    assert subjects(node, BOB) == [*expected, "text more"]


def test_what_can_not_be_rotated_is_said(node: Node) -> None:
    for arguments, word in (
        (("tenant", "nobody.example"), "no such domain"),
        (("principal", "nobody@turning.example"), "There is no"),
        (("category", "turning.example", "content"), "secret, account"),
    ):
        result = node.cli("key", "rotate", *arguments, check=False)
        assert result.returncode == 1, result
        assert word.lower() in result.stderr.lower(), result.stderr
    assert node.cli("key", "rotation", "show", "00" * 16, check=False).returncode == 1
