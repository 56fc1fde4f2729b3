"""The client's half of SMTP: calls in, octets out, replies matched to the commands that they answer.

Commands may be sent one after the other without waiting where PIPELINING allows it (RFC 2920); each returned
`Answer` names its command. What to do about an answer is the caller's decision.
"""

import binascii
from collections import deque
from enum import StrEnum
from typing import Final

import msgspec

from postkeep.base.address import Address
from postkeep.base.errors import InvalidInputError
from postkeep.protocols.smtp import limits
from postkeep.protocols.smtp.content import dot_stuff
from postkeep.protocols.smtp.parameters import MailParameters, RcptParameters, encode_xtext
from postkeep.protocols.smtp.replies import Reply, SmtpProtocolError, read_reply

_OUTSTANDING_MAX: Final = 5000
"""Commands without their reply: more than the recipients of one transaction anywhere."""


class Step(StrEnum):
    """What a reply answers."""

    GREETING = "greeting"
    EHLO = "ehlo"
    HELO = "helo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"
    """The message's end, by a dot or by BDAT LAST."""
    RSET = "rset"
    QUIT = "quit"


class Answer(msgspec.Struct, frozen=True):
    """One reply and the step it answers; `index` counts the RCPT commands of a transaction from 0."""

    step: Step
    reply: Reply
    index: int = 0


