"""What the server core tells its caller. Those that want an answer wait for `ServerConnection.answer`."""

import msgspec

from postkeep.base.address import Address
from postkeep.protocols.smtp.parameters import MailParameters, RcptParameters


class Mail(msgspec.Struct, frozen=True):
    """MAIL, well formed and in its place. Wants an answer. `sender` None: the null reverse-path."""

    sender: Address | None
    parameters: MailParameters


class Rcpt(msgspec.Struct, frozen=True):
    """RCPT, well formed and in its place. Wants an answer."""

    recipient: Address
    parameters: RcptParameters


class Content(msgspec.Struct, frozen=True):
    """The whole message, without dot-stuffing; every line ends with CRLF. Wants an answer."""

    content: bytes


class StartTls(msgspec.Struct, frozen=True):
    """The 220 is in the output: start the handshake, then call `tls_started`."""


class AuthStart(msgspec.Struct, frozen=True):
    """AUTH with an offered mechanism. Wants an answer, or `challenge`. `initial` None: not given."""

    mechanism: str
    initial: bytes | None


class AuthResponse(msgspec.Struct, frozen=True):
    """The client's answer to a challenge. Wants an answer, or `challenge`."""

    response: bytes


class Closed(msgspec.Struct, frozen=True):
    """Send what is in the output and close; `reason` is the last reply's text, for the log."""

    reason: str


Event = Mail | Rcpt | Content | StartTls | AuthStart | AuthResponse | Closed
