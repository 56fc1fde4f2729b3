"""Kill -9 anything, at any moment, under load: what was acknowledged is there, once (TM-34, TM-35).

A round kills one random process, or the whole node. POSTKEEP_KILL_ROUNDS and POSTKEEP_KILL_SEED change how
many rounds are run and which; `make soak` runs more of them.
"""

import contextlib
import hashlib
import imaplib
import os
import random
import signal
import smtplib
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest
from tests.node_process import Node, new_node

ROUNDS = int(os.environ.get("POSTKEEP_KILL_ROUNDS", "50"))
SEED = int(os.environ.get("POSTKEEP_KILL_SEED", "7"))
SENDERS = 4
WHOLE_NODE_EVERY = 6
"""On average one round in so many kills everything at once."""
SETTLE_SECONDS = 60.0

ADDRESSES = ("alice@kill.example", "bob@kill.example", "team@kill.example")
PASSWORD = "a long enough word"


@dataclass
class Sent:
    """What the senders know: acknowledged and attempted messages by their Message-ID."""

    acknowledged: dict[str, bytes] = field(default_factory=dict)
    attempted: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


def compose(rnd: random.Random, sender: int, number: int) -> tuple[str, bytes]:
    name = f"<k{sender}.{number}.{rnd.getrandbits(40):x}@sender.example>"
    body = "".join(rnd.choice("abcdefgh \r\n") for _ in range(rnd.randrange(20, 9000)))
    body = body.replace("\r", "").replace("\n", "\r\n.")
    head = f"From: s{sender}@sender.example\r\nMessage-ID: {name}\r\nSubject: {number}\r\n"
    return name, f"{head}\r\n{body}\r\n".encode()


def send_until(stop: threading.Event, node: Node, sender: int, sent: Sent) -> None:
    """Send one message after another, over and over; a failure means a new connection, not a new attempt."""
    rnd = random.Random(SEED * 1000 + sender)
    number = 0
    while not stop.is_set():
        try:
            with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=20) as client:
                while not stop.is_set():
                    name, message = compose(rnd, sender, number)
                    number += 1
                    with sent.lock:
                        sent.attempted.add(name)
                    client.sendmail("s@sender.example", list(ADDRESSES[: rnd.randint(1, 3)]), message)
                    with sent.lock:
                        sent.acknowledged[name] = message
        except (OSError, smtplib.SMTPException):
            time.sleep(0.05)


def kill_something(node: Node, rnd: random.Random) -> str:
    if rnd.randrange(WHOLE_NODE_EVERY) == 0:
        processes = [*node.processes().values(), *postgres(node)]
        assert node.process is not None
        node.process.kill()
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):  # it went with the supervisor
                os.kill(pid, signal.SIGKILL)
        node.stop(signal.SIGKILL)
        node.start()
        return "node"
    victims = node.processes()
    name = rnd.choice(sorted(victims))
    try:
        os.kill(victims[name], signal.SIGKILL)
    except ProcessLookupError:
        return f"{name} (gone already)"
    return name


def postgres(node: Node) -> list[int]:
    """The database server's own process, of this node."""
    for path in node.data.rglob("postmaster.pid"):
        return [int(path.read_text().splitlines()[0])]
    return []


def inbox(node: Node, address: str) -> list[bytes]:
    """Everything in somebody's INBOX; patient while the modules come back."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            client = imaplib.IMAP4_SSL(
                "127.0.0.1", node.ports["imaps"], ssl_context=ssl.create_default_context(cafile=node.ca)
            )
            client.login(address, PASSWORD)
            client.select("INBOX", readonly=True)
            _, found = client.uid("FETCH", "1:*", "(UID BODY.PEEK[])")
            client.logout()
            return [part[1] for part in found if isinstance(part, tuple)]
        except (OSError, imaplib.IMAP4.error):
            assert time.monotonic() < deadline, node.tail()
            time.sleep(0.5)


def message_id(message: bytes) -> str:
    start = message.index(b"Message-ID: ") + 12
    return message[start : message.index(b"\r\n", start)].decode()


@pytest.mark.e2e
def test_what_was_acknowledged_survives_every_kill_once_and_byte_for_byte() -> None:
    rnd = random.Random(SEED)
    with new_node() as node:
        node.tenant("kill.example")
        for address in ADDRESSES[:2]:
            node.user(address, PASSWORD)
        node.cli("group", "create", ADDRESSES[2], "--member", ADDRESSES[0], "--member", ADDRESSES[1])
        sent, stop = Sent(), threading.Event()
        senders = [threading.Thread(target=send_until, args=(stop, node, n, sent)) for n in range(SENDERS)]
        for sender in senders:
            sender.start()
        killed: Counter[str] = Counter()
        try:
            for _ in range(ROUNDS):
                time.sleep(rnd.uniform(0.2, 1.2))
                killed[kill_something(node, rnd)] += 1
            time.sleep(3)
        finally:
            stop.set()
            for sender in senders:
                sender.join(timeout=60)
        assert len(sent.acknowledged) > ROUNDS, (len(sent.acknowledged), killed)
        check_mailboxes(node, sent)
        assert node.json("store", "check")["problems"] == []
        assert node.cli("ledger", "verify").returncode == 0


def check_mailboxes(node: Node, sent: Sent) -> None:
    seen_anywhere: set[str] = set()
    for address in ADDRESSES[:2]:
        messages = inbox(node, address)
        counts = Counter(message_id(message) for message in messages)
        twice = [name for name, count in counts.items() if count > 1]
        assert not twice, f"{len(twice)} messages are there twice"
        assert set(counts) <= sent.attempted
        seen_anywhere |= set(counts)
        for message in messages:
            original = sent.acknowledged.get(message_id(message))
            if original is not None:
                assert hashlib.sha256(message[-len(original) :]).digest() == hashlib.sha256(original).digest()
    lost = set(sent.acknowledged) - seen_anywhere
    assert not lost, f"{len(lost)} acknowledged messages are gone"
