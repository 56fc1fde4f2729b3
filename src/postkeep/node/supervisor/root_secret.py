"""What opens the root key, kept so that kms can be started again, and out of every other process.

It is a passphrase, a token's PIN, or the secret that enough shares gave (never the shares themselves). It
lies in pages that are locked into memory, that a fork does not inherit and no core dump holds. While the seal
of the root key is changed there are two, the newest first; kms knows which of them counts.
"""

import ctypes
import mmap
from typing import TYPE_CHECKING, Final

from postkeep.base.errors import LimitError
from postkeep.node.sandbox.libc import lock_pages
from postkeep.node.supervisor import frames

if TYPE_CHECKING:  # the command line reads the limit below and needs nothing of the rest
    from postkeep.node.supervisor.spawn import Process

ROOT_SECRET_BYTES_MAX: Final = 1024
"""Long enough for any sentence a person types."""


class HeldRootSecret:
    """Holds at most two secrets; the buffer given is overwritten."""

    def __init__(self, value: bytearray) -> None:
        self._held = [_Pages(value)]

    def give(self, process: "Process") -> None:
        """Send what is held to the key service."""
        if any(pages.length for pages in self._held):
            process.send(frames.RootSecrets([pages.read() for pages in self._held]))

    def take(self, step: str, value: bytes) -> None:
        """Do as kms says: `add` a newer one, `settle` for the newest alone, or `drop` it again."""
        if step == "add":
            self._held = [_Pages(bytearray(value)), self._held[-1]]
        elif step == "settle":
            self._held = self._held[:1]
        elif step == "drop":
            self._held = self._held[-1:]


class _Pages:
    """A secret in memory of its own."""

    def __init__(self, value: bytearray) -> None:
        if len(value) > ROOT_SECRET_BYTES_MAX:
            raise LimitError(
                public_text=f"What opens the root key is longer than {ROOT_SECRET_BYTES_MAX} octets."
            )
        self.length = len(value)
        self._pages = mmap.mmap(-1, mmap.PAGESIZE)
        self._pages.madvise(mmap.MADV_DONTFORK)
        self._pages.madvise(mmap.MADV_DONTDUMP)
        lock_pages(ctypes.addressof(ctypes.c_char.from_buffer(self._pages)), mmap.PAGESIZE)
        self._pages[: len(value)] = value
        if value:
            ctypes.memset((ctypes.c_char * len(value)).from_buffer(value), 0, len(value))

    def read(self) -> bytes:
        """Return the secret."""
        return self._pages[: self.length]
