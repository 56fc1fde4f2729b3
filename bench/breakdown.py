"""Where the CPU goes: `python bench/breakdown.py [four|mixed] [connections] [messages] [starttls]`.

Sends one load to a Postkeep of its own and prints CPU seconds per 1,000 messages of each process.
"""

import os
import sys
from pathlib import Path

import run
from ours import Postkeep

SHARE_MIN = 0.003  # seconds per 1,000 messages below which a process is not listed


def usage(pids: list[int]) -> dict[int, tuple[str, float, float]]:
    """Return each process's name, user and system seconds."""
    found = {}
    tick = os.sysconf("SC_CLK_TCK")
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
        label = words if words.startswith("postgres:") else name
        found[pid] = (label, int(fields[11]) / tick, int(fields[12]) / tick)
    return found


def main() -> None:
    """Measure and print."""
    given = [*sys.argv[1:], *("four", "20", "3000", "plain")[len(sys.argv) - 1 :]]
    kind, connections, count, starttls = given[0], int(given[1]), int(given[2]), given[3] == "starttls"
    server = Postkeep(run.HERE.parent / "var" / "bench" / "breakdown", run.USERS)
    try:
        server.start()
        run.measure(server, kind, 4, 300, starttls=False)
        before = usage(server.meter.pids())
        figures = run.measure(server, kind, connections, count, starttls=starttls)
        after = usage(server.meter.pids())
    finally:
        server.stop()
    rows = []
    for pid, (label, user, system) in after.items():
        _, user_before, system_before = before.get(pid, ("", 0.0, 0.0))
        rows.append(((user - user_before) / count * 1000, (system - system_before) / count * 1000, label))
    rows.sort(key=lambda row: -(row[0] + row[1]))
    print(f"{figures['visible_rate']:.0f} visible/s, {figures['cpu_seconds_per_1000']:.3f} CPU-s per 1,000")
    for user, system, label in rows:
        if user + system >= SHARE_MIN:
            print(f"{user + system:7.3f}  (user {user:.3f}, system {system:.3f})  {label}")


if __name__ == "__main__":
    main()
