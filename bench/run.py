"""The benchmark: Postkeep and Postfix + Dovecot, one machine, one run, the same load.

    python bench/run.py [--quick] [--only peer|postkeep] [--out DIR]

Writes results.json and results.md, and prints the latter. See README.md for what each figure means.
"""

import argparse
import json
import os
import platform
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import internals
import loadgen
import report
from ours import Postkeep
from peer.server import Peer
from visible import Watcher

import corpus

USERS = 20
PER_CONNECTION = 100  # messages before a client hangs up, as Postfix's own client does by default in time
HERE = Path(__file__).parent


def matrix(*, quick: bool) -> list[tuple[str, int, bool, int]]:
    """List the cells: corpus, connections, STARTTLS, how many messages."""
    if quick:
        return [("four", 20, False, 600), ("four", 20, True, 600), ("mixed", 20, False, 300)]
    counts = {("four", 1): 1_000, ("four", 20): 3_000, ("four", 100): 3_000}
    counts |= {("mixed", 1): 500, ("mixed", 20): 1_500, ("mixed", 100): 1_500}
    return [
        (kind, connections, starttls, counts[kind, connections])
        for kind in ("four", "mixed")
        for starttls in (False, True)
        for connections in (1, 20, 100)
    ]


def measure(server: Any, kind: str, connections: int, count: int, *, starttls: bool) -> dict[str, Any]:
    """Send one load to one server; return rate, visibility, latency and CPU."""
    path = corpus.write(kind, loadgen.BUILD)
    watcher = Watcher(server.imap_port, server.addresses, server.password, starttls=True)
    cpu, began = server.meter.seconds(), time.monotonic()
    sent = loadgen.run(
        server.smtp_port,
        server.addresses,
        path,
        connections=connections,
        count=count,
        starttls=starttls,
        run_id=f"{os.getpid()}.{time.monotonic_ns()}",
        per_connection=PER_CONNECTION,
    )
    accepted_at = began + sent["seconds"]
    expected = Counter(server.addresses[n % len(server.addresses)] for n in range(count))
    visible_at = watcher.wait_for(expected)
    used = server.meter.seconds() - cpu
    watcher.close()
    return {
        **sent,
        "visible_seconds": round(visible_at - began, 4),
        "visible_rate": round(count / (visible_at - began), 2),
        "visible_lag_seconds": round(visible_at - accepted_at, 4),
        "cpu_seconds_per_1000": round(used / count * 1000, 4),
    }


def compare(servers: list[Any], *, quick: bool) -> list[dict[str, Any]]:
    """Run every cell against every server in turn, so that both meet the same state of the machine."""
    for server in servers:
        measure(server, "four", 4, 200, starttls=False)
    cells = []
    for kind, connections, starttls, count in matrix(quick=quick):
        cell: dict[str, Any] = {
            "corpus": kind,
            "connections": connections,
            "starttls": starttls,
            "count": count,
        }
        for server in servers:
            cell[server.name] = measure(server, kind, connections, count, starttls=starttls)
            print(report.one_line(cell, server.name), flush=True)
        cells.append(cell)
    return cells


def machine() -> dict[str, str]:
    """Describe where this ran."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return {
        "cpu": model,
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": f"{os.getloadavg()[0]:.2f}",
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description="Compare Postkeep with Postfix and Dovecot.")
    parser.add_argument("--quick", action="store_true", help="three cells instead of twelve")
    parser.add_argument("--only", choices=("peer", "postkeep"), help="one side only")
    parser.add_argument("--out", type=Path, default=HERE / "build", help="where the results are written")
    parser.add_argument(
        "--work", type=Path, default=HERE.parent / "var" / "bench", help="where the servers live"
    )
    parser.add_argument("--peer-format", default="sdbox", choices=("sdbox", "mdbox", "maildir"))
    parser.add_argument("--peer-clear", action="store_true", help="the peer without encryption")
    parser.add_argument(
        "--skip-internals", action="store_true", help="leave out ledger, tickets, start, memory"
    )
    given = parser.parse_args()
    loadgen.compile_it()
    results: dict[str, Any] = {"machine": machine(), "servers": {}, "cells": []}
    servers: list[Any] = []
    installed = os.geteuid() == 0 and all(map(shutil.which, ("postfix", "dovecot", "doveadm")))
    with_peer = given.only == "peer" or (given.only is None and installed)
    if given.only is None and not with_peer:
        print(
            "Postfix and Dovecot are not installed here: apt-get install postfix dovecot-imapd dovecot-lmtpd"
        )
    try:
        if with_peer:
            servers.append(
                Peer(
                    given.work / "peer",
                    USERS,
                    mailbox_format=given.peer_format,
                    encrypted=not given.peer_clear,
                )
            )
        if given.only != "peer":
            servers.append(Postkeep(given.work / "postkeep", USERS))
        for server in servers:
            server.start()
            results["servers"][server.name] = {"versions": server.versions(), "cpu_from": server.meter.kind}
        results["cells"] = compare(servers, quick=given.quick)
        write(results, given.out)
        if given.only != "peer" and not given.skip_internals:
            results["internals"] = internals.measure(servers[-1], given.work)
            write(results, given.out)
    finally:
        for server in servers:
            server.stop()
    print(report.markdown(results))


def write(results: dict[str, Any], directory: Path) -> None:
    """Write what there is so far."""
    results["machine"]["load_after"] = f"{os.getloadavg()[0]:.2f}"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.json").write_text(json.dumps(results, indent=1))
    (directory / "results.md").write_text(report.markdown(results))


if __name__ == "__main__":
    main()
