"""One socket: bytes to commands, one command at a time, back-pressure both ways, time limits, TLS.

An idle connection has no task, no timer and no more than its buffers: a task is made when a command is whole,
runs it and those that are waiting, and ends. All deadlines are looked at by the one timer of the process.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Final, Protocol, cast

import structlog

from postkeep.base.errors import UnavailableError
from postkeep.faces.imap.keepers import Keepers
from postkeep.faces.imap.layers import Layers
from postkeep.faces.imap.limits import (
    APPEND_BYTES_MAX,
    CROWDED_SECONDS_MAX,
    HANDSHAKE_SECONDS_MAX,
    IDLE_SECONDS_MAX,
    SIGN_IN_SECONDS_MAX,
    STILL_HERE_SECONDS,
    STILL_HERE_SPREAD,
    WRITE_BUFFER_BYTES,
    WRITE_SECONDS_MAX,
)
from postkeep.faces.imap.session import Session, State, Table
from postkeep.faces.imap.signin import greeting
from postkeep.faces.imap.texts import Text, completed
from postkeep.faces.imap.wakeups import Registry
from postkeep.faces.timers import NEVER
from postkeep.faces.tls import ServerContext, TlsError
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.errors import ImapStreamError
from postkeep.protocols.imap.limits import (
    LITERAL_BYTES_MAX,
    LITERAL_BYTES_MAX_UNAUTHENTICATED,
    PIPELINE_BYTES_MAX,
)
from postkeep.protocols.imap.reader import CommandBytes, CommandReader, Continue, Refusal

_log = structlog.get_logger(__name__)
_CLOSE_SECONDS: Final = 5.0  # for what is still to be written when we hang up


class Door(Protocol):
    """Who counts the connections, and looks at their deadlines."""

    tls: ServerContext

    def admit(self, connection: "ImapConnection") -> Text | None:
        """Count a connection in; return why there is no room for it."""

    def welcome(self, connection: "ImapConnection") -> bool:
        """Count it as its person's, if that person may have one more."""

    def part(self, connection: "ImapConnection") -> None:
        """Count it as a stranger's again."""

    def dismiss(self, connection: "ImapConnection") -> None:
        """Count it out."""


