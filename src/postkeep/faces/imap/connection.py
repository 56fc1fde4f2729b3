"""One socket: bytes to commands, one command at a time, back-pressure both ways, time limits, TLS.

An idle connection has no task and no more than its buffers: a task is made when a command is whole, runs it
and those that are waiting, and ends.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Coroutine
from typing import Final, Protocol, cast

import structlog

from postkeep.base.errors import UnavailableError
from postkeep.faces.imap.keepers import Keepers
from postkeep.faces.imap.limits import (
    APPEND_BYTES_MAX,
    HANDSHAKE_SECONDS_MAX,
    IDLE_SECONDS_MAX,
    SIGN_IN_SECONDS_MAX,
    WRITE_BUFFER_BYTES,
    WRITE_SECONDS_MAX,
)
from postkeep.faces.imap.session import Session, State, Table
from postkeep.faces.imap.signin import greeting
from postkeep.faces.imap.texts import Text, completed
from postkeep.faces.imap.wakeups import Registry
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.errors import ImapStreamError
from postkeep.protocols.imap.limits import LITERAL_BYTES_MAX, PIPELINE_BYTES_MAX
from postkeep.protocols.imap.reader import CommandBytes, CommandReader, Continue, Refusal

_log = structlog.get_logger(__name__)
_CLOSE_SECONDS: Final = 5.0  # for what is still to be written when we hang up


class Door(Protocol):
    """Who counts the connections."""

    def admit(self, connection: "ImapConnection") -> bool:
        """Count a connection in, if there is room."""

    def dismiss(self, connection: "ImapConnection") -> None:
        """Count it out."""


class ImapConnection(asyncio.Protocol):
    """A client's connection."""

    def __init__(
        self,
        keepers: Keepers,
        table: Table,
        registry: Registry,
        door: Door,
        tls: ssl.SSLContext,
        *,
        secure: bool,
    ) -> None:
        self.session = Session(self, keepers, table, registry)
        self.network = ""
        self.secure = secure
        self._registry = registry
        self._door = door
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = CommandReader()
        self._task: asyncio.Task[None] | None = None
        self._line: asyncio.Future[bytes] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._upgrading = False
        self._reading_paused = False
        self._pushing_wanted = False
        self._lost = False
        self._begun = self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or turn away where there is no room."""
        # uvloop's TLS transports are no subclass of asyncio's
        self._transport = transport = cast("asyncio.Transport", transport)
        if self._upgrading:
            return
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        peer = transport.get_extra_info("peername")
        self.network = str(peer[0]) if isinstance(peer, tuple) else "local"
        if not self._door.admit(self):
            transport.write(responses.status(b"*", "BYE", Text.TOO_MANY_CONNECTIONS, "UNAVAILABLE"))
            transport.close()
            return
        transport.write(greeting(self.session))
        self._check_time()

    def data_received(self, data: bytes) -> None:
        """Take bytes in; stop reading when enough commands wait."""
        if self._upgrading or self.session.state is State.LOGOUT:
            return
        self._heard = self._loop.time()
        self._reader.feed(data)
        self._advance()
        if self._reader.backlog > PIPELINE_BYTES_MAX and not self._reading_paused:
            self._reading_paused = True
            self._need_transport().pause_reading()

    def eof_received(self) -> None:
        """Close: a client that says no more is gone."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything. May be called twice when a TLS handshake fails."""
        del exc
        if self._lost:
            return
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._door.dismiss(self)
        account = self.session.account
        if account is not None:
            self._registry.leave(self)
            self._registry.spawn(account.sign_out())
        for waiting in (self._writable, self._line):
            if waiting is not None and not waiting.done():
                waiting.cancel()
        if self._task is not None:
            self._task.cancel()

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

    async def send(self, data: bytes) -> None:
        """Write; returns when the client keeps up, and hangs up on one that takes nothing for minutes."""
        transport = self._need_transport()
        transport.write(data)
        if self._writable is None:
            return
        try:
            await asyncio.wait_for(asyncio.shield(self._writable), WRITE_SECONDS_MAX)
        except TimeoutError as exc:
            transport.abort()
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
        transport = self._need_transport()
        self._upgrading = True
        self._reader.clear()
        try:
            secured = await self._loop.start_tls(
                transport,
                self,
                self._tls,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS_MAX,
            )
        except OSError:  # every failure of a handshake is one, a time-out included
            secured = None
        if secured is None:
            self.session.state = State.LOGOUT
            transport.abort()
            self.connection_lost(None)
            return
        self._upgrading = False
        self._transport = secured
        secured.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self.secure = True

    def signed_in(self) -> None:
        """Take the limits of a signed-in client."""
        self._reader.literal_bytes_max = LITERAL_BYTES_MAX
        self._reader.append_bytes_max = APPEND_BYTES_MAX
        self._registry.join(self)

    def close(self) -> None:
        """Close when everything is written, and at once after a while."""
        self.session.state = State.LOGOUT
        transport = self._need_transport()
        if not transport.is_closing():
            transport.close()
            self._loop.call_later(_CLOSE_SECONDS, transport.abort)

    def abort(self) -> None:
        """Close at once."""
        self.session.state = State.LOGOUT
        self._need_transport().abort()

    # --- what the registry needs (wakeups.Member) ---

    def wake(self) -> None:
        """Tell an idling client what is new, now or after what runs."""
        if self.session.idling:
            self._pushing_wanted = True
            self._advance()

    def cut(self, text: str) -> None:
        """Say BYE and close."""
        if self.session.state is State.LOGOUT:
            return
        with contextlib.suppress(RuntimeError):
            self._need_transport().write(responses.status(b"*", "BYE", text))
        self.close()
        if self._task is not None:
            self._task.cancel()

    # --- commands ---

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
                if self._pushing_wanted:
                    self._pushing_wanted = False
                    self._start(session.push())
                return
            event = self._reader.next_event()
            if event is None:
                return
            if isinstance(event, Continue):
                self._need_transport().write(responses.continuation())
                continue
            self._start(self._serve(event))
            return

    def _end_idle(self, line: bytes) -> None:
        tag, self.session.idling = self.session.idling, b""
        done = line.strip().upper() == b"DONE"
        reply = ("OK", completed("IDLE")) if done else ("BAD", Text.IDLE_ENDS_WITH_DONE)
        self._need_transport().write(responses.status(tag, *reply))

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
        self._advance()
        if self._reading_paused and self._reader.backlog <= PIPELINE_BYTES_MAX:
            self._reading_paused = False
            self._transport.resume_reading()

    # --- time ---

    def _check_time(self) -> None:
        if self.session.account is not None:
            end = self._heard + IDLE_SECONDS_MAX
        else:  # whatever the client says meanwhile
            end = self._begun + SIGN_IN_SECONDS_MAX
        left = end - self._loop.time()
        if left <= 0 and self._task is None:
            self.cut(Text.QUIET_TOO_LONG)
            return
        self._timer = self._loop.call_later(max(left, 1.0), self._check_time)

    def _need_transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise UnavailableError("the connection is closed")
        return self._transport
