"""What the walls cost: `python bench/security_cost.py [--rounds N] [--messages N]`.

The same node whole, without sealing, without the ledger, without ticket checks (see `variants.py`), side by
side: delivery of 4 KB messages over 20 connections, reading of whole messages and of envelopes, and a search
through all text. Every figure is server CPU, all processes, per 1,000 messages; variants take turns within a
round. The table gives the least of the rounds, as whatever else a machine does only adds, and the
wall's share of the whole node's.
"""

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import loadgen
import run
from cgroup import CpuMeter
from ours import Postkeep
from variants import WALLS

import corpus

HERE = Path(__file__).parent
CONNECTIONS = 20
RECEIVE_BYTES = 1 << 20
TAIL_BYTES = 4096  # longer than any tagged line
WAIT_SECONDS = 120
FETCHES = 10
"""Times that a FETCH is measured over: once is a tenth of a second, which says little."""


class Variant(Postkeep):
    """A node with a wall taken out."""

    def __init__(self, root: Path, wall: str) -> None:
        super().__init__(root / wall, users=1)
        self.name = wall
        self.meter = CpuMeter(f"postkeep-{wall}")
        self.program = (sys.executable, str(HERE / "variants.py"), wall)


class Imap:
    """A client that sends a line and counts octets until its tagged answer: nothing that could be slow."""

    def __init__(self, server: Variant) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.imap_port), timeout=WAIT_SECONDS)
        self._socket = _over_tls(self._socket)
        self._tag = 0
        self.ask(f'LOGIN {server.addresses[0]} "{server.password}"')
        self.ask("SELECT INBOX")

    def ask(self, command: str) -> int:
        """Send a command; return how many octets the answer had."""
        self._tag += 1
        tag = b"t%d " % self._tag
        self._socket.sendall(tag + command.encode() + b"\r\n")
        total, tail = 0, b""
        while True:
            data = self._socket.recv(RECEIVE_BYTES)
            if not data:
                raise ConnectionError(command)
            total += len(data)
            tail = (tail + data)[-TAIL_BYTES:]
            if not tail.endswith(b"\r\n"):
                continue
            line = tail[:-2].rpartition(b"\r\n")[2]
            if line.startswith(tag):
                if not line.startswith(tag + b"OK"):
                    raise RuntimeError(line.decode())
                return total

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def _over_tls(plain: socket.socket) -> socket.socket:
    import ssl

    plain.recv(4096)
    plain.sendall(b"a STARTTLS\r\n")
    plain.recv(4096)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain)


def deliver(server: Variant, count: int) -> float:
    """Deliver; return CPU seconds per 1,000 messages."""
    return float(run.measure(server, "four", CONNECTIONS, count, starttls=False)["cpu_seconds_per_1000"])


def reading(command: str, times: int = 1) -> Callable[[Variant, int], float]:
    """Return what measures a command over the whole mailbox, keys already opened, so many times over."""

    def measure(server: Variant, count: int) -> float:
        client = Imap(server)
        client.ask("FETCH 1:5 (ENVELOPE BODY.PEEK[])")
        before = server.meter.seconds()
        for _ in range(times):
            client.ask(command.format(count=count))
        used = server.meter.seconds() - before
        client.close()
        return used / count / times * 1000

    return measure


WORK: dict[str, Callable[[Variant, int], float]] = {
    "delivery": deliver,
    "FETCH of whole messages": reading("FETCH 1:{count} (BODY.PEEK[])", FETCHES),
    "FETCH of envelopes": reading("FETCH 1:{count} (FLAGS ENVELOPE RFC822.SIZE)", FETCHES),
    "SEARCH TEXT": reading("SEARCH TEXT nowheretobefound"),
}


def compare(servers: list[Variant], rounds: int, messages: int) -> dict[str, dict[str, list[float]]]:
    """Measure everything on every variant, in turns."""
    found: dict[str, dict[str, list[float]]] = {name: {s.name: [] for s in servers} for name in WORK}
    for server in servers:
        deliver(server, messages)
    for number in range(rounds):
        for name, measure in WORK.items():
            for server in servers[number % len(servers) :] + servers[: number % len(servers)]:
                found[name][server.name].append(measure(server, messages))
                print(f"{name}, {server.name}: {found[name][server.name][-1]:.3f}", flush=True)
    return found


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Write the table: CPU seconds per 1,000, and how much of it each wall is."""
    walls = [wall for wall in WALLS if wall != "whole"]
    lines = [
        "| CPU-s per 1,000 messages | whole | " + " | ".join(f"{w} (the wall's share)" for w in walls) + " |",
        "|---|---:|" + "---:|" * len(walls),
    ]
    for name, by_wall in found.items():
        whole = min(by_wall["whole"])
        cells = []
        for wall in walls:
            without = min(by_wall[wall])
            cells.append(f"{without:.3f} ({(whole - without) / whole:+.0%})")
        lines.append(f"| {name} | {whole:.3f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What sealing, the ledger and tickets cost.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=2_000)
    given = parser.parse_args()
    loadgen.compile_it()
    corpus.write("four", loadgen.BUILD)
    servers: list[Variant] = []
    began, load = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), os.getloadavg()[0]
    try:
        for wall in WALLS:
            servers.append(Variant(HERE.parent / "var" / "bench" / "cost", wall))  # finds free ports now
            servers[-1].start()
        found = compare(servers, given.rounds, given.messages)
    finally:
        for server in servers:
            server.stop()
    (HERE / "build" / "security_cost.json").write_text(json.dumps(found, indent=1))
    print(f"\n{began}, load average {load:.2f} before, {given.rounds} rounds of {given.messages} messages\n")
    print(table(found))


if __name__ == "__main__":
    main()
