"""How soon a revoked person is cut off (T8: p99 at most one second on one node).

    python bench/revocation.py [--people 100]

Starts a node of its own; each person has one connection that idles and one that fetches a body again and
again. Then one after the other is disabled with `postkeep user disable`. Time runs from the moment at which
the revocation took effect (the time of its entry in the ledger) until the idle connection was cut, and until
the other one got its last body and its first refusal. Beside it stands the whole command, as its user waits
for it.
"""

import argparse
import contextlib
import imaplib
import json
import math
import os
import smtplib
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.node_process import Node, new_node  # noqa: E402

PASSWORD = "soon to be locked out"
DOMAIN = "revoked.example"
FETCH_PAUSE_SECONDS = 0.02  # between two fetches of one person: an eager client, and a fine enough measure
GIVE_UP_SECONDS = 15.0  # until a connection that is still served counts as never cut
MAKERS = 4  # commands at once while the people are made


class Cut(NamedTuple):
    """When one person was cut off, in seconds since the epoch."""

    idle: float
    """The idle connection ended."""
    last_body: float
    """The last body was given out."""
    fetch: float
    """The next FETCH was refused or its connection found closed."""


class Victim:
    """A person with a connection that idles and one that reads; `watch` waits until both have ended."""

    def __init__(self, node: Node, address: str) -> None:
        self.address = address
        self._idle, self._reader = (self._connect(node) for _ in range(2))
        self._idle.send(b"i IDLE\r\n")
        assert self._idle.readline().startswith(b"+")
        self.last_body = 0.0
        assert self._fetched()

    def _connect(self, node: Node) -> imaplib.IMAP4_SSL:
        tls = ssl.create_default_context(cafile=node.ca)
        client = imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=tls, timeout=30)
        client.login(self.address, PASSWORD)
        client.select("INBOX")
        return client

    def _fetched(self) -> bool:
        try:
            kind, _ = self._reader.fetch("1", "(BODY.PEEK[])")
        except (imaplib.IMAP4.error, OSError):
            return False
        if kind == "OK":
            self.last_body = time.time()
        return kind == "OK"

    def watch(self) -> Cut:
        """Read on until both connections are cut off."""
        ended: list[float] = []
        waiting = threading.Thread(target=lambda: ended.append(self._idle_ends()))
        waiting.start()
        give_up = time.monotonic() + GIVE_UP_SECONDS
        while self._fetched() and time.monotonic() < give_up:
            time.sleep(FETCH_PAUSE_SECONDS)
        refused = time.time()
        waiting.join()
        return Cut(ended[0], self.last_body, refused)

    def _idle_ends(self) -> float:
        self._idle.sock.settimeout(GIVE_UP_SECONDS)
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            while (line := self._idle.readline()) and b"BYE" not in line:
                pass
        return time.time()

    def hang_up(self) -> None:
        """Close what is left."""
        for client in (self._idle, self._reader):
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                client.shutdown()


class Measured(NamedTuple):
    """Seconds for one person."""

    address: str
    idle: float
    fetch: float
    last_body: float
    """Negative: the last body was out before the revocation took effect."""
    command: float


def revoke_one(node: Node, victim: Victim, pool: ThreadPoolExecutor) -> Measured:
    """Disable one person while both connections are live, and measure until they end."""
    watching = pool.submit(victim.watch)
    time.sleep(2 * FETCH_PAUSE_SECONDS)
    assert not watching.done(), f"{victim.address} was cut off before the revocation"
    begun = time.monotonic()
    node.cli("user", "disable", victim.address)
    command = time.monotonic() - begun
    at = revoked_at(node, victim.address)  # at once: whoever is not cut off fills the ledger with reads
    cut = watching.result(timeout=2 * GIVE_UP_SECONDS)
    victim.hang_up()
    return Measured(victim.address, cut.idle - at, cut.fetch - at, cut.last_body - at, command)


def revoked_at(node: Node, address: str) -> float:
    """Return when the revocation took effect, by the entry that it left in the ledger."""
    principal = node.json("user", "show", address)["principal"]
    for _ in range(50):
        for entry in reversed(node.json("ledger", "show", "--count", "1000")):
            if entry["event"] == "ticket.revoke" and entry["note"] == f"user {principal}":
                return float(entry["time_ms"]) / 1000
        time.sleep(0.1)
    raise AssertionError(f"the ledger has no revocation of {address}")


@contextlib.contextmanager
def node_with(people: int) -> Iterator[tuple[Node, list[str]]]:
    """Start a node with so many people, each with one message."""
    with new_node() as node:
        node.tenant(DOMAIN)
        addresses = [f"person{number}@{DOMAIN}" for number in range(people)]
        with ThreadPoolExecutor(MAKERS) as makers:
            for _ in makers.map(lambda address: node.user(address, PASSWORD), addresses):
                pass
        with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=60) as client:
            for address in addresses:
                client.sendmail("x@y.example", [address], b"Subject: private\r\n\r\nnot for long\r\n")
        yield node, addresses


def revoke_all(node: Node, addresses: list[str]) -> list[Measured]:
    """Measure one person after the other."""
    with ThreadPoolExecutor(1) as pool:
        return [revoke_one(node, Victim(node, address), pool) for address in addresses]


def percentile(values: list[float], share: float) -> float:
    """Return the nearest-rank percentile."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=100)
    people = parser.parse_args().people
    load = os.getloadavg()[0]
    with node_with(people) as (node, addresses):
        measured = revoke_all(node, addresses)
    told: dict[str, object] = {"people": people, "load_before": round(load, 2)}
    for name in ("idle", "fetch", "command"):
        seconds = [getattr(one, name) for one in measured]
        told[name] = {
            f"p{round(share * 100)}_ms": round(1000 * percentile(seconds, share))
            for share in (0.5, 0.99, 1.0)
        }
    told["bodies_later_than_revocation_ms_max"] = round(1000 * max(one.last_body for one in measured))
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
