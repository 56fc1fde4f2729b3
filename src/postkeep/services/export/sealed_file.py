"""An export file as it is written and read: a head with the sealed key, then one sealed stream.

Nothing is held but a piece of it, and nothing of it in the clear but in memory.
"""

import hashlib
from collections.abc import Callable
from typing import BinaryIO, Final

from postkeep.base.errors import IntegrityError
from postkeep.crypto import chunked, export_file

PIECE_BYTES: Final = 1024 * 1024
"""Octets that go through the cipher at once."""


class SealedWriter:
    """Seals what is written, and knows the digest of the file."""

    def __init__(self, file: BinaryIO, sealed: export_file.Sealed) -> None:
        self._file = file
        self._stream = sealed.stream
        self._buffer = bytearray()
        self._digest = hashlib.sha256()
        self._put(sealed.head)

    def write(self, octets: bytes) -> None:
        """Take octets in the clear."""
        self._buffer += octets
        if len(self._buffer) >= PIECE_BYTES:
            self._put(self._stream.update(self._buffer))
            self._buffer.clear()

    def finish(self) -> bytes:
        """Write the end; return the SHA-256 of the whole file."""
        self._put(self._stream.update(self._buffer))
        self._put(self._stream.finish())
        return self._digest.digest()

    def _put(self, sealed: bytes) -> None:
        self._digest.update(sealed)
        self._file.write(sealed)


class SealedReader:
    """Opens an export file; what it returns is authentic, and `finish` says that there is no more."""

    def __init__(self, file: BinaryIO, opens: Callable[[int], Callable[[bytes], bytes]]) -> None:
        """Read the head; `opens` returns, for a kind of file, what opens its sealed key.

        RefusedError for a wrong passphrase, IntegrityError for what is no export or was altered.
        """
        self._file = file
        fixed = file.read(export_file.HEAD_FIXED_BYTES)
        kind, length = export_file.read_fixed(fixed)
        head, start = fixed + file.read(length), file.read(chunked.HEAD_BYTES)
        if len(head) != len(fixed) + length:
            raise IntegrityError("an export is cut short")
        self._stream = export_file.open_stream(head, start, opens(kind))
        self._ready = bytearray()
        self._at_end = False

    def read(self, count: int) -> bytes:
        """Return exactly so many octets; IntegrityError if they are altered or missing."""
        while len(self._ready) < count and not self._at_end:
            self._more()
        if len(self._ready) < count:
            raise IntegrityError("an export ends too early")
        octets = bytes(self._ready[:count])
        del self._ready[:count]
        return octets

    def finish(self) -> None:
        """Raise IntegrityError unless everything has been read."""
        while not self._at_end and not self._ready:
            self._more()
        if self._ready or not self._at_end:
            raise IntegrityError("an export goes on after its end")

    def _more(self) -> None:
        sealed = self._file.read(PIECE_BYTES)
        self._ready += self._stream.update(sealed) if sealed else self._stream.finish()
        self._at_end = not sealed
