"""Landlock: a process gives up, for good, all files and TCP ports but those named (Linux 5.13 and later).

Source: Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h of the Linux kernel.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from postkeep.node.sandbox.libc import syscall

_CREATE_RULESET: Final = 444  # the same number on every architecture
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1
_RULE_NET_PORT: Final = 2

_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_REMOVE_DIR: Final = 1 << 4
_REMOVE_FILE: Final = 1 << 5
_MAKE_DIR: Final = 1 << 7
_MAKE_REG: Final = 1 << 8
_MAKE_SOCK: Final = 1 << 9
_REFER: Final = 1 << 13
_TRUNCATE: Final = 1 << 14

# The rights that each version of the interface knows; what a kernel does not know can't be asked of it.
_FS_RIGHTS_OF_VERSION: Final = (0, (1 << 13) - 1, (1 << 14) - 1, (1 << 15) - 1, (1 << 15) - 1, (1 << 16) - 1)
_NET_SINCE: Final = 4
_SCOPES_SINCE: Final = 6
_BIND_TCP: Final = 1
_CONNECT_TCP: Final = 2
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 3

READ: Final = _READ_FILE | _READ_DIR
READ_WRITE: Final = (
    READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SOCK | _REFER | _TRUNCATE
)
SOCKETS: Final = _READ_DIR | _REMOVE_FILE | _MAKE_SOCK
_FILE_RIGHTS: Final = READ_WRITE & (_READ_FILE | _WRITE_FILE | _TRUNCATE)


def version() -> int:
    """Return the interface version that the kernel offers; 0 where it has no Landlock."""
    return max(0, syscall(_CREATE_RULESET, None, 0, _ASK_VERSION, check=False))


def restrict(paths: Iterable[tuple[Path, int]], *, connects: Collection[int] | None) -> bool:
    """Keep only `paths` (with the rights given) and no TCP port; False where there is no Landlock.

    `connects`: the ports that it may still connect to, on any host; None: all. A path that does not exist is
    left out. Already open files and sockets stay usable.
    """
    abi = version()
    if abi == 0:
        return False
    handled = _FS_RIGHTS_OF_VERSION[min(abi, len(_FS_RIGHTS_OF_VERSION) - 1)]
    network = 0 if abi < _NET_SINCE else _BIND_TCP | (0 if connects is None else _CONNECT_TCP)
    scopes = _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if abi >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", handled, network, scopes)
    if abi < _SCOPES_SINCE:
        attributes = attributes[: 16 if abi >= _NET_SINCE else 8]
    ruleset = syscall(_CREATE_RULESET, ctypes.c_char_p(attributes), len(attributes), 0)
    try:
        for path, rights in paths:
            _allow(ruleset, path, rights & handled)
        for port in (connects or ()) if network else ():
            rule = struct.pack("=QQ", _CONNECT_TCP, port)
            syscall(_ADD_RULE, ruleset, _RULE_NET_PORT, ctypes.c_char_p(rule), 0)
        syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return True


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this system, or not for us to see: it stays forbidden
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _FILE_RIGHTS
        rule = struct.pack("=Qi", rights, descriptor)
        syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.c_char_p(rule), 0)
    finally:
        os.close(descriptor)
