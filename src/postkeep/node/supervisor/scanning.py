"""The raw search as an errand of the supervisor: a short-lived process that may read every file of the node.

No module can: each sees its own directory only. The errand sees all of them and nothing else, can write
nothing, and tells the steward what it counted and where it found something, never what it read. It reports a
hit only for a fingerprint of the whole secret, so that whoever holds the steward can't use it to read.
"""

import os
import signal
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from postkeep.node.config import Config
from postkeep.node.sandbox import landlock, seccomp
from postkeep.node.sandbox.libc import PR_SET_NO_NEW_PRIVS, prctl
from postkeep.node.sandbox.process import die_with_parent
from postkeep.node.supervisor import frames
from postkeep.node.supervisor.layout import Layout
from postkeep.node.supervisor.spawn import Process, fork
from postkeep.services.destruction.scan import ScanRequest, scan

_NICENESS: Final = 15
"""Mail goes first."""


def searched_directories(layout: Layout, config: Config) -> tuple[Path, ...]:
    """Return where the node keeps anything: its data directory, and places that the configuration names."""
    named = [Path(entry.directory) for entry in config.categories.values() if entry.directory]
    target = config.backup.target
    if target and "://" not in target:
        named.append(Path(target))
    return (layout.data, *named)


def start_scan(layout: Layout, config: Config, asker: Process, asked: frames.AskScan) -> int:
    """Search in a process of its own, which answers the asker itself; return its pid."""
    parent = os.getpid()
    roots = searched_directories(layout, config)
    return fork(lambda: _search(roots, asker, asked, parent), (asker.link.fileno(),))


def _search(roots: Iterable[Path], asker: Process, asked: frames.AskScan, parent: int) -> int:
    die_with_parent(parent, signal.SIGKILL)
    os.nice(_NICENESS)
    report = b""
    try:
        request = msgspec.msgpack.decode(asked.request, type=ScanRequest)
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        landlock.restrict([(path, landlock.READ) for path in roots], connects=())
        seccomp.install()
        report = msgspec.msgpack.encode(scan(roots, request))
    except Exception:  # noqa: BLE001 - an empty answer says that the search failed
        traceback.print_exc(limit=8, file=sys.stderr)
    asker.send(frames.Scanned(asked.number, report))
    return 0
