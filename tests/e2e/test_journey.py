"""A company's mail, whole: in from a real MTA, read in a real client, answered, and seen at another MTA."""

import imaplib
import smtplib
import ssl
import subprocess
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.node_process import Node, new_node
from tests.peers import postfix
from tests.peers.postfix import Postfix

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.peer,
    pytest.mark.skipif(not postfix.available(), reason="Postfix needs root and its package"),
]

ALICE, ALICE_PASSWORD = "alice@ours.example", "correct horse battery"
BOB, BOB_PASSWORD = "bob@ours.example", "staple of the day"


class World(NamedTuple):
    node: Node
    peer: Postfix


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    port = postfix.free_port()
    config = f'[relay]\nsmarthost = "127.0.0.1:{port}"\nallow_private_addresses = true\nretry_seconds = [1]\n'
    with new_node(config=config) as node:
        node.tenant("ours.example")
        node.user(ALICE, ALICE_PASSWORD)
        node.user(BOB, BOB_PASSWORD)
        peer = Postfix("theirs.example", port, node.ports["smtp"], ca=node.ca, tls="encrypt")
        peer.start()
        try:
            yield World(node, peer)
        finally:
            peer.stop()


def tls(node: Node) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=node.ca)


def read_all(node: Node, address: str, password: str) -> list[bytes]:
    with imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=tls(node)) as client:
        client.login(address, password)
        client.select("INBOX")
        _, found = client.uid("FETCH", "1:*", "(BODY.PEEK[])")
        return [part[1] for part in found if isinstance(part, tuple)]


def wait_for(node: Node, address: str, password: str, needle: bytes, seconds: float = 20.0) -> bytes:
    deadline = time.monotonic() + seconds
    while True:
        for message in read_all(node, address, password):
            if needle in message:
                return message
        assert time.monotonic() < deadline, f"no message with {needle!r}\n{node.tail()}"
        time.sleep(0.1)


def letter(subject: str, sender: str, to: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message.set_content(text)
    return message


def submit(node: Node, message: EmailMessage, to: list[str]) -> None:
    with smtplib.SMTP("localhost", node.ports["submission"], timeout=30) as client:
        client.starttls(context=tls(node))
        client.login(ALICE, ALICE_PASSWORD)
        client.send_message(message, ALICE, to)


def test_mail_from_another_company_is_read_answered_and_arrives_there(world: World, tmp_path: Path) -> None:
    node, peer = world
    question = letter("Größe 会议", "carol@theirs.example", ALICE, "How large is the room? 多大?\n")
    peer.inject("carol@theirs.example", [ALICE], question.as_bytes())
    wait_for(node, ALICE, ALICE_PASSWORD, b"carol@theirs.example")
    read_with_mbsync(node, tmp_path)
    (stored,) = list((tmp_path / "mail" / "INBOX" / "new").iterdir()) or list(
        (tmp_path / "mail" / "INBOX" / "cur").iterdir()
    )
    assert b"carol@theirs.example" in stored.read_bytes()
    submit(
        node, letter("Re: size", ALICE, "carol@theirs.example", "Forty seats.\n"), ["carol@theirs.example"]
    )
    (answer,) = peer.wait_received(1)
    assert b"Forty seats." in answer
    assert b"with ESMTPSA" in answer


def read_with_mbsync(node: Node, directory: Path) -> None:
    (directory / "mail").mkdir()
    config = directory / "mbsyncrc"
    config.write_text(
        f"""IMAPAccount a
Host localhost
Port {node.ports["imaps"]}
User {ALICE}
Pass "{ALICE_PASSWORD}"
SSLType IMAPS
CertificateFile {node.ca}

IMAPStore far
Account a

MaildirStore near
Path {directory}/mail/
Inbox {directory}/mail/INBOX

Channel all
Far :far:
Near :near:
Patterns *
Create Near
SyncState *
"""
    )
    done = subprocess.run(
        ["mbsync", "-c", str(config), "-a"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_colleague_gets_mail_without_the_queue(world: World) -> None:
    node = world.node
    submit(node, letter("Inside", ALICE, BOB, "between us only\n"), [BOB])
    message = wait_for(node, BOB, BOB_PASSWORD, b"between us only")
    assert message.startswith(b"Return-Path: <alice@ours.example>")


def test_an_address_that_the_peer_refuses_comes_back_as_a_report(world: World) -> None:
    node, peer = world
    before = len(peer.received())
    refused = "refused@theirs.example"
    submit(node, letter("Lost", ALICE, refused, "hello?\n"), [refused])
    report = wait_for(node, ALICE, ALICE_PASSWORD, b"\r\nFinal-Recipient: rfc822; refused@theirs.example")
    assert report.startswith(b"Return-Path: <>")
    assert b"5.1.1" in report
    assert len(peer.received()) == before


def test_an_unknown_recipient_here_is_refused_to_the_peer(world: World) -> None:
    node, peer = world
    peer.inject("dave@theirs.example", ["nobody@ours.example"], b"Subject: x\r\n\r\nhello\r\n")
    deadline = time.monotonic() + 20
    while "5.1.1" not in peer.log():
        assert time.monotonic() < deadline, peer.log()[-2000:] + node.tail()
        time.sleep(0.1)


def test_the_ledger_tells_of_every_step_and_verifies(world: World) -> None:
    node = world.node
    wait_for(node, ALICE, ALICE_PASSWORD, b"")
    names = {entry["event"] for entry in node.json("ledger", "show", "--count", "1000")}
    assert {"sign_in", "ticket.issue", "key.release", "mail.deposit", "mail.read", "admin"} <= names
    assert node.cli("ledger", "verify").returncode == 0
