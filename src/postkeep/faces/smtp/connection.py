"""One SMTP connection: socket, TLS layer and deadlines around the sans-IO core.

Everything that can be answered at once is answered in `data_received`, with one write for a whole group of
pipelined commands. What has to wait (a lookup, a delivery, a sign-in) becomes one task, and the core reads on
when it is done.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, Final, cast

from postkeep.base.errors import PostkeepError
from postkeep.faces.smtp import replies
from postkeep.faces.smtp.face import HELD_OCTETS_MAX, Connections, FaceSettings, network_of
from postkeep.faces.timers import NEVER
from postkeep.faces.tls import TlsError, TlsLayer
from postkeep.protocols.smtp.events import Closed, Event, StartTls
from postkeep.protocols.smtp.replies import Reply
from postkeep.protocols.smtp.server import ServerConnection
from postkeep.protocols.smtp.states import State

HANDSHAKE_SECONDS_MAX: Final = 30.0
"""A TLS handshake: two round trips."""

MESSAGE_GRACE_SECONDS: Final = 120.0
"""Before a message's rate is looked at."""

MESSAGE_OCTETS_PER_SECOND_MIN: Final = 1024
"""What a sender must reach on average: below the slowest line that mail comes over."""

DELIVERY_SECONDS_MAX: Final = 120.0
"""A lookup or delivery of ours: well below the ten minutes that senders wait (RFC 5321 section 4.5.3.2.6)."""

CLOSE_SECONDS_MAX: Final = 10.0
"""For the last reply to be taken; then the connection is cut."""


