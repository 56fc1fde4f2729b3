"""Replies: the value, its form on the wire, and every sentence that the server core says by itself."""

import re
from dataclasses import dataclass, field
from typing import Final

from postkeep.base.errors import PostkeepError

_NOT_PRINTABLE = re.compile(r"[^ -~]")
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?: |\Z)")


class SmtpProtocolError(PostkeepError):
    """The other side does not speak SMTP."""

    code = "smtp_protocol"
    public_text = "The other side broke the SMTP protocol."


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply code, an enhanced status code (empty: none) and text; lines of `text` end with a newline.

    `closes` says that the connection ends after it.
    """

    code: int
    enhanced: str
    text: str
    closes: bool = False
    wire: bytes = field(init=False, compare=False, repr=False)
    """The reply as sent: printable ASCII lines, CRLF."""

    def __post_init__(self) -> None:
        lead = f"{self.enhanced} " if self.enhanced else ""
        lines = [lead + _NOT_PRINTABLE.sub("?", line) for line in self.text.split("\n")]
        wire = "".join(f"{self.code}-{line}\r\n" for line in lines[:-1]) + f"{self.code} {lines[-1]}\r\n"
        object.__setattr__(self, "wire", wire.encode("ascii"))

    @property
    def positive(self) -> bool:
        """Whether it is a 2xx reply."""
        return 200 <= self.code < 300  # noqa: PLR2004 - RFC 5321 section 4.2.1

    @property
    def temporary(self) -> bool:
        """Whether it is a 4xx reply."""
        return 400 <= self.code < 500  # noqa: PLR2004 - RFC 5321 section 4.2.1


def read_reply(code: int, lines: list[str]) -> Reply:
    """Build a reply from received lines without their codes, taking out the enhanced status code."""
    enhanced = _ENHANCED.match(lines[0])
    status = ""
    if enhanced is not None and enhanced.group(1) == str(code)[0]:
        status = enhanced.group(0).rstrip()
        lines = [line.removeprefix(status).lstrip(" ") for line in lines]
    return Reply(code, status, "\n".join(lines))


OK: Final = Reply(250, "2.0.0", "OK")
SENDER_OK: Final = Reply(250, "2.1.0", "Sender accepted")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "Recipient accepted")
GO_AHEAD: Final = Reply(354, "", "Send the message; end it with a dot on a line of its own")
START_TLS: Final = Reply(220, "2.0.0", "Begin TLS")
BYE: Final = Reply(221, "2.0.0", "Goodbye", closes=True)
VERIFY: Final = Reply(252, "2.5.0", "Send a message and see")
HELP: Final = Reply(
    214,
    "2.0.0",
    "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS AUTH\nSee RFC 5321",
)

UNKNOWN_COMMAND: Final = Reply(500, "5.5.2", "Unknown command")
NOT_IMPLEMENTED: Final = Reply(502, "5.5.1", "Command not implemented")
BAD_SYNTAX: Final = Reply(501, "5.5.4", "Syntax error in the arguments")
BAD_PARAMETER: Final = Reply(555, "5.5.4", "Parameter not recognised")
BAD_SENDER: Final = Reply(501, "5.1.7", "The sender's address is not valid")
BAD_RECIPIENT: Final = Reply(501, "5.1.3", "The recipient's address is not valid")
NEEDS_SMTPUTF8: Final = Reply(553, "5.6.7", "An address that is not ASCII needs SMTPUTF8")
BAD_SEQUENCE: Final = Reply(503, "5.5.1", "Command out of sequence")
NO_RECIPIENTS: Final = Reply(554, "5.5.1", "No valid recipients")
BARE_LINE_END: Final = Reply(
    550, "5.6.0", "A carriage return or line feed stands alone; lines end with both (RFC 5321 section 2.3.8)"
)
BARE_LINE_END_COMMAND: Final = Reply(
    500, "5.5.2", "Command lines end with CRLF and hold no other CR or LF", closes=True
)
LINE_TOO_LONG: Final = Reply(500, "5.5.6", "Line too long", closes=True)
BAD_CHUNK: Final = Reply(501, "5.5.4", "BDAT without a length that can be followed", closes=True)
TOO_LARGE: Final = Reply(552, "5.3.4", "The message is larger than we take")
TOO_LARGE_CLOSING: Final = Reply(552, "5.3.4", "The message is far larger than we take", closes=True)
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients in one transaction")
TOO_MANY_MESSAGES: Final = Reply(421, "4.7.0", "Too many messages in one connection", closes=True)
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "Too many errors", closes=True)
TOO_MANY_COMMANDS: Final = Reply(421, "4.7.0", "Too many commands without a message", closes=True)
NOT_SMTP: Final = Reply(421, "4.7.0", "This is not a web server", closes=True)
TLS_NOT_OFFERED: Final = Reply(502, "5.5.1", "STARTTLS is not offered")
TLS_REQUIRED: Final = Reply(530, "5.7.0", "Use STARTTLS first")
AUTH_REQUIRED: Final = Reply(530, "5.7.0", "Sign in first")
AUTH_NEEDS_TLS: Final = Reply(538, "5.7.11", "Use STARTTLS before signing in")
AUTH_UNKNOWN: Final = Reply(504, "5.5.4", "Authentication mechanism not known")
AUTH_CANCELLED: Final = Reply(501, "5.7.0", "Authentication cancelled")
AUTH_ENCODING: Final = Reply(501, "5.5.2", "Not valid base64")
AUTH_OK: Final = Reply(235, "2.7.0", "Signed in")
