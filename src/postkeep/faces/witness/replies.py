"""From what the witness says to HTTP: the one table of status codes (C2SP tlog-witness)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from postkeep.base.errors import (
    IntegrityError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    PostkeepError,
    RefusedError,
    UnavailableError,
)
from postkeep.protocols.http.head import RequestHead, write_head
from postkeep.services.witness.service import ForkError, StaleError

ADD_CHECKPOINT: Final = "/add-checkpoint"
TEXT: Final = "text/plain; charset=utf-8"
SIZE: Final = "text/x.tlog.size"

REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    417: "Expectation Failed",
    422: "Unprocessable Content",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
_BY_CODE: Final = {
    "invalid.coding": 501,
    "invalid.expectation": 417,
    "limit.head": 431,
    "limit.body": 413,
}
_BY_CLASS: Final = (
    (StaleError, 409),
    (ForkError, 409),
    (IntegrityError, 422),
    (RefusedError, 403),
    (NotFoundError, 404),
    (LimitError, 400),
    (InvalidInputError, 400),
    (UnavailableError, 503),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: int
    body: bytes
    content_type: str = TEXT

    def encode(self, *, keep_alive: bool) -> bytes:
        """Write the whole response."""
        fields = {"Content-Type": self.content_type, "Content-Length": str(len(self.body))}
        if not keep_alive:
            fields["Connection"] = "close"
        if self.status == 405:  # noqa: PLR2004 - RFC 9110 section 15.5.6
            fields["Allow"] = "POST"
        return write_head(f"HTTP/1.1 {self.status} {REASONS[self.status]}", fields) + self.body


def reply_to(head: RequestHead, body: bytes, add_checkpoint: Callable[[bytes], bytes]) -> Reply:
    """Answer one request."""
    if head.target.partition("?")[0] != ADD_CHECKPOINT:
        return Reply(404, b"Not found: this is a witness (https://c2sp.org/tlog-witness).\n")
    if head.method != "POST":
        return Reply(405, b"POST a checkpoint here.\n")
    try:
        return Reply(200, add_checkpoint(body))
    except PostkeepError as error:
        return failure(error)


def failure(error: PostkeepError) -> Reply:
    """Answer with an error; its detail stays inside."""
    if isinstance(error, StaleError):
        return Reply(409, f"{error.size}\n".encode(), SIZE)
    status = _BY_CODE.get(error.code) or next((s for kind, s in _BY_CLASS if isinstance(error, kind)), 500)
    return Reply(status, f"{error.public_text}\n".encode())