class SmtpConnection(asyncio.Protocol, ABC):
    """The base of both faces' connections; `handle` says what an event means."""

    def __init__(self, settings: FaceSettings, connections: Connections) -> None:
        self.settings = settings
        self.connections = connections
        self.core = ServerConnection(settings.server, tls=settings.implicit_tls)
        self.peer = ""
        self.deadline = NEVER
        self.held = 0
        """Octets of a message that this connection holds."""
        self._network = ""
        self._transport: asyncio.Transport | None = None
        self._tls: TlsLayer | None = None
        self._loop = asyncio.get_running_loop()
        self._greeted = False
        self._message_began = 0.0
        self._message_octets = 0
        self._paused = False
        self._write_blocked = False

    # --- For the faces ---

    @abstractmethod
    def handle(self, event: Event) -> Reply | Coroutine[Any, Any, Reply | None]:
        """Say what an event means: a reply at once, or a coroutine that comes to one (None: it has gone on
        with a challenge). The transaction's state is the face's own."""

    def reset(self) -> None:
        """Forget the session: TLS has begun, and what was said before it counts no more."""

    def ended(self) -> None:
        """Clear up: the connection is gone."""

    @property
    def is_gone(self) -> bool:
        """Whether the client has hung up."""
        return self._transport is None

    @property
    def tls_description(self) -> str:
        """Protocol and cipher; empty in the clear."""
        return self._tls.description if self._tls else ""

    @property
    def tls_end_point(self) -> bytes:
        """The `tls-server-end-point` of the connection (RFC 5929); empty: there is none."""
        return self.settings.tls.end_point if self._tls and self.settings.tls is not None else b""

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the client and greet it."""
        self._transport = cast("asyncio.Transport", transport)
        name = transport.get_extra_info("peername")
        self.peer = name[0] if isinstance(name, tuple) else ""
        self._network = network_of(self.peer)
        refusal = self.connections.admit(self, self._network)
        if refusal is not None:
            if not self.settings.implicit_tls:
                self._transport.write(refusal.wire)
            self._transport.close()
            return
        if self.settings.implicit_tls and self.settings.tls is not None:
            self._tls = TlsLayer(self.settings.tls)
            self.deadline = self._loop.time() + HANDSHAKE_SECONDS_MAX
        else:
            self._move_deadline()
            if self.settings.greeting_delay_seconds:
                self._loop.call_later(self.settings.greeting_delay_seconds, self._greet)
            else:
                self._greet()
        self.connections.timers.watch(self)

    def data_received(self, data: bytes) -> None:
        """Decrypt, read, answer."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._tls is not None:
            data = self._decrypt(self._tls, data)
            if not data:
                return
        if not self._greeted:
            self.end(replies.EARLY_TALKER)
            return
        if self.core.receiving:
            self._count(len(data))
        self.core.receive(data)
        self._run()

    def eof_received(self) -> bool:
        """Close when the client does."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection; a delivery under way goes on."""
        self.deadline = NEVER
        self._transport = None
        self.connections.timers.forget(self)
        self.connections.leave(self, self._network)
        if not self.core.waiting:
            self._release()
        self.ended()

    def pause_writing(self) -> None:
        """Read no more from a client that does not read our replies."""
        self._write_blocked = True
        self._balance()

    def resume_writing(self) -> None:
        """Go on."""
        self._write_blocked = False
        self._balance()

    # --- Deadlines ---

    def expire(self) -> None:
        """End the connection: its deadline has passed."""
        handshaking = self._tls is not None and not self._tls.established
        if handshaking or self.core.state is State.CLOSED:
            self.deadline = NEVER
            self.abort()
        else:
            self.end(replies.TIMEOUT)

    def _move_deadline(self) -> None:
        self.deadline = self._loop.time() + self.settings.command_timeout_seconds

    def _count(self, octets: int) -> None:
        """Count octets of a message: against the sender's rate and against what the process holds."""
        self._message_octets += octets
        self.held += octets
        self.connections.held_octets += octets
        now = self._loop.time()
        earned = MESSAGE_GRACE_SECONDS + self._message_octets / MESSAGE_OCTETS_PER_SECOND_MIN
        self.deadline = min(self._message_began + earned, now + self.settings.command_timeout_seconds)

    def _release(self) -> None:
        self.connections.held_octets -= self.held
        self.held = 0

    # --- TLS ---

    def _start_tls(self) -> None:
        """Write the 220 in the clear; from here on every octet belongs to the handshake."""
        self._flush()
        if self.settings.tls is not None:
            self._tls = TlsLayer(self.settings.tls)
        self.deadline = self._loop.time() + HANDSHAKE_SECONDS_MAX

    def _decrypt(self, tls: TlsLayer, data: bytes) -> bytes:
        established = tls.established
        try:
            plain = tls.feed(data)
        except TlsError as error:
            self.connections.log.info("tls_failed", detail=error.detail)
            self._write(tls.take_output())
            self._close_transport()
            return b""
        if not established:
            self._write(tls.take_output())
            if tls.established:
                self._move_deadline()
                if self.settings.implicit_tls:
                    self._greet()
                else:
                    self.core.tls_started()
                    self.reset()
        return plain

    # --- The core ---

    def _greet(self) -> None:
        if self._transport is not None and not self._greeted:
            self._greeted = True
            self.core.greet()
            self._flush()

    def _run(self) -> None:
        """Take events until there is none or one has to wait, then write once."""
        core = self.core
        while (event := core.next_event()) is not None:
            if isinstance(event, StartTls):
                self._start_tls()
                return
            if isinstance(event, Closed):
                self._hang_up()
                return
            action = self.handle(event)
            if isinstance(action, Reply):
                core.answer(action)
            else:
                self.connections.follow(self._loop.create_task(self._answer(action)))
                break
        replied = self._flush()
        if core.waiting:
            self.deadline = self._loop.time() + DELIVERY_SECONDS_MAX
        elif core.receiving:
            if not self._message_began:
                self._message_began = self._loop.time()
                self._message_octets = 0
                self._move_deadline()
            if self.connections.held_octets > HELD_OCTETS_MAX:
                self.end(replies.TOO_BUSY)
                return
        else:
            self._message_began = 0.0
            self._release()
            if replied:
                self._move_deadline()
        self._balance()

    async def _answer(self, work: Coroutine[Any, Any, Reply | None]) -> None:
        """Wait for a reply. Every failure becomes one, and none of them loses a message."""
        try:
            reply = await work
        except PostkeepError as error:
            reply = replies.reply_for(error)
            self.connections.log.info("refused", code=error.code, detail=error.detail)
        except Exception:
            self.connections.log.exception("failed")
            reply = replies.reply_for(PostkeepError())
        self._release()
        self._message_began = 0.0
        if reply is not None and self.core.waiting:
            self.core.answer(reply)
        if self._transport is None:
            return
        if self.connections.stopping and not self.core.waiting:
            self.end(replies.SHUTDOWN)
        else:
            self._run()

    # --- Writing and closing ---

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _flush(self) -> bool:
        """Write what the core has to say; return whether there was anything."""
        output = self.core.take_output()
        if not output:
            return False
        if self._tls is not None:
            self._tls.write(output)
            output = self._tls.take_output()
        self._write(output)
        return True

    def _balance(self) -> None:
        """Stop reading while too much lies unread, or while our replies are not taken; go on after."""
        pause = self._write_blocked or self.core.wants_pause
        if self._transport is None or pause == self._paused or self._transport.is_closing():
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _hang_up(self) -> None:
        """Write what is left to say, and close."""
        self._flush()
        if self._tls is not None and self._tls.established:
            self._tls.close()
            self._write(self._tls.take_output())
        self._close_transport()

    def _close_transport(self) -> None:
        self.deadline = self._loop.time() + CLOSE_SECONDS_MAX
        if self._transport is not None:
            self._transport.close()

    def end(self, reply: Reply) -> None:
        """End the session with a reply."""
        if self.core.state is not State.CLOSED:
            self.core.close(reply)
        self._hang_up()

    def shut_down(self) -> None:
        """End the session, but not before a message that is being delivered has its answer."""
        if self._tls is not None and not self._tls.established:
            self.abort()
        elif not self.core.waiting:
            self.end(replies.SHUTDOWN)

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
