"""Where a directory above is closed to others (as /root is), let the modules' users pass, and see only that.

A root supervisor takes a mount namespace of its own. In it, each closed directory is covered by an empty one
that holds nothing but the paths we need: they keep their names, and the rest of the closed directory is
hidden from every module. Nothing changes outside. Source: mount_namespaces(7).
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from postkeep.base.errors import PostkeepError
from postkeep.node.sandbox.libc import CLONE_NEWNS, MS_BIND, MS_PRIVATE, MS_REC, mount, unshare


class UnreachableError(PostkeepError):
    """A directory can't be reached by the modules' users."""

    code = "unreachable"


def closed_parent(path: Path) -> Path | None:
    """Return the topmost directory above `path` that other users can't pass through; None: they can."""
    for parent in reversed(path.parents):
        if not parent.stat().st_mode & stat.S_IXOTH:
            return parent
    return None


def open_the_way(needed: Iterable[Path]) -> bool:
    """Make these directories reachable for every user in this process's own view; False: they are already.

    Raises UnreachableError where the system does not allow a mount namespace (as many containers do not).
    """
    closed: dict[Path, list[Path]] = {}
    for path in sorted({path.resolve() for path in needed if path.exists()}):
        parent = closed_parent(path)
        if parent is None:
            continue
        paths = closed.setdefault(parent, [])
        if not any(path.is_relative_to(outer) for outer in paths):
            paths.append(path)
    if not closed:
        return False
    try:
        unshare(CLONE_NEWNS)
        mount("none", "/", MS_REC | MS_PRIVATE)
        for parent, paths in closed.items():
            _cover(parent, paths)
    except OSError as exc:
        parent, paths = next(iter(closed.items()))
        raise UnreachableError(
            public_text=f"{parent} is closed to other users, so the modules' own users can't "
            f"reach {paths[0]}, and this system allows no mount namespace. "
            f"Use a place outside {parent}, as /var/lib/postkeep."
        ) from exc
    return True


def _cover(parent: Path, paths: list[Path]) -> None:
    handles = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in paths]
    mount("tmpfs", str(parent), 0, kind="tmpfs", options="mode=0755,size=1m")
    for path, handle in zip(paths, handles, strict=True):
        path.mkdir(mode=0o755, parents=True)
        mount(f"/proc/self/fd/{handle}", str(path), MS_BIND | MS_REC)
        os.close(handle)
