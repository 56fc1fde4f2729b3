"""What crosses the channel: length-prefixed MessagePack, each frame with a MAC and a counter.

Frame: 4 octets big-endian length of the rest; 8 octets counter; 16 octets tag; the body. The tag is
AES-256-GMAC (NIST SP 800-38D) over the body with the counter as its nonce. During the handshake, which is
signed instead, counter and tag are zeros. `FrameReader` and `Lane` are sans-IO.
"""

from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from postkeep.base.errors import LimitError, RefusedError

COUNTER_BYTES: Final = 8
MAC_BYTES: Final = COUNTER_BYTES + 16  # the counter and the tag that covers it
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
    method: str
    arguments: msgspec.Raw
    ticket: bytes = b""


class Answer(msgspec.Struct, array_like=True):
    """The answer to call `id`. `id` 0: a renewed module ticket (ok), or the end of the connection."""

    id: int
    ok: bool
    value: msgspec.Raw


class Fault(msgspec.Struct, array_like=True):
    """An error as it crosses."""

    code: str
    temporary: bool
    public_text: str


PRESENT: Final = "present"

_NONCE_PAD: Final = bytes(12 - COUNTER_BYTES)

encoder: Final = msgspec.msgpack.Encoder()
call_decoder: Final = msgspec.msgpack.Decoder(Call)
answer_decoder: Final = msgspec.msgpack.Decoder(Answer)
fault_decoder: Final = msgspec.msgpack.Decoder(Fault)
ticket_decoder: Final = msgspec.msgpack.Decoder(bytes)


class Lane:
    """One direction of an authenticated connection: its key and its counter.

    The key belongs to one direction of one connection and the counter only goes up, so no nonce comes twice.
    """

    __slots__ = ("_cipher", "counter")

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.counter = 0

    def write(self, parts: tuple[Any, ...]) -> tuple[bytes, bytes]:
        """Encode the next frame; return head and body to be written in a row."""
        body = encoder.encode(parts)
        length = MAC_BYTES + len(body)
        if length > FRAME_BYTES_MAX:
            raise LimitError("the frame would be too long", code="limit.frame")
        self.counter += 1
        counter = self.counter.to_bytes(COUNTER_BYTES, "big")
        tag = self._cipher.encrypt(_NONCE_PAD + counter, b"", body)
        return b"".join((length.to_bytes(LENGTH_BYTES, "big"), counter, tag)), body

    def read(self, frame: memoryview) -> memoryview:
        """Return the body of the next frame.

        Raises RefusedError for a frame that is not authentic, and for one out of turn: a copied or
        missing frame ends the connection.
        """
        counter = frame[:COUNTER_BYTES]
        body = frame[MAC_BYTES:]
        try:
            self._cipher.decrypt(_NONCE_PAD + counter, frame[COUNTER_BYTES:MAC_BYTES], body)
        except InvalidTag as exc:
            raise RefusedError("a frame is not authentic", code="refused.mac") from exc
        self.counter += 1
        if int.from_bytes(counter, "big") != self.counter:
            raise RefusedError("a frame is out of turn", code="refused.counter")
        return body


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
