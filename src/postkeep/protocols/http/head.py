"""Reading and writing the heads of HTTP/1.1 messages (RFC 9112 sections 2 to 6). Strict: what is not certain
to mean one thing to everybody is refused, since a proxy may stand before us.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from postkeep.base.errors import InvalidInputError, LimitError

HEAD_BYTES_MAX: Final = 8_192  # octets up to the empty line: a dozen fields of a usual client are below 1,000
FIELDS_MAX: Final = 64  # fields in a head
END: Final = b"\r\n\r\n"

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_TARGET: Final = re.compile(r"/[!-~]*\Z")
_VALUE: Final = re.compile(r"[\t -~\x80-\xff]*\Z")
_LENGTH: Final = re.compile(r"[0-9]{1,18}\Z")
_STATUS: Final = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?\Z")


@dataclass(frozen=True, slots=True)
class Head:
    """A message's fields, their names in lower case."""

    fields: Mapping[str, str] = field(default_factory=dict)

    def length(self) -> int:
        """Return how many octets of body follow; raise InvalidInputError where the fields do not say it."""
        if "transfer-encoding" in self.fields:
            raise InvalidInputError("a transfer coding", code="invalid.coding")
        value = self.fields.get("content-length", "0")
        if not _LENGTH.match(value):
            raise InvalidInputError("the content's length is not a number")
        return int(value)


@dataclass(frozen=True, slots=True)
class RequestHead(Head):
    """What is asked for."""

    method: str = ""
    target: str = ""
    keep_alive: bool = True


@dataclass(frozen=True, slots=True)
class ResponseHead(Head):
    """What is answered."""

    status: int = 0


def read_request(data: bytes) -> RequestHead:
    """Read a request's head, all octets up to and with the empty line; raises InvalidInputError."""
    first, fields = _split(data)
    method, _, rest = first.partition(" ")
    target, _, version = rest.partition(" ")
    if not _TOKEN.match(method) or not _TARGET.match(target) or version not in ("HTTP/1.1", "HTTP/1.0"):
        raise InvalidInputError("not a request line")
    if version == "HTTP/1.1" and "host" not in fields:
        raise InvalidInputError("a request without a host")
    options = {option.strip().lower() for option in fields.get("connection", "").split(",")}
    keep = "close" not in options if version == "HTTP/1.1" else "keep-alive" in options
    return RequestHead(fields, method, target, keep)


def read_response(data: bytes) -> ResponseHead:
    """Read a response's head; raises InvalidInputError."""
    first, fields = _split(data)
    match = _STATUS.match(first)
    if match is None:
        raise InvalidInputError("not a status line")
    return ResponseHead(fields, int(match[1]))


def write_head(first: str, fields: Mapping[str, str]) -> bytes:
    """Write a head; the values are our own."""
    lines = [first, *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode("latin-1") + END


def _split(data: bytes) -> tuple[str, dict[str, str]]:
    if len(data) > HEAD_BYTES_MAX:
        raise LimitError("the head is too long")
    first, *lines = data.removesuffix(END).decode("latin-1").split("\r\n")
    if not data.endswith(END) or len(lines) > FIELDS_MAX:
        raise InvalidInputError("not a head, or too many fields")
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not colon or not _TOKEN.match(name) or not _VALUE.match(value):
            raise InvalidInputError("a field is malformed")
        name = name.lower()
        if name in fields and name in ("content-length", "transfer-encoding", "host"):
            raise InvalidInputError("a field that may come once came twice")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return first, fields
