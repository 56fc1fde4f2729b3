"""CPU time of a server with everything it starts: from a cgroup, or from /proc where there is none.

The cgroup counts every process that was ever in it, ended ones included. The sum over /proc sees only
processes that live at both ends of a measurement plus the children they have waited for; it is the
fallback, and `kind` says which of the two a figure comes from.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

V1 = Path("/sys/fs/cgroup/cpuacct")
V2 = Path("/sys/fs/cgroup")


class CpuMeter:
    """Counts the CPU seconds of processes started with `preexec` as their `preexec_fn`."""

    def __init__(self, name: str) -> None:
        self.kind = "proc"
        self._group: Path | None = None
        self._roots: list[int] = []
        for root, kind in ((V1, "cgroup v1 cpuacct"), (V2, "cgroup v2")):
            usable = (
                (root / "cpuacct.usage").exists() if root is V1 else (root / "cgroup.controllers").exists()
            )
            if not usable:
                continue
            group = root / f"postkeep-bench-{os.getpid()}-{name}"
            try:
                group.mkdir()
            except OSError:
                continue
            self._group, self.kind = group, kind
            break

    def preexec(self) -> Callable[[], None]:
        """Return a function that puts the calling process, before its exec, under this meter."""
        group = self._group

        def enter() -> None:
            if group is not None:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        return enter

    def watch(self, pid: int) -> None:
        """Count the tree below this process where there is no cgroup."""
        self._roots.append(pid)

    def seconds(self) -> float:
        """Return the CPU seconds used so far."""
        if self._group is not None:
            if self.kind.startswith("cgroup v1"):
                return int((self._group / "cpuacct.usage").read_text()) / 1e9
            stat = dict(line.split() for line in (self._group / "cpu.stat").read_text().splitlines())
            return int(stat["usage_usec"]) / 1e6
        return sum(_proc_seconds(pid) for root in self._roots for pid in tree(root))

    def pids(self) -> list[int]:
        """List the processes that live under this meter."""
        if self._group is not None:
            return [int(line) for line in (self._group / "cgroup.procs").read_text().split()]
        return [pid for root in self._roots for pid in tree(root)]

    def close(self) -> None:
        """Remove the cgroup; its processes must have ended."""
        for _ in range(50):
            if self._group is None:
                return
            try:
                self._group.rmdir()
            except OSError:
                time.sleep(0.1)
            else:
                return


def tree(root: int) -> list[int]:
    """List a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(path.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def _proc_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(fields[i]) for i in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")


def memory_pss_bytes(pids: list[int]) -> int:
    """Sum the proportional set size of processes: shared pages are counted once, in parts."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total
