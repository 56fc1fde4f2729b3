"""The few calls of the C library that Python does not offer."""

import ctypes
import os
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_NAME: Final = 15
PR_SET_SECCOMP: Final = 22
PR_SET_NO_NEW_PRIVS: Final = 38

MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x40000
CLONE_NEWNS: Final = 0x00020000


def syscall(number: int, *arguments: object, check: bool = True) -> int:
    """Make a system call by number; with `check`, raise OSError where it fails."""
    return _checked(int(_LIBC.syscall(number, *arguments)), check=check)


def prctl(option: int, *arguments: object) -> int:
    """Change an attribute of this process, as its manual page says."""
    return _checked(int(_LIBC.prctl(option, *arguments)), check=True)


def unshare(flags: int) -> None:
    """Leave shared namespaces, as its manual page says."""
    _checked(int(_LIBC.unshare(flags)), check=True)


def mount(source: str, target: str, flags: int, *, kind: str = "", options: str = "") -> None:
    """Mount a file system, bind a directory to a second place, or change how mounts spread."""
    result = _LIBC.mount(
        source.encode(), target.encode(), kind.encode() or None, flags, options.encode() or None
    )
    _checked(int(result), check=True)


def lock_pages(address: int, length: int) -> bool:
    """Keep memory out of swap; False where the limit on locked memory does not allow it."""
    return int(_LIBC.mlock(ctypes.c_void_p(address), ctypes.c_size_t(length))) == 0


def sync_file_system(descriptor: int) -> None:
    """Make durable all that was written to the file system of an open file, in one call."""
    _checked(int(_LIBC.syncfs(descriptor)), check=True)


def _checked(result: int, *, check: bool) -> int:
    if check and result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
