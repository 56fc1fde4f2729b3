"""A mail server on the loopback that does what a test's script says, at each step of a session."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, cast

from postkeep.protocols.smtp import replies
from postkeep.protocols.smtp.events import Closed, Content, Event, Mail, Rcpt, StartTls
from postkeep.protocols.smtp.parameters import MailParameters, RcptParameters
from postkeep.protocols.smtp.replies import Reply
from postkeep.protocols.smtp.server import ServerConnection, ServerSettings

Act = Reply | Literal["drop", "take_and_drop", "hang"]
"""A reply; or hang up; or hang up having taken the message; or say nothing."""
Script = Callable[[Event], Act | None]
"""None: the usual."""


@dataclass
class Taken:
    """A message that the sink has."""

    sender: str
    parameters: MailParameters
    recipients: list[str]
    rcpt_parameters: list[RcptParameters]
    content: bytes
    over_tls: bool


@dataclass
class Sink:
    """What the server does and has seen."""

    script: Script = lambda _event: None
    greeting: Act | None = None
    hide: tuple[str, ...] = ()
    """Extensions that are not offered."""
    tls: ssl.SSLContext | None = None
    break_tls: bool = False
    """Grant STARTTLS and hang up."""
    taken: list[Taken] = field(default_factory=list)
    sessions: int = 0
    open_now: int = 0
    open_most: int = 0
    port: int = 0
    protocols: set["_Protocol"] = field(default_factory=set)

    def hang_up(self) -> None:
        """End every session."""
        for protocol in list(self.protocols):
            protocol.abort()

    @property
    def recipients(self) -> list[str]:
        return [recipient for message in self.taken for recipient in message.recipients]


@asynccontextmanager
async def running(sink: Sink, address: str = "127.0.0.1") -> AsyncIterator[Sink]:
    server = await asyncio.get_running_loop().create_server(lambda: _Protocol(sink), address, sink.port)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        sink.hang_up()
        await server.wait_closed()
        await asyncio.sleep(0)


class _Protocol(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._core = ServerConnection(
            ServerSettings("sink.example", 50_000_000, 1000, starttls=sink.tls is not None)
        )
        self._transport: asyncio.Transport | None = None
        self._mail: Mail | None = None
        self._rcpts: list[Rcpt] = []
        self._task: asyncio.Task[None] | None = None
        self._early: bytes | None = None
        """What came with the end of a TLS handshake, before `start_tls` has returned; None: no handshake."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        again = self._transport is not None
        self._transport = transport
        if again:
            return
        sink = self._sink
        sink.protocols.add(self)
        sink.sessions += 1
        sink.open_now += 1
        sink.open_most = max(sink.open_most, sink.open_now)
        if sink.greeting == "drop":
            transport.abort()
        elif isinstance(sink.greeting, Reply):
            transport.write(sink.greeting.wire)
            transport.close()
        elif sink.greeting is None:
            self._core.greet()
            self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        self._sink.open_now -= 1
        self._sink.protocols.discard(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            return
        self._core.receive(data)
        while (event := self._core.next_event()) is not None:
            if not self._handle(event):
                return
        self._write()

    def _write(self) -> None:
        output = self._core.take_output()
        if output.startswith(b"250-sink.example\r\n"):
            for word in self._sink.hide:
                lines = output.split(b"\r\n")
                output = b"\r\n".join(line for line in lines if line[4:].split(b" ")[0] != word.encode())
        assert self._transport is not None
        self._transport.write(output)

    def _handle(self, event: Event) -> bool:
        if isinstance(event, Closed):
            self._write()
            assert self._transport is not None
            self._transport.close()
            return False
        if isinstance(event, StartTls):
            self._write()
            if self._sink.break_tls:
                self.abort()
            else:
                self._early = b""
                self._task = asyncio.get_running_loop().create_task(self._start_tls())
            return False
        act = self._sink.script(event)
        if act == "hang":
            return False
        if act == "drop":
            self.abort()
            return False
        if act is None or act == "take_and_drop" or act.positive:
            self._take(event)
        if act == "take_and_drop":
            self.abort()
            return False
        self._core.answer(act or replies.OK)
        return True

    def _take(self, event: Event) -> None:
        if isinstance(event, Mail):
            self._mail, self._rcpts = event, []
        elif isinstance(event, Rcpt):
            self._rcpts.append(event)
        elif isinstance(event, Content):
            assert self._mail is not None
            self._sink.taken.append(
                Taken(
                    str(self._mail.sender or ""),
                    self._mail.parameters,
                    [str(rcpt.recipient) for rcpt in self._rcpts],
                    [rcpt.parameters for rcpt in self._rcpts],
                    event.content,
                    self._core.tls,
                )
            )

    async def _start_tls(self) -> None:
        assert self._transport is not None
        assert self._sink.tls is not None
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, self._sink.tls, server_side=True
            )
        except OSError:
            self.abort()
            return
        self._transport = transport
        self._core.tls_started()
        early, self._early = self._early, None
        if early:
            self.data_received(early)
