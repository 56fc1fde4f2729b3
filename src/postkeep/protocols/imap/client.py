"""The client's half of the answers: bytes to responses, generic enough for every extension.

Atoms become `str`, strings and literals `bytes`, NIL `None`, lists `list`.
"""

import re
from typing import NamedTuple, TypeAlias

from postkeep.protocols.imap.errors import ImapStreamError, ImapSyntaxError
from postkeep.protocols.imap.limits import NESTING_MAX

RESPONSE_BYTES_MAX = 256 * 1024 * 1024
"""One response with its literals: the largest message and its frame."""

Value: TypeAlias = "str | bytes | list[Value] | None"

_LITERAL_END = re.compile(rb"~?\{(\d{1,10})\}\Z")
_LITERAL = re.compile(rb"~?\{(\d{1,10})\}\r\n")
_QUOTED = re.compile(rb'"((?:[^"\\\r\n]|\\.)*)"')
_ATOM = re.compile(rb"[^ (){\"\r\n\[\]]*\[[^\[\]]*\](?:<\d+>)?|[^ (){\"\r\n]+")
_STATUSES = {"OK", "NO", "BAD", "BYE", "PREAUTH"}
_CODE = re.compile(rb"\[((?:[^\]\"]|\"(?:[^\"\\]|\\.)*\")*)\] ?(.*)\Z", re.DOTALL)


class Response(NamedTuple):
    """One line of the server with its literals."""

    tag: str
    """`*`, `+` or the tag of a command."""
    kind: str
    """`OK`, `FETCH`, `LIST` ...; empty for `+`."""
    number: int = 0
    """Of EXISTS, EXPUNGE, FETCH ..."""
    values: list[Value] = []  # noqa: RUF012 - a NamedTuple copies no default, and nobody appends here
    code: str = ""
    """What stands in brackets after OK, NO ...: its text."""
    text: str = ""

    def items(self) -> dict[str, Value]:
        """Return FETCH or STATUS items as a mapping."""
        pairs = self.values[-1]
        if not isinstance(pairs, list):
            raise ImapSyntaxError("The response holds no list.")
        return {str(name): value for name, value in zip(pairs[::2], pairs[1::2], strict=True)}


class ResponseReader:
    """Cuts responses out of the stream."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scan = 0

    def feed(self, data: bytes) -> None:
        """Take what the socket gave."""
        self._buffer += data
        if len(self._buffer) > RESPONSE_BYTES_MAX:
            raise ImapStreamError("the response is too long")

    def next_response(self) -> Response | None:
        """Return the next response, or None: more is needed. Raises ImapSyntaxError."""
        while True:
            end = self._buffer.find(b"\r\n", self._scan)
            if end < 0:
                return None
            marker = _LITERAL_END.search(self._buffer, max(self._scan, end - 16), end)
            if marker is None:
                break
            beyond = end + 2 + int(marker.group(1))
            if beyond > len(self._buffer):
                return None
            self._scan = beyond
        raw = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._scan = 0
        return parse_response(raw)


def parse_response(raw: bytes) -> Response:
    """Read one response without its last CRLF; raises ImapSyntaxError."""
    tag_raw, _, rest = raw.partition(b" ")
    tag = tag_raw.decode("utf-8", "replace")
    if tag == "+":
        return Response(tag, "", text=rest.decode("utf-8", "replace"))
    first, _, after = rest.partition(b" ")
    word = first.decode("utf-8", "replace").upper()
    if word in _STATUSES:
        found = _CODE.match(after)
        code, text = found.groups() if found is not None else (b"", after)
        return Response(tag, word, code=code.decode("utf-8", "replace"), text=text.decode("utf-8", "replace"))
    if first.isdigit():
        kind, _, after = after.partition(b" ")
        number = int(first[:19])
        return Response(tag, kind.decode("utf-8", "replace").upper(), number, _Values(after).read())
    return Response(tag, word, values=_Values(after).read())


class _Values:
    """Reads the data of a response."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.at = 0

    def read(self) -> list[Value]:
        values = self._until(None, 0)
        if self.at != len(self.text):
            raise ImapSyntaxError("The response is not balanced.")
        return values

    def _until(self, closing: bytes | None, depth: int) -> list[Value]:
        if depth > 4 * NESTING_MAX:
            raise ImapSyntaxError("The response is nested too deeply.")
        values: list[Value] = []
        while self.at < len(self.text):
            char = self.text[self.at : self.at + 1]
            if char == b" ":
                self.at += 1
            elif char == b")":
                if closing is None:
                    raise ImapSyntaxError("The response is not balanced.")
                self.at += 1
                return values
            elif char == b"(":
                self.at += 1
                values.append(self._until(b")", depth + 1))
            else:
                values.append(self._one())
        if closing is not None:
            raise ImapSyntaxError("The response is not balanced.")
        return values

    def _one(self) -> Value:
        literal = _LITERAL.match(self.text, self.at)
        if literal is not None:
            start = literal.end()
            self.at = start + int(literal.group(1))
            if self.at > len(self.text):
                raise ImapSyntaxError("A literal is cut short.")
            return self.text[start : self.at]
        quoted = _QUOTED.match(self.text, self.at)
        if quoted is not None:
            self.at = quoted.end()
            return re.sub(rb"\\(.)", rb"\1", quoted.group(1))
        atom = _ATOM.match(self.text, self.at)
        if atom is None:
            raise ImapSyntaxError("The response holds an unknown token.")
        self.at = atom.end()
        text = atom.group().decode("utf-8", "replace")
        return None if text == "NIL" else text
