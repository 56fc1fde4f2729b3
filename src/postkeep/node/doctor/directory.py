"""Checks of the data directory: owners, modes, the file system under it, the disks of the categories."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postkeep.base.errors import InvalidInputError
from postkeep.node import disks
from postkeep.node.config import Config
from postkeep.node.doctor.finding import Finding, bad, ok, warn
from postkeep.node.sandbox.namespace import closed_parent
from postkeep.node.supervisor.layout import Layout
from postkeep.node.supervisor.plan import MODULES
from postkeep.services.kms.root_kinds import RootKind, kind_of

_COPY_ON_WRITE: Final = frozenset({"btrfs", "zfs", "bcachefs", "overlay", "nilfs2", "f2fs"})
_FREE_BYTES_MIN: Final = 10**9


def check_directory(layout: Layout, config: Config) -> Iterator[Finding]:
    """Examine the data directory; nothing more where there is none."""
    path = layout.data
    if not path.is_dir():
        yield bad("data directory", "data.missing", path=path)
        return
    kind = file_system(path)
    free = shutil.disk_usage(path).free
    shown = f"{free / 10**9:.1f} GB"
    if not (path / "initialised").exists():
        yield bad("data directory", "data.not_initialised", path=path)
    elif _mode(path) & 0o066:
        yield bad("data directory", "data.mode", path=path, mode=f"{_mode(path):o}", owner=path.stat().st_uid)
    else:
        yield ok("data directory", "data.ok", path=path, kind=kind, free=shown)
    if kind in _COPY_ON_WRITE:
        yield warn("erasing", "data.copy_on_write", path=path, kind=kind)
    if free < _FREE_BYTES_MIN:
        yield warn("disk space", "data.low", path=path, free=shown)
    parent = closed_parent(path)
    if parent is not None and layout.uid_base is not None:
        yield warn("way to the data", "data.closed", parent=parent)
    yield from _states(layout)
    yield from _disks(config)
    yield from _root_key(layout, config)
    yield ok("users", "users.apart") if layout.uid_base is not None else warn("users", "users.one")


def _root_key(layout: Layout, config: Config) -> Iterator[Finding]:
    """Say how the root key is sealed; where nobody may look, nothing."""
    try:
        kind = kind_of(config.keys.root, layout.data / "state" / "kms")
    except InvalidInputError as error:
        yield bad("root key", "root_key.unclear", why=error.public_text)
    except PermissionError:
        return  # `_states` has said whose it is
    else:
        key = f"root_key.{kind}"
        yield warn("root key", key) if kind is RootKind.FILE else ok("root key", key)


def file_system(path: Path) -> str:
    """Return the kind of file system that a path lies on, as /proc/mounts names it."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text("utf-8", "replace").splitlines():
        _, point, found, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if (path == Path(point) or path.is_relative_to(point)) and len(point) >= len(best):
            best, kind = point, found
    return kind


def _states(layout: Layout) -> Iterator[Finding]:
    count = 0
    for module in MODULES:
        path = layout.state(module)
        if not path.is_dir():
            continue
        count += 1
        status = path.stat()
        wanted = layout.uid(module)
        owner = os.geteuid() if wanted is None else wanted
        if status.st_mode & 0o077 or status.st_uid != owner:
            yield bad("module state", "state.wrong", path=path, mode=f"{_mode(path):o}", owner=status.st_uid)
    if count:
        yield ok("module state", "state.ok", count=count)


def _disks(config: Config) -> Iterator[Finding]:
    shared = disks.sharing(config)
    if not disks.declared(config):
        yield warn("disks", "disks.default")
    elif shared:
        for first, second in shared:
            yield bad("disks", "disks.same", first=first, second=second)
    else:
        yield ok("disks", "disks.ok")


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777
