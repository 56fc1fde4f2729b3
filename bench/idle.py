"""What many idle clients cost: memory, CPU, the delay of a push, and the time until all are back after a cut.

    python bench/idle.py [--clients 10000] [--data DIR] [--idle-seconds 60] [--deliveries 300]

Starts a node as `postkeep init` and `postkeep serve` make it. Each client is a person of its own, signed in
over TLS with LOGIN, INBOX selected, in IDLE. `--data` keeps the people for the next run: making one costs the
node some 50 ms. Memory is the sum of PSS over all processes of the node, PostgreSQL included, less that of
the same node before anybody came; what the clients' own process takes is not in it.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import smtplib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import idle_clients  # noqa: E402
from cgroup import memory_pss_bytes, tree  # noqa: E402
from tests.node_process import Node, free_base_port, new_node  # noqa: E402

DOMAIN = "idle.example"
SETTLE_SECONDS = 5.0
ADMISSION_SECONDS = 30.0  # the ticket to make people with lives a minute
PUSH_SECONDS_MAX = 10.0
AT_ONCE_FIRST = 64
TICK = os.sysconf("SC_CLK_TCK")


async def make_people(node: Node, first: int, count: int) -> None:
    """Make people over one link to the steward, as the command line does one by one."""
    from postkeep.base.ids import new_id
    from postkeep.node.cli import operator
    from postkeep.node.running import running
    from postkeep.node.supervisor import believed
    from postkeep.services.steward.api import UserCreate, UserInfo
    from postkeep.tickets.channel import Link
    from postkeep.tickets.identity import ModuleIdentity

    state = running(node.data)
    assert state is not None
    number = first
    while number < first + count:
        identity = ModuleIdentity("cli", f"cli.{os.getpid()}")
        anchors = believed.read(node.data)
        authority = Link(identity, anchors, "authority", Path(state.run) / "authority.sock")
        admitted = await operator.admit(authority, None)
        await authority.close()
        identity.ticket = admitted.ticket
        steward = Link(identity, anchors, "steward", Path(state.run) / "steward.sock")
        delegation = operator._delegate(identity, admitted.staff, await steward.peer_thumbprint())
        until = time.monotonic() + ADMISSION_SECONDS
        while number < first + count and time.monotonic() < until:
            requests = [
                UserCreate(
                    address=address_of(one),
                    password=idle_clients.PASSWORD,
                    delegation=delegation,
                    token=new_id(),
                )
                for one in range(number, min(number + 8, first + count))
            ]
            number += len(requests)
            calls = (
                steward.call("steward.user_create", one, UserInfo, ticket=admitted.staff) for one in requests
            )
            await asyncio.gather(*calls)
        await steward.close()


def address_of(number: int) -> str:
    """Name a person."""
    return f"p{number:05d}@{DOMAIN}"


@contextlib.contextmanager
def node_in(data: Path | None) -> Iterator[Node]:
    """Start a node, in a directory that stays if one is given."""
    if data is None:
        with new_node() as node:
            yield node
        return
    node = Node(data, free_base_port())
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o755)
    if not node.data.exists():
        node.init()
    node.start()
    try:
        yield node
    finally:
        node.stop()


class Meter:
    """Memory and CPU of a node, by module."""

    def __init__(self, node: Node) -> None:
        assert node.process is not None
        self._root = node.process.pid
        self._names = {pid: name for name, pid in node.processes().items()}

    def pss(self) -> dict[str, int]:
        """Return octets by module."""
        return self._by_module(lambda pid: memory_pss_bytes([pid]))

    def cpu(self) -> dict[str, float]:
        """Return seconds used so far by module."""
        return self._by_module(_seconds)

    def _by_module(self, read: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for pid in tree(self._root):
            name = self._names.get(pid) or ("supervisor" if pid == self._root else "postgres")
            name = name.partition("-")[0]
            found[name] = found.get(name, 0) + read(pid)
        return found


def _seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def less(after: dict[str, Any], before: dict[str, Any], scale: float, digits: int = 2) -> dict[str, Any]:
    """Subtract by module; `sum` is all of them."""
    parts = {name: (after[name] - before.get(name, 0)) * scale for name in after}
    parts["sum"] = sum(parts.values())
    return {name: round(part, digits) for name, part in sorted(parts.items()) if round(part, digits)}


def deliver(client: smtplib.SMTP, to: str) -> float:
    """Send a message; return when it was accepted."""
    client.sendmail("x@y.example", [to], b"Subject: push\r\n\r\nhello\r\n")
    return time.monotonic()


async def pushes(node: Node, crowd: idle_clients.Crowd, count: int) -> dict[str, Any]:
    """Deliver one message after the other, each to another person; time runs from the final 250."""
    loop, delays, missed = asyncio.get_running_loop(), [], 0
    client = smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=60)
    step = max(1, len(crowd.clients) // count)
    for number in range(0, min(count * step, len(crowd.clients)), step):
        crowd.heard.pop(number, None)
        accepted = await loop.run_in_executor(None, deliver, client, address_of(number))
        while number not in crowd.heard and time.monotonic() < accepted + PUSH_SECONDS_MAX:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        if number in crowd.heard:
            delays.append(max(0.0, crowd.heard[number] - accepted))
        else:
            missed += 1
    client.quit()
    delays.sort()
    told = {
        f"p{p}_ms": round(1000 * delays[max(0, math.ceil(p / 100 * len(delays)) - 1)], 1)
        for p in (50, 99, 100)
    }
    return {**told, "count": len(delays), "missed": missed}


async def measure(node: Node, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run all of it."""
    clients = arguments.clients
    meter = Meter(node)
    await asyncio.sleep(SETTLE_SECONDS)
    empty, cpu = meter.pss(), meter.cpu()
    crowd = idle_clients.Crowd(node.ports["imaps"], node.ca, [address_of(n) for n in range(clients)])
    own = time.process_time()
    told: dict[str, Any] = {"clients": clients, "load_before": os.getloadavg()[0]}
    told["sign_in_seconds"] = round(await crowd.all_in(AT_ONCE_FIRST), 1)
    told["sign_in_cpu_ms_each"] = less(meter.cpu(), cpu, 1000 / clients)
    told["sign_in_client_cpu_ms_each"] = round((time.process_time() - own) * 1000 / clients, 2)
    print(json.dumps(told), flush=True)
    await asyncio.sleep(SETTLE_SECONDS)
    told["kb_each"] = less(meter.pss(), empty, 1 / 1024 / clients)
    print(json.dumps(told["kb_each"]), flush=True)
    cpu = meter.cpu()
    await asyncio.sleep(arguments.idle_seconds)
    told["idle_cpu_percent_of_a_core"] = less(meter.cpu(), cpu, 100 / arguments.idle_seconds)
    told["lost_while_idle"] = crowd.lost
    if arguments.deliveries:
        told["push"] = await pushes(node, crowd, arguments.deliveries)
    if arguments.storm:
        crowd.cut()
        await asyncio.sleep(1.0)
        crowd.refused, cpu = 0, meter.cpu()
        told["storm_seconds"] = round(await crowd.all_in(clients), 1)
        told["storm_refused"] = crowd.refused
        told["storm_cpu_ms_each"] = less(meter.cpu(), cpu, 1000 / clients)
        await asyncio.sleep(SETTLE_SECONDS)
        told["kb_each_after_storm"] = less(meter.pss(), empty, 1 / 1024 / clients)
    crowd.cut()
    await asyncio.sleep(SETTLE_SECONDS)
    told["kb_each_when_gone"] = less(meter.pss(), empty, 1 / 1024 / clients)
    return told


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    parser.add_argument("--deliveries", type=int, default=300)
    parser.add_argument("--storm", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--only-people", action="store_true", help="make the people and stop")
    arguments = parser.parse_args()
    with node_in(arguments.data) as node:
        made = node.directory / "people"
        if not made.exists():
            node.tenant(DOMAIN)
            made.write_text("0")
        there = int(made.read_text())
        if there < arguments.clients:
            begun = time.monotonic()
            uvloop.run(make_people(node, there, arguments.clients - there))
            made.write_text(str(arguments.clients))
            print(f"made {arguments.clients - there} people in {time.monotonic() - begun:.0f} s", flush=True)
        if not arguments.only_people:
            print(json.dumps(uvloop.run(measure(node, arguments)), indent=2))


if __name__ == "__main__":
    main()
