"""One client's session: its state, and the commands that it runs one after the other (RFC 3501 section 3)."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from enum import Flag, auto
from typing import NamedTuple, Protocol, TypeVar

import structlog

from postkeep.base.errors import PostkeepError, RefusedError
from postkeep.faces.imap import metrics
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.keepers import Keepers
from postkeep.faces.imap.languages import DEFAULT, translate
from postkeep.faces.imap.limits import BAD_COMMANDS_MAX, SIGN_IN_FAILURES_MAX
from postkeep.faces.imap.replies import CommandError, family, reply_to_error
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.texts import Text
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import Bare, Command, Request
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.parser import parse_command
from postkeep.protocols.imap.reader import CommandBytes, Refusal

T = TypeVar("T")

_log = structlog.get_logger(__name__)
_ALARMING = {"internal", "integrity"}  # errors that no client can cause


class State(Flag):
    """RFC 3501 section 3."""

    NOT_AUTHENTICATED = auto()
    AUTHENTICATED = auto()
    SELECTED = auto()
    LOGOUT = auto()


SIGNED_IN = State.AUTHENTICATED | State.SELECTED
ANY = State.NOT_AUTHENTICATED | SIGNED_IN


class Border(Flag):
    """What may be told between a command's answer and its tagged line."""

    NOTHING = 0
    CHANGES = auto()
    """New messages and flags."""
    EXPUNGES = auto()
    """Message numbers may change too (not after FETCH, STORE, SEARCH: RFC 3501 section 7.4.1)."""
    ALWAYS = auto()
    """Ask the vault even if it has not said that something is new."""
    UNASKED = auto()
    """No command of the client waits for it, nor does it idle (RFC 5465)."""


class Completion(NamedTuple):
    """The tagged OK. No text: the command has written it, or is still running (IDLE)."""

    text: str
    code: str = ""


Handler = Callable[["Session", bytes, Command], Awaitable[Completion]]


class Entry(NamedTuple):
    """One line of the table of commands."""

    states: State
    handler: Handler
    border: Border = Border.NOTHING


class Table(NamedTuple):
    """The commands of the server, and what tells a client of changes between two of them."""

    entries: Mapping[object, Entry]
    """By command: the member of Bare, else the class."""
    at_border: Callable[["Session", Border], Awaitable[None]]


class Wire(Protocol):
    """The connection, as a session needs it."""

    network: str
    """The client's IP address."""

    @property
    def secure(self) -> bool:
        """Whether TLS protects it."""

    @property
    def end_point(self) -> bytes:
        """The `tls-server-end-point` of its TLS (RFC 5929); empty: there is none."""

    async def send(self, data: bytes) -> None:
        """Write; returns when the client keeps up."""

    async def read_line(self) -> bytes:
        """Wait for a line that is no command (SASL)."""

    async def start_tls(self) -> None:
        """Begin TLS after everything written; what was received before is thrown away."""

    def signed_out(self) -> None:
        """End the account's session, and take the limits of a stranger again."""

    @property
    def compressed(self) -> bool:
        """Whether compression is active."""

    @property
    def backlog(self) -> int:
        """Octets that have come behind the command that runs."""

    def start_compression(self) -> None:
        """Compress everything from now on, and take what comes as compressed."""

    def signed_in(self) -> bool:
        """Take the limits of a signed-in client; False: its person has too many connections."""

    def close(self) -> None:
        """Close when everything is written."""

    def abort(self) -> None:
        """Close at once."""


