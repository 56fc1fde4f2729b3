"""From a forked copy of the supervisor to a process that owns next to nothing."""

import contextlib
import functools
import os
import resource
import signal
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postkeep.node.sandbox import landlock, seccomp
from postkeep.node.sandbox.libc import (
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    prctl,
)

_SYSTEM_FILES: Final = (
    *("/usr/lib", "/usr/local/lib", "/lib", "/lib64", "/usr/share/zoneinfo", "/usr/share/ca-certificates"),
    *("/etc/ssl", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/localtime", "/etc/gai.conf"),
    *("/etc/host.conf", "/etc/services", "/etc/protocols", "/etc/hostname", "/etc/ld.so.cache"),
    *("/run/systemd/resolve", "/dev/urandom", "/dev/random", "/proc/self", "/proc/meminfo", "/proc/stat"),
    *("/proc/sys/kernel", "/sys/devices/system/cpu"),
)
DESCRIPTORS_MAX: Final = 65_536
"""Open files per process, as far as the hard limit lets: 10,000 connections and room for files."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What one process keeps."""

    uid: int | None
    """None: the supervisor is not root, so everything runs as its user."""
    gid: int | None
    groups: tuple[int, ...]
    read_write: tuple[Path, ...]
    read_only: tuple[Path, ...]
    sockets: Path | None
    """The directory in which it may make sockets."""
    connects: tuple[int, ...] | None
    """The ports that it may open TCP connections to; None: all."""


@dataclass(frozen=True, slots=True)
class Confined:
    """What could be had of it on this system."""

    landlock: bool
    seccomp: bool


def open_descriptors() -> dict[int, str]:
    """List this process's descriptors with what they refer to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - the names are numbers, not paths
        with contextlib.suppress(OSError):  # the one that listed the directory is gone
            found[int(name)] = str(Path(f"/proc/self/fd/{name}").readlink())
    return found


def close_inherited(parents: dict[int, str], kept: Iterable[int]) -> None:
    """After a fork, close what the parent had open, except `kept`.

    Descriptors that libraries have renewed in the child at the fork refer to something else and stay.
    """
    keep = {0, 1, 2, *kept}
    for descriptor, target in open_descriptors().items():
        if descriptor not in keep and parents.get(descriptor) == target:
            os.close(descriptor)


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send `number` to this process when its parent ends; exit if that has happened."""
    prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def raise_descriptor_limit() -> None:
    """Let the soft limit of open files follow the hard one, up to DESCRIPTORS_MAX."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def confine(wanted: Confinement, parent: int) -> Confined:
    """Give up everything but `wanted`. There is no way back."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    raise_descriptor_limit()
    if wanted.uid is not None and wanted.gid is not None:
        os.setgroups(list(wanted.groups))
        os.setresgid(wanted.gid, wanted.gid, wanted.gid)
        os.setresuid(wanted.uid, wanted.uid, wanted.uid)
    # A change of user clears both of these, so they come after it.
    die_with_parent(parent)
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    paths = [(Path(path), landlock.READ) for path in _SYSTEM_FILES]
    paths += [(path, landlock.READ) for path in interpreter_directories()]
    paths += [(path, landlock.READ) for path in wanted.read_only]
    paths += [(Path("/dev/null"), landlock.READ_WRITE)]
    paths += [(path, landlock.READ_WRITE) for path in wanted.read_write]
    if wanted.sockets is not None:
        paths.append((wanted.sockets, landlock.SOCKETS))
    return Confined(landlock.restrict(paths, connects=wanted.connects), seccomp.install())


@functools.cache
def interpreter_directories() -> frozenset[Path]:
    """Where Python, the packages and the programs that they bring lie."""
    paths = sysconfig.get_paths()
    found = {Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    found |= {Path(entry) for entry in sys.path if entry and Path(entry).is_dir()}
    found.add(Path(sys.base_prefix) / "lib")
    return frozenset(found)
