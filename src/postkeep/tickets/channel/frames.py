"""What crosses the channel: length-prefixed MessagePack, each frame with a MAC and a counter.

Frame: 4 octets big-endian length of the rest; 32 octets HMAC-SHA256 over the body (zeros during the
handshake, which is signed instead); the body. `FrameReader` and `Lane` are sans-IO.
"""

import hashlib
import hmac
from typing import Any, Final

import msgspec

from postkeep.base.errors import LimitError, RefusedError

MAC_BYTES: Final = 32  # HMAC-SHA256
LENGTH_BYTES: Final = 4

FRAME_BYTES_MAX: Final = 64 * 1024 * 1024
"""Octets of one frame: a message of the greatest size, sealed, with room for its batch."""

HANDSHAKE_BYTES_MAX: Final = 16 * 1024
"""Octets of a frame before both sides are known; a module ticket is below 4,000."""

CALLS_IN_FLIGHT_MAX: Final = 1024
"""Unanswered calls of one connection; beyond it the keeper stops reading until some are answered."""

HANDSHAKE_SECONDS: Final = 5.0
"""Between connecting and having proved who one is."""


class Call(msgspec.Struct, array_like=True):
    """One call. `id` 0 with the method `present` shows a renewed module ticket and has no answer."""

    id: int
    counter: int
    method: str
    arguments: msgspec.Raw
    ticket: bytes = b""


class Answer(msgspec.Struct, array_like=True):
    """The answer to call `id`. `id` 0: a renewed module ticket (ok), or the end of the connection."""

    id: int
    counter: int
    ok: bool
    value: msgspec.Raw


class Fault(msgspec.Struct, array_like=True):
    """An error as it crosses."""

    code: str
    temporary: bool
    public_text: str


PRESENT: Final = "present"

_INNER_PAD: Final = bytes(octet ^ 0x36 for octet in range(256))
_OUTER_PAD: Final = bytes(octet ^ 0x5C for octet in range(256))

encoder: Final = msgspec.msgpack.Encoder()
call_decoder: Final = msgspec.msgpack.Decoder(Call)
answer_decoder: Final = msgspec.msgpack.Decoder(Answer)
fault_decoder: Final = msgspec.msgpack.Decoder(Fault)
ticket_decoder: Final = msgspec.msgpack.Decoder(bytes)


class Lane:
    """One direction of an authenticated connection: its key and its counter."""

    __slots__ = ("_inner", "_outer", "counter")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(hashlib.sha256().block_size, b"\0")
        # HMAC with the key's two blocks hashed once (RFC 2104 section 4): half the time for a small frame.
        self._inner = hashlib.sha256(block.translate(_INNER_PAD))
        self._outer = hashlib.sha256(block.translate(_OUTER_PAD))
        self.counter = 0

    def write(self, parts: tuple[Any, ...]) -> tuple[bytes, bytes]:
        """Encode `(id, counter, ...)` from `(id, ...)`; return head and body to be written in a row."""
        self.counter += 1
        body = encoder.encode((parts[0], self.counter, *parts[1:]))
        if len(body) + MAC_BYTES > FRAME_BYTES_MAX:
            self.counter -= 1
            raise LimitError("the frame would be too long", code="limit.frame")
        return (len(body) + MAC_BYTES).to_bytes(LENGTH_BYTES, "big") + self._mac(body), body

    def check_mac(self, frame: memoryview) -> memoryview:
        """Return an authentic frame's body; raise RefusedError for a wrong MAC."""
        body = frame[MAC_BYTES:]
        if not hmac.compare_digest(frame[:MAC_BYTES], self._mac(body)):
            raise RefusedError("a frame is not authentic", code="refused.mac")
        return body

    def check_counter(self, counter: int) -> None:
        """Raise RefusedError unless this is the next frame: a copied or a missing one ends the connection."""
        self.counter += 1
        if counter != self.counter:
            raise RefusedError("a frame is out of turn", code="refused.counter")

    def _mac(self, body: bytes | memoryview) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(body)
        outer.update(inner.digest())
        return outer.digest()


class FrameReader:
    """Cuts a stream of octets into frames; holds at most one frame that is not whole yet."""

    __slots__ = ("_have", "_need", "_parts", "bytes_max")

    def __init__(self) -> None:
        self.bytes_max = HANDSHAKE_BYTES_MAX
        self._parts: list[bytes | memoryview] = []
        self._have = 0
        self._need = LENGTH_BYTES

    def feed(self, data: bytes) -> list[memoryview]:
        """Take octets; return the frames that are now whole, without their length.

        Raises RefusedError for a frame longer than `bytes_max`, before any of it is kept.
        """
        self._parts.append(data)
        self._have += len(data)
        if self._have < self._need:
            return []
        view = memoryview(b"".join(self._parts) if len(self._parts) > 1 else data)
        frames = []
        at, end = 0, len(view)
        while end - at >= LENGTH_BYTES:
            length = int.from_bytes(view[at : at + LENGTH_BYTES], "big")
            if not MAC_BYTES < length <= self.bytes_max:
                raise RefusedError("a frame has an impossible length", code="refused.frame")
            if end - at - LENGTH_BYTES < length:
                self._need = LENGTH_BYTES + length
                break
            at += LENGTH_BYTES
            frames.append(view[at : at + length])
            at += length
            self._need = LENGTH_BYTES
        else:
            self._need = LENGTH_BYTES
        self._have = end - at
        self._parts = [bytes(view[at:])] if at < end else []
        return frames


def plain_frame(value: msgspec.Struct) -> bytes:
    """Encode a frame of the handshake."""
    body = encoder.encode(value)
    return (len(body) + MAC_BYTES).to_bytes(LENGTH_BYTES, "big") + bytes(MAC_BYTES) + body
