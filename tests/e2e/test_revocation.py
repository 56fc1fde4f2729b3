"""T8 on a whole node: a revoked person is cut off at once, and a cut feed of revocations closes bodies.

`bench/revocation.py` measures the same over more people; the bounds here leave room for a busy machine.
"""

import contextlib
import imaplib
import os
import signal
import smtplib
import ssl
import time
from collections.abc import Iterator

import pytest
from bench import revocation
from tests.node_process import Node

from postkeep.tickets.revocations import STALE_SECONDS

pytestmark = pytest.mark.e2e

PEOPLE = 10
CUT_SECONDS_MAX = 3.0
"""From the moment that the revocation took effect; three times what T8 asks for on a quiet machine."""

UNREAD = 6
"""Messages beside the first: each is fetched once, so that nothing remembered of it can serve."""


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Node, list[str]]]:
    with revocation.node_with(PEOPLE + 1) as made:
        yield made


def test_t8_everybody_who_is_revoked_is_cut_off_within_seconds(world: tuple[Node, list[str]]) -> None:
    node, addresses = world
    measured = revocation.revoke_all(node, addresses[:PEOPLE])
    assert len(measured) == PEOPLE
    for one in measured:
        assert one.idle < CUT_SECONDS_MAX, one
        assert one.fetch < CUT_SECONDS_MAX, one
        assert one.last_body < CUT_SECONDS_MAX, one


@contextlib.contextmanager
def standing_still(node: Node, module: str) -> Iterator[None]:
    pid = next(pid for slot, pid in node.processes().items() if slot.startswith(module))
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def imap(node: Node, address: str) -> Iterator[imaplib.IMAP4_SSL]:
    tls = ssl.create_default_context(cafile=node.ca)
    with imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=tls, timeout=30) as client:
        client.login(address, revocation.PASSWORD)
        client.select("INBOX")
        yield client


def fetch(client: imaplib.IMAP4_SSL, number: int) -> tuple[str, bytes]:
    """Return the tagged answer, and all that came with it."""
    kind, data = client.fetch(str(number), "(BODY.PEEK[])")
    return kind, b" ".join(b" ".join(part) if isinstance(part, tuple) else part or b"" for part in data)


def accepts(node: Node, address: str, *, content: bytes = b"") -> int:
    """Offer a message, or only its recipient; return the last answer's code."""
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=60) as client:
        client.helo("sender.example")
        client.mail("x@y.example")
        code, _ = client.rcpt(address)
        return client.data(content)[0] if content and code == 250 else code


def test_t8_with_the_feed_cut_bodies_are_refused_after_ten_seconds_and_delivery_goes_on(
    world: tuple[Node, list[str]],
) -> None:
    node, addresses = world
    reader = addresses[PEOPLE]
    for number in range(UNREAD):
        assert accepts(node, reader, content=b"Subject: %d\r\n\r\nsealed %d\r\n" % (number, number)) == 250
    for _ in range(16 * (os.cpu_count() or 1)):  # every mx worker knows the recipient
        assert accepts(node, reader) == 250
    with imap(node, reader) as client, imap(node, reader) as idler:
        assert fetch(client, 1)[0] == "OK"
        with standing_still(node, "authority"):
            begun = time.monotonic()
            kind, body = fetch(client, 2)
            assert (kind, b"sealed 0" in body) == ("OK", True)  # the last word is still fresh
            assert time.monotonic() - begun < STALE_SECONDS / 2
            time.sleep(STALE_SECONDS + 0.5 - (time.monotonic() - begun))
            for one, number in ((client, 3), (client, 4), (idler, 5)):
                kind, body = fetch(one, number)
                assert kind == "NO"
                assert b"sealed" not in body
            for number in range(4):
                assert accepts(node, reader, content=b"Subject: late\r\n\r\nlate %d\r\n" % number) == 250
        deadline = time.monotonic() + 20
        while fetch(client, 3)[0] != "OK":
            assert time.monotonic() < deadline, node.tail()
            time.sleep(0.2)
        client.noop()
        assert b"late 3" in fetch(client, 1 + UNREAD + 4)[1]