class ImapConnection(asyncio.Protocol):
    """A client's connection."""

    __slots__ = (
        *("_begun", "_door", "_heard", "_layers", "_line", "_loop", "_lost", "_pushing_wanted", "_reader"),
        *("_reading_paused", "_registry", "_task", "_transport", "_upgrading", "_writable"),
        *("deadline", "network", "session", "tls_first"),
    )

    def __init__(
        self, keepers: Keepers, table: Table, registry: Registry, door: Door, *, tls_first: bool
    ) -> None:
        self.session = Session(self, keepers, table, registry)
        self.network = ""
        self.tls_first = tls_first
        """Whether TLS begins with the first octet."""
        self.deadline = NEVER
        """When `expire` is to be called, on the loop's clock (timers.Timed)."""
        self._registry = registry
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._layers = Layers()
        self._transport: asyncio.Transport | None = None
        self._reader = CommandReader()
        self._task: asyncio.Task[None] | None = None
        self._line: asyncio.Future[bytes] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._upgrading: asyncio.Future[None] | None = None
        self._reading_paused = False
        self._pushing_wanted = False
        self._lost = False
        self._begun = self._heard = self._loop.time()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin TLS or greet, or turn away where there is no room."""
        # uvloop's transports are no subclass of asyncio's
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        peer = transport.get_extra_info("peername")
        self.network = str(peer[0]) if isinstance(peer, tuple) else "local"
        refusal = self._door.admit(self)
        if refusal is not None:
            if not self.tls_first:
                transport.write(responses.status(b"*", "BYE", refusal, "UNAVAILABLE"))
            transport.close()
        elif self.tls_first:
            self._layers.add_tls(self._door.tls)
            self.deadline = self._begun + HANDSHAKE_SECONDS_MAX
        else:
            self._greet()

    def _greet(self) -> None:
        self.deadline = self._begun + SIGN_IN_SECONDS_MAX
        self._write(greeting(self.session))

    def data_received(self, data: bytes) -> None:
        """Take bytes in; stop reading when enough commands wait."""
        if self.session.state is State.LOGOUT:
            return
        self._heard = self._loop.time()
        try:
            data = self._shake_hands(data) if self._layers.handshaking else self._layers.receive(data)
            self._take(data)
            if self._layers.ended:
                self.close()
        except TlsError as error:
            self._break_off(error)
        except ImapStreamError as error:
            self.cut(error.public_text)

    def _shake_hands(self, data: bytes) -> bytes:
        """Go on with the handshake; return what the client has sent behind it."""
        plain = self._layers.receive(data)
        self._write(b"")
        if not self._layers.handshaking:
            if self._upgrading is None:
                self._greet()
            elif not self._upgrading.done():
                self._upgrading.set_result(None)
        return plain

    def _break_off(self, error: TlsError) -> None:
        """Hang up on a client whose TLS fails; OpenSSL's alert goes first."""
        _log.debug("tls_failed", detail=error.detail)
        with contextlib.suppress(TlsError):
            self._write(b"")
        self.session.state = State.LOGOUT
        self._need_transport().close()

    def _take(self, data: bytes) -> None:
        """Hand octets of commands on. What compression holds beyond a step follows when there is room."""
        while data:
            self._reader.feed(data)
            self._advance()
            if self._reader.backlog > PIPELINE_BYTES_MAX:
                if not self._reading_paused:
                    self._reading_paused = True
                    self._need_transport().pause_reading()
                return
            data = self._layers.more() if self.session.state is not State.LOGOUT else b""

    def eof_received(self) -> None:
        """Close: a client that says no more is gone."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        del exc
        if self._lost:
            return
        self._lost = True
        self.deadline = NEVER
        self._door.dismiss(self)
        account = self.session.account
        if account is not None:
            self._registry.leave(self)
            self._registry.sign_out(account)
        for waiting in (self._writable, self._line, self._upgrading):
            if waiting is not None and not waiting.done():
                waiting.cancel()
        if self._task is not None:
            self._task.cancel()
        # This object and its session know each other, so both stay until the next collection, which is far
        # away where there is much to look at; what weighs goes now.
        self._layers = Layers()
        self._reader.clear()

    def pause_writing(self) -> None:
        """Let commands wait: the client does not keep up."""
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let them go on."""
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None

    # --- what the session needs (session.Wire) ---

    @property
    def secure(self) -> bool:
        """Whether TLS protects the connection."""
        return self._layers.secure

    @property
    def end_point(self) -> bytes:
        """The `tls-server-end-point` of its TLS (RFC 5929); empty: there is none."""
        return self._door.tls.end_point if self._layers.secure else b""

    @property
    def compressed(self) -> bool:
        """Whether compression is active."""
        return self._layers.compressed

    @property
    def backlog(self) -> int:
        """Octets that have come behind the command that runs."""
        return self._reader.backlog

    async def send(self, data: bytes) -> None:
        """Write; returns when the client keeps up, and hangs up on one that takes nothing for minutes."""
        self._write(data)
        if self._writable is None:
            return
        try:
            await asyncio.wait_for(asyncio.shield(self._writable), WRITE_SECONDS_MAX)
        except TimeoutError as exc:
            self._need_transport().abort()
            raise UnavailableError("the client takes nothing") from exc

    async def read_line(self) -> bytes:
        """Wait for a line that is no command."""
        self._line = self._loop.create_future()
        self._advance()
        try:
            return await self._line
        finally:
            self._line = None

    async def start_tls(self) -> None:
        """Begin TLS. What came before it in the clear is thrown away (RFC 3501 section 6.2.1)."""
        self._reader.clear()
        self._layers.add_tls(self._door.tls)
        self.deadline = self._loop.time() + HANDSHAKE_SECONDS_MAX
        self._upgrading = self._loop.create_future()
        try:
            await self._upgrading
        finally:
            self._upgrading = None
        self.deadline = self._begun + SIGN_IN_SECONDS_MAX

    def start_compression(self) -> None:
        """Compress everything from now on, and take what comes as compressed."""
        self._layers.add_compression()

    def signed_in(self) -> bool:
        """Take the limits of a signed-in client; False: its person has too many connections."""
        if not self._door.welcome(self):
            return False
        self._reader.literal_bytes_max = LITERAL_BYTES_MAX
        self._reader.append_bytes_max = APPEND_BYTES_MAX
        self._registry.join(self)
        return True

    def signed_out(self) -> None:
        """End the account's session, and take the limits of a stranger again."""
        self._registry.leave(self)
        self._registry.sign_out(self.session.need_account())
        self._door.part(self)
        self._reader.literal_bytes_max = LITERAL_BYTES_MAX_UNAUTHENTICATED
        self._reader.append_bytes_max = 0
        self._begun = self._loop.time()
        self.deadline = self._begun + SIGN_IN_SECONDS_MAX

    def close(self) -> None:
        """Close when everything is written, and at once after a while."""
        self.session.state = State.LOGOUT
        transport = self._need_transport()
        if not transport.is_closing():
            with contextlib.suppress(TlsError):
                transport.write(self._layers.close())
            transport.close()
            self._loop.call_later(_CLOSE_SECONDS, transport.abort)

    def abort(self) -> None:
        """Close at once."""
        self.session.state = State.LOGOUT
        self._need_transport().abort()

    # --- what the registry needs (wakeups.Member) ---

    @property
    def busy(self) -> bool:
        """Whether a command runs."""
        return self._task is not None

    def wake(self) -> None:
        """Tell a client that idles, or has asked for it by NOTIFY, what is new: now or after what runs."""
        self._pushing_wanted = True
        self._advance()

    def cut(self, text: str) -> None:
        """Say BYE and close."""
        if self.session.state is State.LOGOUT:
            return
        if not self._layers.handshaking:
            self._write(self.session.say(b"*", "BYE", text))
        self.close()
        if self._task is not None:
            self._task.cancel()

    # --- commands ---

    def _write(self, data: bytes) -> None:
        transport = self._need_transport()
        if not transport.is_closing():
            transport.write(self._layers.send(data))

    def _advance(self) -> None:
        """Go on with what has come in, where nothing runs."""
        try:
            if self._line is not None:
                self._deliver_line(self._line)
            elif self._task is None:
                self._begin()
        except ImapStreamError as error:
            self.cut(error.public_text)

    def _deliver_line(self, waiting: asyncio.Future[bytes]) -> None:
        if not waiting.done():
            line = self._reader.next_line()
            if line is not None:
                waiting.set_result(line)

    def _begin(self) -> None:
        session = self.session
        while session.state is not State.LOGOUT:
            if session.idling:
                line = self._reader.next_line()
                if line is not None:
                    self._end_idle(line)
                    continue
                event = None
            else:
                event = self._reader.next_event()
            if event is None:
                if self._pushing_wanted and self._may_push():
                    self._pushing_wanted = False
                    self._start(session.push())
                return
            if isinstance(event, Continue):
                self._write(responses.continuation())
                continue
            self._start(self._serve(event))
            return

    def _may_push(self) -> bool:
        session = self.session
        if session.idling:
            return True
        observer = session.observer
        return observer is not None and observer.unasked and not self._reader.in_command

    def _end_idle(self, line: bytes) -> None:
        tag, self.session.idling = self.session.idling, b""
        self.deadline = self._heard + IDLE_SECONDS_MAX
        done = line.strip().upper() == b"DONE"
        reply = ("OK", completed("IDLE")) if done else ("BAD", Text.IDLE_ENDS_WITH_DONE)
        self._write(self.session.say(tag, *reply))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._task = self._loop.create_task(work)
        self._task.add_done_callback(self._finished)

    async def _serve(self, event: CommandBytes | Refusal) -> None:
        if isinstance(event, CommandBytes):
            await self.session.run(event)
        else:
            await self.session.refuse(event)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, ImapStreamError):
                self.cut(error.public_text)
            elif not isinstance(error, UnavailableError):
                _log.error("connection_failed", exc_info=error)
                self.abort()
        if self._transport is None or self._transport.is_closing():
            return
        if self.session.account is not None:
            self._move_deadline()
        self._advance()
        if self._reading_paused and self._reader.backlog <= PIPELINE_BYTES_MAX:
            self._reading_paused = False
            try:
                self._take(self._layers.more())
            except ImapStreamError as stream_error:
                self.cut(stream_error.public_text)
            if not self._reading_paused:
                self._transport.resume_reading()

    # --- time (timers.Timed) ---

    def _move_deadline(self) -> None:
        """Wait for the client again: its command is done, or a push."""
        now = self._loop.time()
        if not self.session.idling:
            self._heard = now
        self.deadline = self._heard + IDLE_SECONDS_MAX
        if self.session.idling:
            if self.session.observer is None and self.session.account is not None:
                self.session.account.rest()
            # Not all at once, when all have come at once.
            spread = 1.0 - STILL_HERE_SPREAD * (id(self) >> 5 & 0xFF) / 256
            self.deadline = min(self.deadline, now + STILL_HERE_SECONDS * spread)

    def _waits_for_client(self) -> bool:
        return self._task is None or self._upgrading is not None or self._line is not None

    def expire(self) -> None:
        """End what takes too long; tell an idling client, and what lies between, that we are still there."""
        now = self._loop.time()
        if not self._waits_for_client():
            self.deadline = now + 1.0  # what runs ends by itself, or with limits of its own
        elif self.session.account is None or now >= self._heard + IDLE_SECONDS_MAX:
            self.cut(Text.QUIET_TOO_LONG)
        else:
            if self.session.idling:
                self._write(self.session.say(b"*", "OK", Text.STILL_HERE))
            self._move_deadline()

    def give_way(self) -> bool:
        """Make room for others, where we wait for this client and it has not signed in for a while."""
        if not self._waits_for_client() or self._loop.time() < self._begun + CROWDED_SECONDS_MAX:
            return False
        self.cut(Text.TOO_MANY_CONNECTIONS)
        return True

    def _need_transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise UnavailableError("the connection is closed")
        return self._transport
