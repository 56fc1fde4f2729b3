"""The server's half of SMTP: octets in, events out, replies into one buffer.

The caller feeds `receive`, takes events with `next_event` until it returns None, answers those that wait for
an answer, and then writes `take_output` once: a pipelined group of commands is one write (RFC 2920).
While an event waits for its answer `next_event` returns None and nothing more is read.
"""

import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from postkeep.protocols.smtp import limits, replies
from postkeep.protocols.smtp.commands import read_mail, read_rcpt
from postkeep.protocols.smtp.content import DotReader, Gathered
from postkeep.protocols.smtp.events import (
    AuthResponse,
    AuthStart,
    Closed,
    Content,
    Event,
    Mail,
    StartTls,
)
from postkeep.protocols.smtp.replies import Reply
from postkeep.protocols.smtp.states import TABLE, State, Verb

_VERBS: Final = {verb.value.encode(): verb for verb in Verb}
_WEB: Final = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"HTTP/1.1"})
_IDLE: Final = frozenset({Verb.EHLO, Verb.HELO, Verb.RSET, Verb.NOOP, Verb.VRFY, Verb.EXPN, Verb.HELP})
_FIXED: Final = {
    Verb.NOOP: replies.OK,
    Verb.VRFY: replies.VERIFY,
    Verb.EXPN: replies.NOT_IMPLEMENTED,
    Verb.HELP: replies.HELP,
    Verb.QUIT: replies.BYE,
}
_AUTH_EVENTS: Final = (AuthStart, AuthResponse)
_HELLO_OCTETS_MAX: Final = 255


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What this server is and offers."""

    hostname: str
    message_octets_max: int
    recipients_max: int
    starttls: bool = False
    """STARTTLS can be offered."""
    mechanisms: tuple[str, ...] = ()
    """SASL mechanisms, offered over TLS only; none: no AUTH."""
    auth_required: bool = False
    """MAIL is for those who have signed in, which implies TLS."""


@dataclass(slots=True)
class Transaction:
    """What MAIL opened: kept by the core for its own rules; the caller keeps what it answered."""

    smtputf8: bool
    recipients: int = 0
    gathered: Gathered | None = None


class ServerConnection:
    """One session as the server sees it."""

    def __init__(self, settings: ServerSettings, *, tls: bool = False) -> None:
        self.settings = settings
        self.state = State.START
        self.tls = tls
        self.authenticated = False
        self.extended = False
        """The client said EHLO."""
        self.hello = ""
        """The name in EHLO or HELO, as the client gave it."""
        self.octets_received = 0
        self._input = b""
        self._output: list[bytes] = []
        self._pending: Event | None = None
        self._event: Event | None = None
        self._transaction: Transaction | None = None
        self._dots: DotReader | None = None
        self._chunk_left = 0
        self._chunk_last = False
        self._chunk_refusal: Reply | None = None
        self._in_chunk = False
        self._bad = self._idle = self._refused = self._messages = self._auth_failures = self._commands = 0

    # --- The caller's side ---

    def greet(self) -> None:
        """Put the greeting into the output."""
        self._output.append(f"220 {self.settings.hostname} ESMTP Postkeep\r\n".encode("ascii"))

    def receive(self, data: bytes) -> None:
        """Take in octets from the network; after STARTTLS, before the handshake, they are thrown away."""
        self.octets_received += len(data)
        if self.state is State.TLS or self.state is State.CLOSED:
            return
        self._input = self._input + data if self._input else data

    @property
    def wants_pause(self) -> bool:
        """Whether so much lies unread that the caller should stop reading from the network."""
        return len(self._input) > limits.INPUT_PAUSE_OCTETS

    @property
    def waiting(self) -> bool:
        """Whether an event waits for its answer."""
        return self._pending is not None

    @property
    def receiving(self) -> bool:
        """Whether a message is on its way in."""
        return self._dots is not None or self._in_chunk

    def take_output(self) -> bytes:
        """Return everything to be sent, and forget it."""
        output = self._output
        if not output:
            return b""
        joined = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        return joined

    def next_event(self) -> Event | None:
        """Return the next event; None: more input, or an answer, is needed first."""
        while self._pending is None and self._event is None and self._input:
            if self._dots is not None:
                self._read_dots(self._dots)
            elif self._in_chunk:
                self._read_chunk()
            elif not self._read_line():
                break
        event, self._event = self._event, None
        return event

    def answer(self, reply: Reply) -> None:
        """Answer the event that waits; a positive reply moves the session on."""
        event, self._pending = self._pending, None
        if event is None:
            raise ValueError("no event waits for an answer")
        if isinstance(event, Mail):
            if reply.positive:
                self.state = State.MAIL
                self._transaction = Transaction(event.parameters.smtputf8)
        elif isinstance(event, Content):
            self._end_transaction()
            self._idle = 0 if reply.positive else self._idle
        elif isinstance(event, _AUTH_EVENTS):
            self.authenticated = reply.positive
            self._auth_failures += not reply.positive
        elif reply.positive and self._transaction is not None:
            self.state = State.RCPT
            self._transaction.recipients += 1
        elif not reply.temporary:
            self._refused += 1
        self._say(reply)
        if self.state is not State.CLOSED and (
            self._refused >= limits.REFUSED_RECIPIENTS_MAX or self._auth_failures >= limits.AUTH_FAILURES_MAX
        ):
            self._say(replies.TOO_MANY_ERRORS)

    def challenge(self, data: bytes) -> None:
        """Go on with the SASL exchange: send a challenge (RFC 4954 section 4)."""
        if not isinstance(self._pending, _AUTH_EVENTS):
            raise ValueError("no SASL exchange is going on")  # noqa: TRY004 - a state, not a type
        self._pending = None
        self.state = State.AUTH
        self._output.append(b"334 " + binascii.b2a_base64(data, newline=False) + b"\r\n")

    def tls_started(self) -> None:
        """Go on after the handshake, forgetting all that was said before it (RFC 3207 section 4.2)."""
        self.tls = True
        self._input = b""
        self.extended = False
        self.hello = ""
        self._end_transaction()
        self.state = State.START

    def close(self, reply: Reply) -> None:
        """End the session with a reply of the caller's own (a timeout, a shutdown, a revoked session)."""
        self._pending = None
        self._say(Reply(reply.code, reply.enhanced, reply.text, closes=True))

    # --- Replies ---

    def _say(self, reply: Reply) -> None:
        self._output.append(reply.wire)
        if reply.closes:
            self._input = b""
            self._dots = None
            self._in_chunk = False
            self._transaction = None
            self.state = State.CLOSED
            self._event = Closed(reply.text)

    def _refuse(self, reply: Reply) -> None:
        """Say that a command was wrong, and hang up after too many."""
        self._bad += 1
        self._say(reply)
        if self._bad >= limits.BAD_COMMANDS_MAX and self.state is not State.CLOSED:
            self._say(replies.TOO_MANY_ERRORS)

    def _raise_event(self, event: Event, *, answered: bool = True) -> None:
        self._event = event
        if answered:
            self._pending = event

    def _end_transaction(self) -> None:
        self._transaction = None
        if self.state not in (State.START, State.CLOSED):
            self.state = State.READY

    # --- Lines ---

    def _read_line(self) -> bool:
        """Take one line off the input; False: it is not all there."""
        limit = limits.AUTH_LINE_OCTETS_MAX if self.state is State.AUTH else limits.COMMAND_OCTETS_MAX
        data = self._input
        end = data.find(b"\n", 0, limit)
        if end < 0:
            if len(data) >= limit:
                self._say(replies.LINE_TOO_LONG)
            return False
        line = data[: end - 1] if end else b""
        if not end or data[end - 1] != 13 or b"\r" in line:  # noqa: PLR2004 - CR
            self._say(replies.BARE_LINE_END_COMMAND)
            return False
        self._input = data[end + 1 :]
        if self.state is State.AUTH:
            self._auth_line(line)
        else:
            self._command(line)
        return True

    def _command(self, line: bytes) -> None:
        word, _, argument = line.partition(b" ")
        verb = _VERBS.get(word) or _VERBS.get(word.upper())
        self._commands += 1
        if verb is None:
            self._refuse(replies.NOT_SMTP if word in _WEB else replies.UNKNOWN_COMMAND)
            return
        if verb in _IDLE:
            self._idle += 1
        if self._idle > limits.IDLE_COMMANDS_MAX or (
            self.settings.auth_required
            and not self.authenticated
            and self._commands > limits.UNAUTHENTICATED_COMMANDS_MAX
        ):
            self._say(replies.TOO_MANY_COMMANDS)
        elif verb is Verb.BDAT:
            self._bdat(argument)
        elif verb not in TABLE[self.state]:
            self._refuse(self._out_of_place(verb))
        elif verb in _FIXED:
            self._say(_FIXED[verb])
        else:
            self._HANDLERS[verb](self, argument)

    def _out_of_place(self, verb: Verb) -> Reply:
        if verb is Verb.DATA and self.state is State.MAIL:
            return replies.NO_RECIPIENTS
        return replies.BAD_SEQUENCE

    # --- Hello ---

    def _greeted(self, argument: bytes, *, extended: bool) -> bool:
        name = argument.strip()
        if not name or len(name) > _HELLO_OCTETS_MAX or not name.isascii() or not name.decode().isprintable():
            self._refuse(replies.BAD_SYNTAX)
            return False
        self.hello = name.decode("ascii")
        self.extended = extended
        self._transaction = None
        self.state = State.READY
        return True

    def _helo(self, argument: bytes) -> None:
        if self._greeted(argument, extended=False):
            self._output.append(f"250 {self.settings.hostname}\r\n".encode("ascii"))

    def _ehlo(self, argument: bytes) -> None:
        if not self._greeted(argument, extended=True):
            return
        settings = self.settings
        lines = [
            settings.hostname,
            "PIPELINING",
            f"SIZE {settings.message_octets_max}",
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING",
            "ENHANCEDSTATUSCODES",
            "DSN",
            f"LIMITS MAILMAX={limits.MESSAGES_MAX} RCPTMAX={settings.recipients_max}",
        ]
        if settings.starttls and not self.tls:
            lines.append("STARTTLS")
        if settings.mechanisms and self.tls:
            lines.append("AUTH " + " ".join(settings.mechanisms))
        self._output.append(Reply(250, "", "\n".join(lines)).wire)

    def _rset(self, argument: bytes) -> None:
        if argument.strip():
            self._refuse(replies.BAD_SYNTAX)
            return
        self._end_transaction()
        self._say(replies.OK)

    # --- Envelope ---

    def _mail(self, argument: bytes) -> None:
        if self.settings.auth_required and not self.authenticated:
            self._refuse(replies.AUTH_REQUIRED if self.tls else replies.TLS_REQUIRED)
            return
        self._messages += 1
        if self._messages > limits.MESSAGES_MAX:
            self._say(replies.TOO_MANY_MESSAGES)
            return
        mail = read_mail(argument, auth=bool(self.settings.mechanisms and self.tls))
        if isinstance(mail, Reply):
            self._refuse(mail)
        elif mail.parameters.size > self.settings.message_octets_max:
            self._say(replies.TOO_LARGE)
        else:
            self._raise_event(mail)

    def _rcpt(self, argument: bytes) -> None:
        transaction = self._transaction
        assert transaction is not None  # the state table: MAIL came first
        rcpt = read_rcpt(argument, smtputf8=transaction.smtputf8)
        if isinstance(rcpt, Reply):
            self._refuse(rcpt)
        elif transaction.recipients >= self.settings.recipients_max:
            self._say(replies.TOO_MANY_RECIPIENTS)
        else:
            self._raise_event(rcpt)

    # --- Message ---

    def _data(self, argument: bytes) -> None:
        if argument.strip():
            self._refuse(replies.BAD_SYNTAX)
            return
        self.state = State.DATA
        self._dots = DotReader(self.settings.message_octets_max)
        self._output.append(replies.GO_AHEAD.wire)

    def _read_dots(self, reader: DotReader) -> None:
        data = self._input
        end = reader.feed(data)
        if end < 0:
            self._input = b""
            if reader.hopeless:
                self._say(replies.TOO_LARGE_CLOSING)
            return
        self._input = data[end:]
        self._dots = None
        self._finish(reader.finish(), bare=reader.has_bare_line_end)

    def _finish(self, content: bytes | None, *, bare: bool) -> None:
        """Hand over the message that is all there, or say why not."""
        if content is None or bare:
            self._end_transaction()
            self._say(replies.TOO_LARGE if content is None else replies.BARE_LINE_END)
        else:
            self._raise_event(Content(content))

    def _bdat(self, argument: bytes) -> None:
        """RFC 3030 section 2: the octets follow whatever we think of the command, so they are always read."""
        size, _, last = argument.strip().partition(b" ")
        last = last.strip().upper()
        if not size.isdigit() or len(size) > limits.CHUNK_DIGITS_MAX or last not in (b"", b"LAST"):
            self._say(replies.BAD_CHUNK)
            return
        self._chunk_left = int(size)
        self._chunk_last = bool(last)
        self._idle += not self._chunk_left and not last
        self._chunk_refusal = None
        if self._chunk_left > self.settings.message_octets_max * limits.DISCARD_FACTOR:
            self._say(replies.TOO_LARGE_CLOSING)
            return
        transaction = self._transaction
        if Verb.BDAT not in TABLE[self.state] or transaction is None:
            self._chunk_refusal = replies.NO_RECIPIENTS if self.state is State.MAIL else replies.BAD_SEQUENCE
        else:
            self.state = State.CHUNKS
            if transaction.gathered is None:
                transaction.gathered = Gathered(self.settings.message_octets_max)
        self._in_chunk = True
        if not self._chunk_left:
            self._end_chunk()

    def _read_chunk(self) -> None:
        data = self._input
        left = self._chunk_left
        chunk, self._input = (data, b"") if len(data) <= left else (data[:left], data[left:])
        self._chunk_left = left - len(chunk)
        if self._chunk_refusal is None and self._transaction and self._transaction.gathered:
            self._transaction.gathered.add(chunk)
        if not self._chunk_left:
            self._end_chunk()

    def _end_chunk(self) -> None:
        self._in_chunk = False
        transaction = self._transaction
        if self._chunk_refusal is not None or transaction is None or transaction.gathered is None:
            self._refuse(self._chunk_refusal or replies.BAD_SEQUENCE)
            return
        gathered = transaction.gathered
        if gathered.too_large:
            self._end_transaction()
            self._say(replies.TOO_LARGE_CLOSING if gathered.hopeless else replies.TOO_LARGE)
        elif self._chunk_last:
            self._finish(gathered.join(), bare=gathered.has_bare_line_end)
        else:
            self._say(replies.OK)

    # --- TLS and AUTH ---

    def _starttls(self, argument: bytes) -> None:
        if argument.strip():
            self._refuse(replies.BAD_SYNTAX)
        elif self.tls:
            self._refuse(replies.BAD_SEQUENCE)
        elif not self.settings.starttls:
            self._refuse(replies.TLS_NOT_OFFERED)
        else:
            self._output.append(replies.START_TLS.wire)
            self._input = b""
            self.state = State.TLS
            self._raise_event(StartTls(), answered=False)

    def _auth(self, argument: bytes) -> None:
        mechanism, _, initial = argument.strip().partition(b" ")
        name = mechanism.decode("ascii", "replace").upper()
        if not self.settings.mechanisms:
            self._refuse(replies.NOT_IMPLEMENTED)
        elif not self.tls:
            self._refuse(replies.AUTH_NEEDS_TLS)
        elif self.authenticated:
            self._refuse(replies.BAD_SEQUENCE)
        elif name not in self.settings.mechanisms:
            self._refuse(replies.AUTH_UNKNOWN)
        elif not initial:
            self._raise_event(AuthStart(name, None))
        else:
            decoded = b"" if initial == b"=" else _base64(initial)
            if decoded is None:
                self._refuse(replies.AUTH_ENCODING)
            else:
                self._raise_event(AuthStart(name, decoded))

    def _auth_line(self, line: bytes) -> None:
        self.state = State.READY
        decoded = None if line == b"*" else _base64(line)
        if decoded is None:
            self._refuse(replies.AUTH_CANCELLED if line == b"*" else replies.AUTH_ENCODING)
        else:
            self._raise_event(AuthResponse(decoded))

    _HANDLERS: ClassVar[dict[Verb, Callable[["ServerConnection", bytes], None]]] = {
        Verb.EHLO: _ehlo,
        Verb.HELO: _helo,
        Verb.MAIL: _mail,
        Verb.RCPT: _rcpt,
        Verb.DATA: _data,
        Verb.RSET: _rset,
        Verb.STARTTLS: _starttls,
        Verb.AUTH: _auth,
    }


def _base64(text: bytes) -> bytes | None:
    """Decode strictly; None for what is not base64."""
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except binascii.Error:
        return None