class Wakeups(Protocol):
    """Who tells sessions that a mailbox has changed."""

    async def watch(self, session: "Session") -> None:
        """Begin."""

    def claim_recent(self, mailbox: bytes, uid_next: int, *, read_only: bool) -> int:
        """Return the first UID that no session was shown yet; unless `read_only` they count as shown."""

    def is_reliable(self) -> bool:
        """Whether silence means that nothing has changed."""

    async def shared(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask once for all sessions that ask the same at the same time."""

    def sign_out(self, account: Account) -> None:
        """End an account's session soon, together with others."""


class Observer(Protocol):
    """What a client has asked to be told of beyond its selected mailbox (RFC 5465)."""

    unasked: bool
    """Whether it is told without being asked: also when it does not idle."""

    def heard(self, mailbox: bytes, modseq: int) -> bool:
        """Take in that a mailbox has changed (empty: the list of mailboxes; modseq 0: anything may have);
        return whether the client is to be woken."""


class Session:
    """State and the loop around one command."""

    def __init__(self, wire: Wire, keepers: Keepers, table: Table, wakeups: Wakeups) -> None:
        self.wire = wire
        self.keepers = keepers
        self.wakeups = wakeups
        self.state = State.NOT_AUTHENTICATED
        self.account: Account | None = None
        self.selected: Selected | None = None
        self.utf8 = False
        """IMAP4rev2 or UTF8=ACCEPT is enabled: mailbox names are UTF-8."""
        self.rev2 = False
        """IMAP4rev2 is enabled: it leaves out what clients of the old kind are told."""
        self.utf8_only = False
        """UTF8=ACCEPT is enabled: no other character set may be named (RFC 6855 section 3)."""
        self.condstore = False
        self.qresync = False
        """QRESYNC is enabled: expunges are told by UID (RFC 7162)."""
        self.uid_only = False
        """UIDONLY is enabled: no message numbers either way (RFC 9586)."""
        self.observer: Observer | None = None
        self.idling = b""
        """The tag of the IDLE that runs."""
        self.program = ""
        """What the client calls itself (ID); it goes into the ledger sealed, with a sign-in after it."""
        self.language = DEFAULT
        self.sign_in_failures = 0
        self._table = table
        self._bad = 0

    def forget(self) -> None:
        """Be as after the greeting, but for what the connection is (RFC 8437)."""
        self.state = State.NOT_AUTHENTICATED
        self.account = self.selected = self.observer = None
        self.utf8 = self.rev2 = self.utf8_only = self.condstore = self.qresync = self.uid_only = False
        self.program = ""
        self.language = DEFAULT

    def need_account(self) -> Account:
        """Return the account; the table lets no command get here without one."""
        if self.account is None:
            raise CommandError(Text.SIGN_IN_FIRST, bad=True)
        return self.account

    def need_selected(self) -> Selected:
        """Return the selected mailbox."""
        if self.selected is None:
            raise CommandError(Text.SELECT_FIRST, bad=True)
        return self.selected

    def check_numbers(self, *, uid: bool) -> None:
        """Raise CommandError for a command that names messages by numbers where UIDONLY is enabled."""
        if self.uid_only and not uid:
            raise CommandError(Text.UIDS_ONLY, "UIDREQUIRED", bad=True)

    def say(self, tag: bytes, kind: str, text: str, code: str = "") -> bytes:
        """Return the line `tag OK [code] text`, in the client's language."""
        return responses.status(tag, kind, translate(text, self.language), code)

    async def send(self, data: bytes) -> None:
        """Write to the client."""
        if data:
            await self.wire.send(data)

    def abort(self) -> None:
        """Hang up at once: the answer can't be finished."""
        self.wire.abort()

    async def run(self, command: CommandBytes) -> None:
        """Run one command and write its tagged reply. Raises UnavailableError where the client is gone."""
        tag = b""
        try:
            request = parse_command(command, utf8=self.utf8, charsets=not self.utf8_only)
            tag = request.tag
            await self._run(request)
            self._bad = 0
        except PostkeepError as error:
            if family(error.code) in _ALARMING:
                _log.warning("command_failed", code=error.code, detail=error.detail)
            await self.send(reply_to_error(tag, error, self.language))
            await self._count_abuse(error)
        except Exception:  # noqa: BLE001 - one command's bug must not end the connection silently
            _log.exception("command_crashed")
            await self.send(reply_to_error(tag, PostkeepError("unexpected"), self.language))

    async def refuse(self, refusal: Refusal) -> None:
        """Answer a command with a literal that is too large, or with too many (RFC 7889, 9051)."""
        code = "TOOBIG" if refusal.too_big and self.account is not None else "LIMIT"
        text = Text.LITERAL_TOO_LARGE if refusal.too_big else Text.LITERALS_TOO_LARGE
        await self.send(self.say(refusal.tag, "NO", text, code))

    async def _run(self, request: Request) -> None:
        command = request.command
        entry = self._table.entries.get(command if isinstance(command, Bare) else type(command))
        if entry is None:
            raise CommandError(Text.NOT_SUPPORTED, bad=True)
        if not self.state & entry.states:
            raise CommandError(Text.WRONG_STATE, bad=True)
        metrics.COMMANDS.labels(command.name if isinstance(command, Bare) else type(command).__name__).inc()
        await self._keep_fresh()
        completion = await entry.handler(self, request.tag, command)
        if not completion.text:
            return
        await self._table.at_border(self, entry.border)
        await self.send(self.say(request.tag, "OK", completion.text, completion.code))

    async def push(self) -> None:
        """Tell an idling client what is new (RFC 2177)."""
        try:
            await self._keep_fresh()
            border = Border.CHANGES | Border.EXPUNGES | Border.ALWAYS
            await self._table.at_border(self, border if self.idling else border | Border.UNASKED)
        except PostkeepError as error:
            if not error.temporary:
                text = translate(error.public_text, self.language, error.code)
                await self.send(self.say(b"*", "BYE", text))
                self.wire.close()

    async def _keep_fresh(self) -> None:
        """Have a ticket for what follows; where the session has ended, so does the connection."""
        if self.account is None:
            return
        try:
            await self.account.keep_fresh()
        except RefusedError as exc:
            await self.send(self.say(b"*", "BYE", Text.SESSION_OVER))
            self.wire.close()
            raise CommandError(Text.SESSION_OVER) from exc

    async def _count_abuse(self, error: PostkeepError) -> None:
        """Hang up on a client that guesses passwords or sends garbage."""
        metrics.REFUSALS.labels(family(error.code)).inc()
        self._bad += isinstance(error, ImapSyntaxError)
        if self._bad >= BAD_COMMANDS_MAX or self.sign_in_failures >= SIGN_IN_FAILURES_MAX:
            await self.send(self.say(b"*", "BYE", Text.TOO_MANY_FAILURES))
            self.wire.close()
