"""Reading a message from the wire: up to CRLF.CRLF, or in chunks of known length. Writing one with dots.

Only CRLF ends a line. A message in which CR or LF stands alone is read to its true end and then refused, so
that no two programs on its way can see its end in different places (SMTP smuggling).
"""

import re
from typing import Final

from postkeep.protocols.smtp.limits import DISCARD_FACTOR, STUFFED_DENOMINATOR, STUFFED_NUMERATOR

_END: Final = b"\r\n.\r\n"
_LINE_DOT: Final = b"\r\n."
_FIND_LINE_DOT: Final = re.compile(rb"\r\n\.").search
"""Twice as fast as `bytes.find` on text with many line ends: this runs over every octet that comes in."""


class Gathered:
    """Octets of one message as they come, with the count of line ends that stand alone."""

    def __init__(self, octets_max: int) -> None:
        self.octets_max = octets_max
        self.octets = 0
        """Octets received, also those thrown away."""
        self._chunks: list[bytes] = []
        self._alone = 0
        self._ends_in_cr = False

    def add(self, chunk: bytes) -> None:
        """Keep a chunk; past the limit count it only. One pass of memchr per kind of line end."""
        if not chunk:
            return
        self.octets += len(chunk)
        pairs = chunk.count(b"\r\n")
        if self._ends_in_cr and chunk[0] == 10:  # noqa: PLR2004 - LF
            pairs += 1
        self._alone += chunk.count(b"\r") + chunk.count(b"\n") - 2 * pairs
        self._ends_in_cr = chunk[-1] == 13  # noqa: PLR2004 - CR
        if self.octets > self.octets_max:
            self._chunks.clear()
        else:
            self._chunks.append(chunk)

    @property
    def too_large(self) -> bool:
        """Whether the limit is passed and nothing is kept any more."""
        return self.octets > self.octets_max

    @property
    def hopeless(self) -> bool:
        """Whether so much was thrown away that it is time to hang up."""
        return self.octets > self.octets_max * DISCARD_FACTOR

    @property
    def has_bare_line_end(self) -> bool:
        """Whether a CR or an LF stood alone."""
        return self._alone != 0

    def join(self) -> bytes:
        """Return all that was kept as one value."""
        chunks = self._chunks
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class DotReader:
    """Reads up to the line that holds a dot alone (RFC 5321 section 4.5.2)."""

    def __init__(self, octets_max: int) -> None:
        self._octets_max = octets_max
        self._gathered = Gathered(octets_max * STUFFED_NUMERATOR // STUFFED_DENOMINATOR + len(_END))
        self._gathered.add(b"\r\n")  # the CRLF that ended the DATA command: a first line may be the last
        self._tail = b"\r\n"
        self._dotted = False
        """Whether a line may begin with a dot that has to be taken back."""

    @property
    def hopeless(self) -> bool:
        """Whether it is time to hang up."""
        return self._gathered.hopeless

    def feed(self, data: bytes) -> int:
        """Take in `data`; return how many octets of it belong to the message, its end included, or -1 when
        all of them do and the end is not yet there."""
        tail = self._tail
        border = tail + data[:4]
        at_border = border.find(_END)
        if at_border >= 0:
            end = at_border + len(_END) - len(tail)
        else:
            self._dotted = self._dotted or _LINE_DOT in border
            found = self._find_end(data)
            if found < 0:
                self._tail = (tail + data[-4:])[-4:]
                self._gathered.add(data)
                return -1
            end = found + len(_END)
        self._gathered.add(data if end == len(data) else data[:end])
        return end

    def _find_end(self, data: bytes) -> int:
        """Return where the end begins in `data`, or -1; note whether a line with a dot comes before it."""
        first = _FIND_LINE_DOT(data)
        if first is None:
            return -1
        at = first.start()
        if data.startswith(_END, at):
            return at
        self._dotted = True
        return data.find(_END, at)

    @property
    def has_bare_line_end(self) -> bool:
        """Whether a CR or an LF stood alone."""
        return self._gathered.has_bare_line_end

    def finish(self) -> bytes | None:
        """Return the message with its dots taken back, or None when it is larger than allowed."""
        if self._gathered.too_large:
            return None
        wire = self._gathered.join()
        if self._dotted:
            content = wire[: 2 - len(_END)].replace(_LINE_DOT, b"\r\n")[2:]
        else:
            content = wire[2 : 2 - len(_END)]
        return content if len(content) <= self._octets_max else None


def dot_stuff(message: bytes) -> bytes:
    """Return `message` as DATA sends it: dots doubled at the start of lines, ended by CRLF.CRLF."""
    stuffed = message.replace(b"\r\n.", b"\r\n..") if b"\r\n." in message else message
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") or not stuffed else _END)