class ClientConnection:
    """One session as the client sees it."""

    def __init__(self, hello_name: str) -> None:
        self._hello_name = hello_name
        self.extensions: dict[str, str] = {}
        """Keywords of the last EHLO reply, upper case, with their parameters."""
        self._input = b""
        self._output: list[bytes] = []
        self._expected: deque[tuple[Step, int]] = deque([(Step.GREETING, 0)])
        self._lines: list[str] = []
        self._code = ""
        self._recipients = 0

    def take_output(self) -> bytes:
        """Return everything to be sent, and forget it."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    @property
    def outstanding(self) -> int:
        """How many replies are still to come."""
        return len(self._expected)

    @property
    def has_unread(self) -> bool:
        """Whether octets from the server have not been looked at."""
        return bool(self._input)

    def supports(self, keyword: str) -> bool:
        """Whether the server's EHLO reply has the keyword."""
        return keyword in self.extensions

    # --- Commands ---

    def _command(self, step: Step, line: str, *, index: int = 0) -> None:
        if "\r" in line or "\n" in line or "\0" in line:
            raise InvalidInputError("a command holds a line end", public_text="An argument is not valid.")
        if len(self._expected) >= _OUTSTANDING_MAX:
            raise SmtpProtocolError("too many commands without a reply")
        self._output.append(line.encode("utf-8") + b"\r\n")
        self._expected.append((step, index))

    def ehlo(self) -> None:
        """Say hello; the extensions are known when the answer is there."""
        self._command(Step.EHLO, f"EHLO {self._hello_name}")

    def helo(self) -> None:
        """Say hello to a server that does not know EHLO."""
        self._command(Step.HELO, f"HELO {self._hello_name}")

    def starttls(self) -> None:
        """Ask for TLS; after a positive answer do the handshake and call `tls_started`."""
        self._command(Step.STARTTLS, "STARTTLS")

    def tls_started(self) -> None:
        """Forget what the server said in the clear (RFC 3207 section 4.2); say `ehlo` again."""
        self.extensions = {}
        self._input = b""

    def auth(self, mechanism: str, initial: bytes | None) -> None:
        """Begin a SASL exchange (RFC 4954)."""
        encoded = ""
        if initial is not None:
            encoded = " " + (binascii.b2a_base64(initial, newline=False).decode("ascii") or "=")
        self._command(Step.AUTH, f"AUTH {mechanism}{encoded}")

    def auth_response(self, response: bytes | None) -> None:
        """Answer a 334 challenge; None cancels the exchange."""
        line = "*" if response is None else binascii.b2a_base64(response, newline=False).decode("ascii")
        self._command(Step.AUTH, line)

    def mail(self, sender: Address | None, parameters: MailParameters) -> None:
        """Begin a transaction. Parameters of extensions that the server lacks are left out, except those
        the message needs: the caller has checked SMTPUTF8 and 8BITMIME before."""
        words = [f"MAIL FROM:<{sender or ''}>"]
        if parameters.size and self.supports("SIZE"):
            words.append(f"SIZE={parameters.size}")
        if parameters.body and self.supports("8BITMIME"):
            words.append(f"BODY={parameters.body}")
        if parameters.smtputf8:
            words.append("SMTPUTF8")
        if self.supports("DSN"):
            if parameters.ret:
                words.append(f"RET={parameters.ret}")
            if parameters.envid:
                words.append(f"ENVID={encode_xtext(parameters.envid)}")
        self._recipients = 0
        self._command(Step.MAIL, " ".join(words))

    def rcpt(self, recipient: Address, parameters: RcptParameters) -> None:
        """Name a recipient."""
        words = [f"RCPT TO:<{recipient}>"]
        if self.supports("DSN"):
            if parameters.notify:
                words.append(f"NOTIFY={','.join(parameters.notify)}")
            kind, _, address = parameters.orcpt.partition(";")
            if address and address.isascii():
                words.append(f"ORCPT={kind};{encode_xtext(address)}")
        self._command(Step.RCPT, " ".join(words), index=self._recipients)
        self._recipients += 1

    def data(self) -> None:
        """Ask to send the message; send `content` after the 354."""
        self._command(Step.DATA, "DATA")

    def content(self, message: bytes) -> None:
        """Send the message with its dots doubled."""
        self._output.append(dot_stuff(message))
        self._expected.append((Step.CONTENT, 0))

    def abandon_content(self) -> None:
        """After a 354 that no recipient stands behind: send nothing but the end."""
        self._output.append(b".\r\n")
        self._expected.append((Step.CONTENT, 0))

    def bdat(self, message: bytes) -> None:
        """Send the message as one chunk, the last (RFC 3030)."""
        self._output.append(b"BDAT %d LAST\r\n" % len(message))
        self._output.append(message)
        self._expected.append((Step.CONTENT, 0))

    def rset(self) -> None:
        """Drop the transaction."""
        self._command(Step.RSET, "RSET")

    def quit(self) -> None:
        """Say goodbye."""
        self._command(Step.QUIT, "QUIT")

    # --- Replies ---

    def receive(self, data: bytes) -> None:
        """Take in octets from the network."""
        self._input = self._input + data if self._input else data

    def next_answer(self) -> Answer | None:
        """Return the next complete answer, or None. Raises SmtpProtocolError for what is not a reply, for a
        reply without a command, and for octets sent in the clear after a granted STARTTLS."""
        while True:
            end = self._input.find(b"\n", 0, limits.REPLY_LINE_OCTETS_MAX)
            if end < 0:
                if len(self._input) >= limits.REPLY_LINE_OCTETS_MAX:
                    raise SmtpProtocolError("a reply line is too long")
                return None
            line, self._input = self._input[:end].rstrip(b"\r"), self._input[end + 1 :]
            reply = self._line(line)
            if reply is not None:
                return self._match(reply)

    def _line(self, line: bytes) -> Reply | None:
        """Add one line; return the reply when it was its last."""
        code, more = line[:3].decode("ascii", "replace"), line[3:4]
        if not (code.isascii() and code.isdigit() and code[0] in "2345") or more not in (b"", b" ", b"-"):
            raise SmtpProtocolError("not a reply")
        if self._code and code != self._code:
            raise SmtpProtocolError("the lines of a reply have different codes")
        if len(self._lines) >= limits.REPLY_LINES_MAX:
            raise SmtpProtocolError("a reply has too many lines")
        self._code = code
        self._lines.append(line[4:].decode("utf-8", "replace"))
        if more == b"-":
            return None
        lines, self._lines, self._code = self._lines, [], ""
        return read_reply(int(code), lines)

    def _match(self, reply: Reply) -> Answer:
        if not self._expected:
            raise SmtpProtocolError("a reply without a command")
        step, index = self._expected.popleft()
        if step is Step.EHLO and reply.positive:
            self.extensions = {}
            for line in reply.text.split("\n")[1:]:
                keyword, _, parameters = line.strip().partition(" ")
                if keyword:
                    self.extensions[keyword.upper()] = parameters
        elif step is Step.STARTTLS and reply.positive and self._input:
            raise SmtpProtocolError("the server sent more in the clear after granting STARTTLS")
        return Answer(step, reply, index)
