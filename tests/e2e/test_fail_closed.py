"""What is refused and what goes on when a keeper stands still (TM-30, TM-31, TM-32)."""

import contextlib
import imaplib
import os
import signal
import smtplib
import ssl
import time
from collections.abc import Iterator

import pytest
from tests.node_process import Node, new_node

pytestmark = pytest.mark.e2e

ALICE, BOB, PASSWORD = "alice@closed.example", "bob@closed.example", "open to nobody else"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with new_node() as running:
        running.tenant("closed.example")
        for person in (ALICE, BOB):
            running.user(person, PASSWORD)
            deliver(running, person)
        yield running


@contextlib.contextmanager
def standing_still(node: Node, module: str) -> Iterator[None]:
    """Freeze a module: it neither answers nor dies, the worst way to be away."""
    pid = next(pid for slot, pid in node.processes().items() if slot.startswith(module))
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def deliver(node: Node, person: str) -> None:
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=30) as client:
        client.sendmail("x@y.example", [person], b"Subject: still\r\n\r\narriving\r\n")


@contextlib.contextmanager
def imap(node: Node) -> Iterator[imaplib.IMAP4_SSL]:
    tls = ssl.create_default_context(cafile=node.ca)
    with contextlib.ExitStack() as closing:
        client = imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=tls, timeout=30)
        closing.enter_context(client.socket())  # who says nothing more in time keeps it open otherwise
        closing.enter_context(client)
        client.login(ALICE, PASSWORD)
        client.select("INBOX")
        yield client


def fetch(client: imaplib.IMAP4_SSL) -> str:
    return client.fetch("1", "(BODY.PEEK[])")[0]


def can_read(node: Node) -> bool:
    """Whether somebody who signs in now gets a message."""
    try:
        with imap(node) as client:
            answer = fetch(client)
    except (imaplib.IMAP4.error, OSError):
        return False
    return answer == "OK"


def wait_until_reads_work(node: Node) -> None:
    deadline = time.monotonic() + 30
    while not can_read(node):
        assert time.monotonic() < deadline, node.tail()
        time.sleep(0.2)


def test_with_the_ledger_away_reads_stop_and_mail_still_arrives(node: Node) -> None:
    with imap(node) as client:
        assert fetch(client) == "OK"
        with standing_still(node, "ledger"):
            begun = time.monotonic()
            assert fetch(client) == "NO"
            assert time.monotonic() - begun < 3
            deliver(node, ALICE)
    wait_until_reads_work(node)
    assert node.cli("ledger", "verify").returncode == 0


def test_with_kms_away_sealed_mail_stays_closed_and_mail_still_arrives(node: Node) -> None:
    wait_until_reads_work(node)
    with standing_still(node, "kms"):
        deliver(node, ALICE)
        assert not can_read(node)
    wait_until_reads_work(node)


def test_with_the_authority_away_known_recipients_get_mail_and_unknown_ones_are_asked_to_wait(
    node: Node,
) -> None:
    for _ in range(os.cpu_count() or 1):  # every mx worker may be the one that answers
        deliver(node, ALICE)
    with standing_still(node, "authority"):
        with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=60) as client:
            client.helo("sender.example")
            client.mail("x@y.example")
            code, _ = client.rcpt("someone.new@closed.example")
            assert code == 451
            assert client.rcpt(ALICE)[0] in {250, 451}
        assert not can_read(node)
    wait_until_reads_work(node)
