"""Checks of the machine: what is installed, what the kernel offers, whether the clock can be believed."""

import ctypes
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from typing import Final

from postkeep.node.config import Config
from postkeep.node.doctor.finding import Finding, bad, ok, warn
from postkeep.node.postgres.binaries import NoPostgresError, find_binaries
from postkeep.node.postgres.settings import KEEPERS
from postkeep.node.sandbox import landlock, seccomp
from postkeep.node.supervisor.plan import MODULES

_RELEASED: Final = 1_790_000_000
"""Seconds since 1970; a clock before this release is wrong."""
_FILES_MIN: Final = 8192
_STA_UNSYNC: Final = 0x0040  # adjtimex(2)
_GRND_NONBLOCK: Final = 1


def check_machine(config: Config) -> Iterator[Finding]:
    """Examine the machine."""
    yield _python()
    yield _openssl()
    yield _postgres(config)
    yield _landlock()
    yield _clock()
    yield _entropy()
    yield _files()


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < (3, 11):  # noqa: UP036 - the doctor may be run where nothing else does
        return bad("python", "python.old", version=version)
    return ok("python", "python.ok", version=version)


def _openssl() -> Finding:
    from cryptography.hazmat.backends.openssl import backend

    version = backend.openssl_version_text()
    try:
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

        MLKEM768PrivateKey.generate()
    except Exception:  # noqa: BLE001 - whatever is missing, the answer is the same
        return bad("openssl", "openssl.no_mlkem", version=version)
    return ok("openssl", "openssl.ok", version=version)


def _postgres(config: Config) -> Finding:
    own = {
        module.name
        for module in MODULES
        if module.database in config.categories and config.categories[module.database].dsn
    }
    if own.issuperset(KEEPERS):
        return ok("postgres", "postgres.dsn")
    try:
        found = find_binaries()
    except NoPostgresError:
        return bad("postgres", "postgres.missing")
    return ok("postgres", "postgres.ok", major=found.major, directory=found.directory)


def _landlock() -> Finding:
    version = landlock.version()
    if not version:
        return warn("sandbox", "landlock.missing")
    filtered = "on" if seccomp.program(platform.machine()) is not None else "off"
    return ok("sandbox", "landlock.ok", version=version, seccomp=filtered)


def _clock() -> Finding:
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    if time.time() < _RELEASED:
        return bad("clock", "clock.wrong", now=now)
    state = ctypes.create_string_buffer(512)  # struct timex, generously; mode 0 only reads
    ctypes.CDLL(None).adjtimex(state)
    status = ctypes.cast(state, ctypes.POINTER(ctypes.c_int))[10]  # offset of `status` on 64-bit systems
    if status & _STA_UNSYNC:
        return warn("clock", "clock.unsynchronised", now=now)
    return ok("clock", "clock.ok", now=now)


def _entropy() -> Finding:
    try:
        os.getrandom(1, _GRND_NONBLOCK)
    except BlockingIOError:
        return bad("entropy", "entropy.missing")
    return ok("entropy", "entropy.ok")


def _files() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FILES_MIN:
        return warn("open files", "files.few", count=hard)
    return ok("open files", "files.ok", count="unlimited" if hard == resource.RLIM_INFINITY else hard)
