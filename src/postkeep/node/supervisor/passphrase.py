"""The passphrase of the root key, kept so that kms can be started again, and out of every other process."""

import ctypes
import mmap
from typing import TYPE_CHECKING, Final

from postkeep.base.errors import LimitError
from postkeep.node.supervisor import frames

if TYPE_CHECKING:  # the command line reads the limit below and needs nothing of the rest
    from postkeep.node.supervisor.spawn import Process

PASSPHRASE_BYTES_MAX: Final = 1024
"""Long enough for any sentence a person types."""


class HeldPassphrase:
    """Keeps it in pages that a fork does not inherit; the given buffer is overwritten."""

    def __init__(self, value: bytearray) -> None:
        if len(value) > PASSPHRASE_BYTES_MAX:
            raise LimitError(public_text=f"The passphrase is longer than {PASSPHRASE_BYTES_MAX} octets.")
        self._length = len(value)
        self._pages = mmap.mmap(-1, mmap.PAGESIZE)
        self._pages.madvise(mmap.MADV_DONTFORK)
        self._pages[: len(value)] = value
        if value:
            ctypes.memset((ctypes.c_char * len(value)).from_buffer(value), 0, len(value))

    def give(self, process: "Process") -> None:
        """Send it to the key service, where there is one."""
        if self._length:
            process.send(frames.Passphrase(self._pages[: self._length]))
