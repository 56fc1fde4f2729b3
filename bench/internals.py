"""What is measured inside Postkeep: ledger, tickets, the time until ready, memory when idle."""

import time
from pathlib import Path
from typing import Any

import ledger_rate
import ticket_cost
from cgroup import memory_pss_bytes

SETTLE_SECONDS = 3.0
IDLE_SECONDS = 8.0


def measure(server: Any, work: Path) -> list[dict[str, str]]:
    """Measure all of it; the node is restarted on its initialised directory."""
    server.halt()
    ready = [server.serve()]
    for _ in range(2):
        server.halt()
        ready.append(server.serve())
    time.sleep(SETTLE_SECONDS)
    cpu = server.meter.seconds()
    time.sleep(IDLE_SECONDS)
    idle = (server.meter.seconds() - cpu) / IDLE_SECONDS
    pss = memory_pss_bytes(server.meter.pids())
    processes = len(server.meter.pids())
    rate = ledger_rate.measure(work / "ledger")
    costs = ticket_cost.measure()
    warm, cold = costs["warm"][0], costs["cold"][0]
    return [
        {
            "what": "durable ledger events a second, four sources over the channel",
            "figure": f"{rate['events_per_second']:,.0f}",
            "aim": ">= 20,000",
        },
        {
            "what": "ledger CPU per event, its own process, µs",
            "figure": f"{rate['server_cpu_us']:.1f}",
            "aim": "-",
        },
        {
            "what": "a single ledger record at 2,000 a second, p50 / p99, ms",
            "figure": f"{rate['record_p50_ms']:.1f} / {rate['record_p99_ms']:.1f}",
            "aim": "p99 <= 10",
        },
        {"what": "ticket check, warm / cold, µs", "figure": f"{warm:.1f} / {cold:.0f}", "aim": "<= 20 / 400"},
        {
            "what": "serve ready on an initialised directory, s",
            "figure": f"{sorted(ready)[1]:.2f}",
            "aim": "<= 5",
        },
        {
            "what": f"idle node, PSS of all {processes} processes, MB",
            "figure": f"{pss / 1e6:.0f}",
            "aim": "<= 400",
        },
        {"what": "idle node, CPU of all processes, % of a core", "figure": f"{idle * 100:.1f}", "aim": "-"},
    ]
