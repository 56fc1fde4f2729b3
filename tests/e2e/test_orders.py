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
from typing import Any

import pytest
from tests.e2e.test_backups import directory
from tests.node_process import Node, new_node

pytestmark = pytest.mark.e2e

CONFIG = """
[node]
workers = 1
[relay]
smarthost = "127.0.0.1:9"
allow_private_addresses = true
retry_seconds = [3600]
[backup]
target = "{target}"
"""
PASSWORD = "ordered to be gone 1"
DOMAIN = "ordered.example"
KEY_FILES = ("certificate.pub", "ledger.pub", "ledger-mldsa44.pub")
REFUSED, PROBLEMS = 1, 5


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with directory() as target, new_node(config=CONFIG.format(target=target)) as running:
        running.tenant(DOMAIN)
        yield running


def person(node: Node, local: str, count: int, domain: str = DOMAIN) -> str:
    """Make a person with mail."""
    address = f"{local}@{domain}"
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


def submit(node: Node, sender: str) -> None:
    """Have something wait to go out."""
    tls = ssl.create_default_context(cafile=node.ca)
    with smtplib.SMTP_SSL("localhost", node.ports["submissions"], context=tls, timeout=30) as client:
        client.login(sender, PASSWORD)
        text = f"From: {sender}\r\nSubject: out\r\n\r\nnot yet on its way\r\n"
        client.sendmail(sender, ["someone@far.example"], text.encode())


def until_certified(node: Node, orders: list[str]) -> dict[str, Any]:
    """Wait for certificates; none may ever stand at verified without a search."""
    end = time.monotonic() + 120
    while True:
        shown = {one["id"]: one for one in node.json("order", "list") if one["id"] in orders}
        for one in shown.values():
            searched = one["files"] > 0 or one["unit"] == "backup"
            assert one["step"] not in {"verified", "certified"} or searched
        if all(one["step"] == "certified" for one in shown.values()):
            return shown
        assert time.monotonic() < end, shown
        time.sleep(0.5)


def test_a_hold_beats_each_unit_and_all_of_them_come_to_their_certificates(
    node: Node, tmp_path: Path
) -> None:
    """D4, D5: one company under a hold; every order names it, and all go on when it is released."""
    domain = "whole.example"
    node.tenant(domain)
    ida, jon = (person(node, local, 3, domain) for local in ("ida", "jon"))
    submit(node, jon)
    made = node.json("backup", "create")
    place = ("hold", "place", "--tenant", domain, "--reason", "a lawsuit", "--until", "2099-12-31")
    hold = node.json(*place)["id"]
    assert "last day   2099-12-31" in node.cli("hold", "show", hold).stdout
    assert "最后日  2099-12-31" in node.cli("hold", "show", hold, "--lang", "zh-CN").stdout
    canary = ("--canary-stdin",)
    commands = {
        "message": ("message", ida, "inbox", "2"),
        "mailbox": ("mailbox", ida, "inbox", *canary),
        "operations": ("category", domain, "operations"),
        "content": ("category", domain, "content"),
        "person": ("person", ida, *canary),
        "tenant": ("tenant", domain, *canary),
        "backup": ("backup", made["backup"]),
    }
    for words in commands.values():
        known = "a sentence of ida\r\n" * (canary[0] in words)
        for language, said in (("en", "release of legal hold"), ("zh-CN", "等待法律保留解除")):
            held = node.cli("destroy", *words, "--yes", "--lang", language, stdin=known, check=False)
            assert held.returncode == REFUSED
            assert said in held.stdout
            assert hold in held.stdout
    orders = {one["category"] or one["unit"]: one["id"] for one in reversed(node.json("order", "list"))}
    orders = {name: orders[name] for name in commands}
    assert all(node.json("order", "show", order)["waiting_for"] == [hold] for order in orders.values())
    assert "法律保留" in node.cli("order", "list", "--lang", "zh-CN").stdout
    assert len(node.json("queue", "list")) == 1
    node.cli("hold", "release", hold)
    assert node.json("queue", "list") == []
    done = until_certified(node, list(orders.values()))
    counts = {name: done[order]["messages"] for name, order in orders.items()}
    # The last of ida's mail went with her mailbox; jon's inbox was left, and what of his waited to go out.
    assert counts == {
        "message": 1,
        "mailbox": 2,
        "operations": 1,
        "content": 3,
        "person": 0,
        "tenant": 3,
        "backup": 0,
    }
    assert node.json("backup", "list") == []
    assert (
        "没有该备份"
        in node.cli("destroy", "backup", made["backup"], "--yes", "--lang", "zh-CN", check=False).stderr
    )
    file, paper = tmp_path / "certificate.json", tmp_path / "certificate.pdf"
    for name, order in orders.items():
        node.cli("certificate", "show", order, "--output", str(file), "--pdf", str(paper))
        body = node.json("certificate", "verify", str(file))
        assert name in {body["unit"], body["category"]}
        assert paper.read_bytes().startswith(b"%PDF-")
        sought = body["search"]["secrets_sought"] if body["search"] else 0
        assert sought > 0 or name == "backup"


