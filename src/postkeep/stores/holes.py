"""Giving back what a file no longer needs: blocks that hold nothing but zeros become holes in it.

Source: fallocate(2), FALLOC_FL_PUNCH_HOLE. A hole reads as zeros and takes no space.
"""

import ctypes
import errno
import os
from typing import Final

BLOCK_BYTES: Final = 4096
"""What ext4 and xfs allocate at least: a smaller hole frees nothing."""
READ_BYTES: Final = 256 * BLOCK_BYTES
"""Looked at with one read."""

_KEEP_SIZE: Final = 0x01
_PUNCH_HOLE: Final = 0x02
_UNSUPPORTED: Final = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV})

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_fallocate.restype = ctypes.c_int


def punch_zeros(fd: int, begin: int, end: int) -> int:
    """Turn whole blocks of zeros between two offsets into holes; return how many octets were punched.

    Nobody may write there meanwhile. 0 where the file system can't; OSError where the disk fails.
    """
    zeros = bytes(BLOCK_BYTES)
    punched = 0
    at = -(-begin // BLOCK_BYTES) * BLOCK_BYTES
    while at + BLOCK_BYTES <= end:
        found = _next_data(fd, at)
        if found is None or found >= end:
            break
        at = max(at, found // BLOCK_BYTES * BLOCK_BYTES)
        stop = min(end, at + READ_BYTES, -(-os.lseek(fd, found, os.SEEK_HOLE) // BLOCK_BYTES) * BLOCK_BYTES)
        data = os.pread(fd, (stop - at) // BLOCK_BYTES * BLOCK_BYTES, at)
        blocks = len(data) // BLOCK_BYTES
        if not blocks:
            break
        first = 0
        for block in range(blocks + 1):
            place = block * BLOCK_BYTES
            if block < blocks and data[place : place + BLOCK_BYTES] == zeros:
                continue
            if block > first and not _punch(fd, at + first * BLOCK_BYTES, (block - first) * BLOCK_BYTES):
                return punched
            punched += (block - first) * BLOCK_BYTES
            first = block + 1
        at += blocks * BLOCK_BYTES
    return punched


def _next_data(fd: int, offset: int) -> int | None:
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def _punch(fd: int, offset: int, length: int) -> bool:
    if _fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, offset, length) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number))
