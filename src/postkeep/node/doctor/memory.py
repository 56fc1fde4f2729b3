"""Checks of where memory may end up on a disk: swap. Modules leave no dumps of theirs (`sandbox.process`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postkeep.node.doctor.finding import Finding, ok, warn

PROC: Final = Path("/proc")
DEVICES: Final = Path("/sys/class/block")
_FIELDS: Final = 5  # file name, type, size, used, priority: proc(5)


def check_memory(proc: Path = PROC, devices: Path = DEVICES) -> Iterator[Finding]:
    """Examine swap."""
    readable = [place for place in swap_places(proc) if not _stays_unread(place, devices)]
    if readable:
        yield warn("swap", "swap.readable", places=", ".join(readable))
    else:
        yield ok("swap", "swap.ok")


def swap_places(proc: Path) -> list[str]:
    """List the files and devices that memory is swapped out to."""
    try:
        lines = (proc / "swaps").read_text("utf-8", "replace").splitlines()[1:]
    except OSError:
        return []
    return [line.split()[0].replace("\\040", " ") for line in lines if len(line.split()) == _FIELDS]


def _stays_unread(place: str, devices: Path) -> bool:
    """Whether what is swapped out to a device is in memory only, or encrypted by the device mapper."""
    name = Path(place).resolve().name
    if name.startswith("zram"):
        return True
    try:
        mapped = (devices / name / "dm" / "uuid").read_text("ascii", "replace")
    except OSError:
        return False
    return mapped.startswith("CRYPT-")
