"""The octets of COMPRESS=DEFLATE (RFC 4978): raw DEFLATE, whole after every response.

A response is compressed by itself. A window that goes on from one response to the next would let whoever can
send mail guess at what lies in other messages, by the length of what crosses the line; it would also cost a
quiet connection its memory. What a client sends is one stream, as the standard has it.
"""

import zlib
from typing import Final

from postkeep.protocols.imap.errors import ImapStreamError

LEVEL: Final = 6
"""zlib's own middle: higher ones cost twice for a few percent of headers and text."""
SMALL_OCTETS: Final = 4_096
"""Up to this a response is compressed with small tables: large ones cost more to clear than it does."""
INFLATED_STEP_OCTETS: Final = 65_536
"""Inflated at once: a few octets can stand for a thousand times as many."""
_RAW_WINDOW_BITS: Final = -15  # raw DEFLATE may reach back 32 KB
_SMALL: Final = (-12, 5)  # 4 KB of window, 512 hash chains: 32 KB of memory for the moment
_LARGE: Final = (-15, 8)  # zlib's own: 256 KB for the moment


def deflate(data: bytes) -> bytes:
    """Compress one response, so that all of it can be read when all of it is there."""
    window_bits, memory = _SMALL if len(data) <= SMALL_OCTETS else _LARGE
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, window_bits, memory)
    return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)


class Inflater:
    """The stream that a client sends: inflated in steps, so that little input never becomes much at once."""

    __slots__ = ("_input", "_stream")

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_RAW_WINDOW_BITS)
        self._input = b""

    def feed(self, data: bytes) -> None:
        """Take compressed octets."""
        self._input += data

    def step(self) -> bytes:
        """Inflate on, to at most INFLATED_STEP_OCTETS; nothing: more is needed.

        ImapStreamError where it is no such stream, or the client has ended it.
        """
        try:
            inflated = self._stream.decompress(self._input, INFLATED_STEP_OCTETS)
        except zlib.error as exc:
            raise ImapStreamError("not compressed as agreed") from exc
        if self._stream.eof:
            raise ImapStreamError("the compressed stream has ended")
        self._input = self._stream.unconsumed_tail
        return inflated