def test_what_a_company_wrote_is_destroyed_and_its_list_stays(node: Node) -> None:
    """The category `content`, and a mailbox of it that is emptied; what comes later is another matter."""
    domain = "silent.example"
    node.tenant(domain)
    kim = person(node, "kim", 2, domain)
    shown = node.cli("destroy", "category", domain, "content", "--reason", "case 9", "--yes")
    assert "category   content" in shown.stdout
    assert "reason     case 9" in shown.stdout
    with signed_in(node, kim) as client:
        assert '"1"' in str(client.fetch("2", "(ENVELOPE)"))
        kind, answer = client.fetch("2", "(BODY[TEXT])")
        assert kind == "NO" or b"a sentence" not in repr(answer).encode()


def test_a_known_text_that_lies_about_keeps_an_order_from_its_certificate(node: Node) -> None:
    """D6, and D1 as an operator can try it: the file is named, and the order waits for somebody."""
    lou = person(node, "lou", 1)
    left = node.data / "state" / "left-behind.txt"
    left.write_text("before, a sentence that somebody copied, after")
    canary = "a sentence that somebody copied\n"
    found = node.cli("destroy", "person", lou, "--canary-stdin", "--wait", "--yes", stdin=canary, check=False)
    assert found.returncode == REFUSED
    assert "A destroyed key or known text was FOUND in" in found.stdout
    assert "left-behind.txt" in found.stdout
    order = node.json("order", "list")[0]["id"]
    assert "还没有证明" in node.cli("certificate", "show", order, "--lang", "zh-CN", check=False).stderr
    left.unlink()
    assert node.json("order", "resume", order, "--wait")["step"] == "certified"


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
        (("destroy", "category", DOMAIN, "metadata"), "Headers are part of the content"),
        (("destroy", "category", DOMAIN, "audit"), "forgets nothing"),
        (("destroy", "category", DOMAIN, "secret"), "with what they open"),
        (("destroy", "category", DOMAIN, "account"), "belong to persons"),
        (("destroy", "category", DOMAIN, "everything"), "content, operations"),
        (("destroy", "tenant", "nowhere.example"), "no such"),
        (("destroy", "backup", "0" * 32), "no such backup"),
        (("destroy", "mailbox", "nobody@ordered.example", "inbox"), "no such"),
        (("hold", "show", "0" * 32), "no such hold"),
        (("order", "show", "0" * 32), "no such order"),
    ):
        refused = node.cli(*words, *(["--yes"] if words[0] == "destroy" else []), check=False)
        assert refused.returncode == REFUSED
        assert said in refused.stderr
    scope = node.cli("hold", "place", "--reason", "x", check=False)
    assert "--person" in scope.stderr
