"""Destruction orders, legal holds and certificates as an operator sees them (D4, D5, D6, TM-26)."""

import imaplib
import json
import os
import shutil
import signal
import smtplib
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.node_process import Node, new_node

pytestmark = pytest.mark.e2e

PASSWORD = "ordered to be gone 1"
DOMAIN = "ordered.example"
KEY_FILES = ("certificate.pub", "ledger.pub", "ledger-mldsa44.pub")
REFUSED, PROBLEMS = 1, 5


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with new_node() as running:
        running.tenant(DOMAIN)
        yield running


def person(node: Node, local: str, count: int) -> str:
    """Make a person with mail."""
    address = f"{local}@{DOMAIN}"
    node.user(address, PASSWORD)
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=30) as client:
        for number in range(count):
            text = f"Subject: {number}\r\n\r\na sentence of {local}\r\n"
            client.sendmail("x@y.example", [address], text.encode())
    return address


def signed_in(node: Node, address: str) -> imaplib.IMAP4_SSL:
    tls = ssl.create_default_context(cafile=node.ca)
    client = imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=tls, timeout=30)
    client.login(address, PASSWORD)
    client.select("INBOX")
    return client


def test_a_message_is_destroyed_by_its_number_and_certified(node: Node, tmp_path: Path) -> None:
    """D5, from outside: the certificate holds with the public keys alone, and not when a digit is changed."""
    address = person(node, "ann", 4)
    listed = node.json("destroy", "list", address, "inbox")
    assert [row["uid"] for row in listed] == [1, 2, 3, 4]
    assert "a sentence" not in json.dumps(listed)
    shown = node.cli("destroy", "message", address, "inbox", "2:3", "--reason", "case 7", "--yes", "--wait")
    assert "[x] verified: searched for and not found" in shown.stdout
    assert "Messages destroyed: 2" in shown.stdout
    assert "keys destroyed" in shown.stderr, "progress is told by step"
    with signed_in(node, address) as client:
        assert client.uid("SEARCH", "ALL")[1] == [b"1 4"]
    order = node.json("order", "list")[0]
    assert (order["unit"], order["step"], order["reason"]) == ("message", "certified", "case 7")
    file, pdf, chinese = tmp_path / "certificate.json", tmp_path / "c.pdf", tmp_path / "zh.pdf"
    node.cli("certificate", "show", order["id"], "--output", str(file), "--pdf", str(pdf))
    node.cli("certificate", "show", order["id"], "--pdf", str(chinese), "--lang", "zh-CN")
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert chinese.read_bytes() != pdf.read_bytes()
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in KEY_FILES:
        shutil.copy(node.data / name, keys)
    assert "is genuine" in node.cli("certificate", "verify", str(file), "--key", str(keys)).stdout
    assert "真实有效" in node.cli("certificate", "verify", str(file), "--lang", "zh-CN").stdout
    file.write_bytes(file.read_bytes().replace(b'"messages":2', b'"messages":3'))
    forged = node.cli("certificate", "verify", str(file), "--key", str(keys), check=False)
    assert forged.returncode == PROBLEMS
    assert "does not hold" in forged.stderr


def test_a_hold_beats_every_way_of_destroying_and_what_waited_goes_on(node: Node) -> None:
    """D4: the operator's orders are refused or wait, the owner's expunge only goes out of sight."""
    address = person(node, "bob", 3)
    placed = node.json("hold", "place", "--person", address, "--reason", "a lawsuit", "--class", "litigation")
    hold = placed["id"]
    for language, words in (("en", "under legal hold"), ("zh-CN", "法律保留")):
        refused = node.cli("user", "delete", address, "--yes", "--lang", language, check=False)
        assert refused.returncode == REFUSED
        assert words in refused.stderr
        assert f"{hold} (litigation)" in refused.stderr
        assert "a lawsuit" not in refused.stderr
    assert node.cli("tenant", "delete", DOMAIN, "--yes", check=False).returncode == REFUSED
    waiting = node.cli("destroy", "person", address, "--yes", check=False)
    assert waiting.returncode == REFUSED
    assert f"release of legal hold {hold}" in waiting.stdout
    with signed_in(node, address) as client:
        client.store("1", "+FLAGS", r"(\Deleted)")
        assert client.expunge()[1] == [b"1"]
        assert client.uid("SEARCH", "ALL")[1] == [b"2 3"]
    order = node.json("order", "list")[0]
    assert (order["step"], order["waiting"], order["waiting_for"]) == ("requested", "held", [hold])
    assert [one["id"] for one in node.json("hold", "list")] == [hold]
    node.cli("hold", "release", hold)
    assert node.json("hold", "list") == []
    done = node.json("order", "resume", order["id"], "--wait")
    # The key of the mail, and the one of personal values in the ledger: somebody has signed in.
    assert (done["step"], done["keys"]) == ("certified", 2)
    assert node.cli("user", "show", address, check=False).returncode == REFUSED


def test_an_order_is_finished_by_a_steward_that_was_killed(node: Node) -> None:
    """D6, on a whole node."""
    address = person(node, "cleo", 2)
    order = node.json("destroy", "person", address, "--yes")
    os.kill(node.processes()["steward-0"], signal.SIGKILL)
    end = time.monotonic() + 60
    while True:
        shown = node.json("order", "show", order["id"])
        assert shown["step"] != "verified" or shown["files"] > 0
        if shown["step"] == "certified":
            break
        assert time.monotonic() < end, shown
        time.sleep(0.5)
    certificate = node.json("certificate", "show", order["id"])
    assert certificate["body"]["keys"] == 1
    assert certificate["body"]["search"]["control_found"] is True


def test_what_can_not_be_destroyed_is_refused_with_a_reason(node: Node) -> None:
    for words, said in (
        (("destroy", "category", DOMAIN, "metadata"), "Without metadata"),
        (("destroy", "category", DOMAIN, "audit"), "forgets nothing"),
        (("destroy", "mailbox", "nobody@ordered.example", "inbox"), "no such"),
        (("hold", "show", "0" * 32), "no such hold"),
        (("order", "show", "0" * 32), "no such order"),
    ):
        refused = node.cli(*words, *(["--yes"] if words[0] == "destroy" else []), check=False)
        assert refused.returncode == REFUSED
        assert said in refused.stderr
    scope = node.cli("hold", "place", "--reason", "x", check=False)
    assert "--person" in scope.stderr
