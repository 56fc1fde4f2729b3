"""Cuts commands out of the byte stream: lines and literals (RFC 3501 section 4.3, 3516, 7888).

The caller feeds bytes and asks for the next event when it is ready to act on one, so what waits behind a
running command stays in here as plain bytes; `backlog` says how many.
"""

import re
from typing import Final, NamedTuple

from postkeep.protocols.imap.errors import ImapStreamError
from postkeep.protocols.imap.limits import (
    AUTH_LINE_BYTES_MAX,
    COMMAND_TEXT_BYTES_MAX,
    DISCARD_BYTES_MAX,
    LITERAL_BYTES_MAX_UNAUTHENTICATED,
    LITERALS_MAX,
    TAG_BYTES_MAX,
)

Literal = bytes | bytearray

_MARKER = re.compile(rb"\{(\d{1,19})(\+?)\}\Z")
_APPEND = re.compile(rb"[^ ]+ (?:APPEND|(?:UID )?REPLACE) ", re.IGNORECASE)
_TAG = re.compile(rb"([^\x00-\x20\x7f-\xff(){%*\"\\+]+) ")
_SMALL_BYTES: Final = (
    65_536  # literals up to this become bytes, larger ones are handed out as they were filled
)


class CommandBytes(NamedTuple):
    """One whole command. In `text` every literal is left as its `{n}` and CRLF; its octets stand aside."""

    text: bytes
    literals: tuple[Literal, ...] = ()


class Continue(NamedTuple):
    """The client waits for `+` before it sends a literal."""


class Refusal(NamedTuple):
    """A command that was dropped because of its literals: answer its tag, and go on."""

    tag: bytes
    too_big: bool
    """One of them alone is larger than is taken; else they are too many, or too much together."""


Event = CommandBytes | Continue | Refusal


class CommandReader:
    """The server's side of the stream. Raises ImapStreamError when it can't be followed any further."""

    def __init__(self) -> None:
        self.literal_bytes_max = LITERAL_BYTES_MAX_UNAUTHENTICATED
        self.append_bytes_max = 0
        self._buffer = bytearray()
        self._scanned = 0
        self._text: list[bytes] = []
        self._text_bytes = 0
        self._literals: list[Literal] = []
        self._literal_bytes = 0
        self._target: bytearray | None = None
        self._missing = 0
        self._discard = 0
        self._refused = False
        self._too_big = False

    @property
    def backlog(self) -> int:
        """Octets fed and not yet part of an event."""
        return len(self._buffer)

    @property
    def in_command(self) -> bool:
        """Whether a command has begun that isn't whole yet."""
        return bool(self._text or self._buffer)

    def feed(self, data: bytes) -> None:
        """Take what the socket gave. Octets of a literal go straight to their place."""
        if self._target is not None and not self._buffer:
            taken = self._fill(data)
            if taken < len(data):
                self._buffer += memoryview(data)[taken:]
        else:
            self._buffer += data

    def clear(self) -> None:
        """Forget everything received: nothing from before a TLS handshake may count (RFC 3501 6.2.1)."""
        self._buffer = bytearray()
        self._reset()

    def next_line(self) -> bytes | None:
        """Return a line that is no command (SASL, DONE) without its CRLF, or None: more is needed."""
        return self._line(AUTH_LINE_BYTES_MAX)

    def next_event(self) -> Event | None:
        """Return the next event, or None: more is needed."""
        while True:
            if self._target is not None and not self._finish_literal():
                return None
            if self._discard and not self._finish_discard():
                return None
            line = self._line(COMMAND_TEXT_BYTES_MAX - self._text_bytes)
            if line is None:
                return None
            marker = _MARKER.search(line) if line.endswith(b"}") else None
            if marker is None:
                return self._whole(line)
            event = self._begin_literal(line, int(marker.group(1)), synchronising=not marker.group(2))
            if event is not None:
                return event

    def _line(self, limit: int) -> bytes | None:
        buffer = self._buffer
        end = buffer.find(b"\r\n", max(self._scanned - 1, 0))
        if end > limit or (end < 0 and len(buffer) > limit + 1):
            raise ImapStreamError("line too long")
        if end < 0:
            self._scanned = len(buffer)
            return None
        line = bytes(buffer[:end])
        del buffer[: end + 2]
        self._scanned = 0
        return line

    def _whole(self, line: bytes) -> Event:
        event: Event
        if self._refused:
            event = Refusal(_tag(self._text[0]), self._too_big)
        elif self._text:
            self._text.append(line)
            event = CommandBytes(b"\r\n".join(self._text), tuple(self._literals))
        else:
            event = CommandBytes(line)
        self._reset()
        return event

    def _begin_literal(self, line: bytes, size: int, *, synchronising: bool) -> Event | None:
        self._text.append(line)
        self._text_bytes += len(line) + 2
        is_append = _APPEND.match(self._text[0]) is not None
        limit = self.append_bytes_max if is_append else self.literal_bytes_max
        fits = self._literal_bytes + size <= limit and len(self._literals) < LITERALS_MAX
        self._too_big |= size > limit
        if synchronising and (self._refused or not fits):
            refusal = Refusal(_tag(self._text[0]), self._too_big)
            self._reset()
            return refusal
        if self._refused or not fits:
            if size > DISCARD_BYTES_MAX:
                raise ImapStreamError("a refused literal is too large to skip")
            self._refused = True
            self._literals.clear()
            self._discard = size
            return None
        self._literal_bytes += size
        self._target = bytearray()
        self._missing = size
        return Continue() if synchronising else None

    def _fill(self, data: bytes | bytearray) -> int:
        """Take octets of the literal. It grows as they come: a size that is only announced costs nothing."""
        target = self._target
        assert target is not None
        count = min(len(data), self._missing)
        target += data if count == len(data) else memoryview(data)[:count]
        self._missing -= count
        return count

    def _finish_literal(self) -> bool:
        target = self._target
        assert target is not None
        if self._buffer:
            taken = self._fill(self._buffer)
            del self._buffer[:taken]
        if self._missing:
            return False
        self._literals.append(bytes(target) if len(target) <= _SMALL_BYTES else target)
        self._target = None
        return True

    def _finish_discard(self) -> bool:
        skipped = min(self._discard, len(self._buffer))
        del self._buffer[:skipped]
        self._discard -= skipped
        return not self._discard

    def _reset(self) -> None:
        self._scanned = 0
        self._text = []
        self._text_bytes = 0
        self._literals = []
        self._literal_bytes = 0
        self._target = None
        self._discard = 0
        self._refused = False
        self._too_big = False


def _tag(line: bytes) -> bytes:
    match = _TAG.match(line)
    return match.group(1) if match is not None and len(match.group(1)) <= TAG_BYTES_MAX else b"*"
