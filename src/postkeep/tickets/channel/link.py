"""A caller's side of the channel: connects when needed, proves both sides, multiplexes calls."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec

from postkeep.base.errors import PostkeepError, RefusedError, UnavailableError
from postkeep.model.ticket import TicketKind
from postkeep.tickets.channel import frames
from postkeep.tickets.channel.frames import Answer, Fault, FrameReader
from postkeep.tickets.channel.handshake import (
    NONCE_BYTES,
    VERSION,
    Exchange,
    Hello,
    Lanes,
    Proof,
    Welcome,
    read_plain,
    tls_binding,
    unix_binding,
)
from postkeep.tickets.channel.refusal import error_from
from postkeep.tickets.channel.server import check_tls, fingerprint, peer_certificate
from postkeep.tickets.identity import Anchors, ModuleIdentity, thumbprint
from postkeep.tickets.verify import ShownTicket, Verifier

T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0
"""Until the keeper has proved itself."""

CALL_SECONDS: Final = 30.0
"""A call's default patience; long polls give their own."""

_PLAIN_MAC: Final = bytes(frames.MAC_BYTES)


@dataclass(frozen=True, slots=True)
class TlsTarget:
    """A keeper on another host. The context carries this side's certificate and trusts the CA."""

    host: str
    port: int
    server_name: str
    context: ssl.SSLContext
    certificate: bytes
    """This side's own certificate, in DER."""


class Link:
    """A lazily connected, self-reconnecting, multiplexed channel to one keeper."""

    def __init__(
        self, identity: ModuleIdentity, anchors: Anchors, keeper: str, path: Path | TlsTarget
    ) -> None:
        self.keeper = keeper
        self._identity = identity
        self._verifier = Verifier(anchors)
        self._path = path
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._closed = False

    async def call(
        self,
        method: str,
        request: msgspec.Struct,
        reply: type[T],
        *,
        ticket: bytes = b"",
        timeout_seconds: float = CALL_SECONDS,
    ) -> T:
        """Call a method and return its answer.

        Raises what the keeper raised (the class by the error's code), and UnavailableError where it can't
        be reached, does not answer in time, or the connection breaks: the call may then have been done.
        """
        connection = self._connection
        if connection is None or not connection.usable:
            connection = await self._connect()
        answer = await connection.call(method, request, ticket, timeout_seconds)
        try:
            return msgspec.msgpack.decode(answer.value, type=reply)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise UnavailableError(f"{method} answered something else") from exc

    async def peer_thumbprint(self) -> str:
        """Connect if needed, and name the keeper's key: the holder of a ticket narrowed for it."""
        connection = self._connection
        if connection is None or not connection.usable:
            connection = await self._connect()
        return connection.peer.ticket.holder

    async def close(self) -> None:
        """End the connection; calls under way raise UnavailableError."""
        self._closed = True
        if self._connection is not None:
            await self._connection.close()

    async def _connect(self) -> "_Connection":
        async with self._connecting:
            connection = self._connection
            if connection is not None and connection.usable:
                return connection
            if self._closed:
                raise UnavailableError("the link is closed")
            if connection is not None:
                connection.retire()
            self._connection = None
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    connection = await self._open()
                    await connection.proved
            except (OSError, TimeoutError) as exc:
                if connection is not None:
                    connection.abort()
                raise UnavailableError(f"{self.keeper} can't be reached: {type(exc).__name__}") from exc
            self._connection = connection
            return connection

    async def _open(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        path = self._path
        if isinstance(path, Path):
            binding = unix_binding(path.name)
            _, connection = await loop.create_unix_connection(
                lambda: _Connection(self._identity, self._verifier, self.keeper, lambda _transport: binding),
                str(path),
            )
            return connection
        check_tls(path.context)
        own = path.certificate
        _, connection = await loop.create_connection(
            lambda: _Connection(
                self._identity,
                self._verifier,
                self.keeper,
                lambda transport: tls_binding(own, peer_certificate(transport)),
            ),
            path.host,
            path.port,
            ssl=path.context,
            server_hostname=path.server_name,
        )
        connection.keep_alive()
        return connection


class _Connection(asyncio.Protocol):
    """One connection of a Link, from its handshake to its end."""

    def __init__(
        self,
        identity: ModuleIdentity,
        verifier: Verifier,
        keeper: str,
        binding: Callable[[asyncio.Transport], bytes],
    ) -> None:
        self.proved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.peer: ShownTicket
        self._identity = identity
        self._verifier = verifier
        self._keeper = keeper
        self._binding = binding
        self._reader = FrameReader()
        self._step: Callable[[memoryview], None] = self._on_welcome
        self._lanes: Lanes
        self._shown = b""
        self._pending: dict[int, asyncio.Future[Answer]] = {}
        self._last_id = 0
        self._retired = False
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._room: asyncio.Future[None] | None = None

    @property
    def usable(self) -> bool:
        """Whether new calls may go over it: open, the keeper's ticket in force, no longer a newcomer's."""
        if self._retired or self._gone.done() or self._transport.is_closing():
            return False
        if not self._shown and self._identity.ticket:
            return False
        try:
            self._verifier.check_time(self.peer)
        except RefusedError:
            return False
        return True

    async def call(
        self, method: str, request: msgspec.Struct, ticket: bytes, timeout_seconds: float
    ) -> Answer:
        """Send a call and wait for its answer."""
        while self._room is not None:
            await asyncio.shield(self._room)
        if self._gone.done() or self._transport.is_closing():
            raise UnavailableError("the connection has gone")
        loop = asyncio.get_running_loop()
        if self._identity.ticket != self._shown:
            self._shown = self._identity.ticket
            self._write((0, frames.PRESENT, None, self._shown))
        self._last_id = call_id = self._last_id + 1
        future: asyncio.Future[Answer] = loop.create_future()
        self._write((call_id, method, request, ticket))
        self._pending[call_id] = future
        timer = loop.call_later(timeout_seconds, self._time_out, future)
        try:
            answer = await future
        finally:
            timer.cancel()
            self._pending.pop(call_id, None)
            if self._retired and not self._pending:
                self._transport.close()
        if answer.ok:
            return answer
        raise _read_fault(answer.value)

    def keep_alive(self) -> None:
        """Have the kernel notice a host that vanished."""
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def retire(self) -> None:
        """Take no new calls; close when those under way are done."""
        self._retired = True
        if not self._pending:
            self._transport.close()

    def abort(self) -> None:
        """End it now."""
        self._transport.abort()

    async def close(self) -> None:
        """End it and wait until it has gone."""
        self._transport.abort()
        await self._gone

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        try:
            self._exchange: Exchange | None = Exchange(self._binding(self._transport))
        except RefusedError as error:
            self._end(error)
            return
        hello = Hello(VERSION, self._keeper, self._exchange.key, self._exchange.nonce)
        self._exchange.say(hello.version, hello.keeper, hello.key, hello.nonce)
        self._transport.write(frames.plain_frame(hello))

    def connection_lost(self, _exc: Exception | None) -> None:
        self._end(UnavailableError("the connection broke"))
        if not self._gone.done():
            self._gone.set_result(None)
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                self._step(frame)
        except PostkeepError as error:
            self._end(error)

    def pause_writing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    # --- frames ---

    def _on_welcome(self, frame: memoryview) -> None:
        welcome = read_plain(frame, Welcome)
        exchange = self._exchange
        assert exchange is not None
        exchange.say(welcome.key, welcome.nonce, welcome.ticket, welcome.public_key)
        if len(welcome.nonce) != NONCE_BYTES:
            raise RefusedError("a nonce has the wrong length", code="refused.handshake")
        exchange.check(b"keeper", welcome.public_key, welcome.signature)
        self.peer = self._verify_keeper(welcome.ticket, thumbprint(welcome.public_key))
        exchange.say(welcome.signature)
        identity = self._identity
        self._shown = identity.ticket
        exchange.say(self._shown, identity.public_key)
        proof = Proof(self._shown, identity.public_key, exchange.sign(b"caller", identity.sign))
        self._transport.write(frames.plain_frame(proof))
        self._lanes = exchange.lanes(welcome.key)
        self._exchange = None
        self._step = self._on_verdict

    def _on_verdict(self, frame: memoryview) -> None:
        if frame[: frames.MAC_BYTES] == _PLAIN_MAC:
            fault = read_plain(frame, Fault)
            raise error_from(fault.code, fault.public_text, temporary=fault.temporary)
        self._step = self._on_answer
        self._reader.bytes_max = frames.FRAME_BYTES_MAX
        self._on_answer(frame)
        if not self.proved.done():
            self.proved.set_result(None)

    def _on_answer(self, frame: memoryview) -> None:
        body = self._lanes.from_keeper.read(frame)
        try:
            answer = frames.answer_decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise UnavailableError("the keeper sends nonsense") from exc
        if answer.id:
            future = self._pending.get(answer.id)
            if future is not None and not future.done():
                future.set_result(answer)
        elif not answer.ok:
            raise _read_fault(answer.value)
        else:
            renewed = frames.ticket_decoder.decode(answer.value)
            if renewed:
                self.peer = self._verify_keeper(renewed, self.peer.ticket.holder)

    def _verify_keeper(self, ticket: bytes, holder: str) -> ShownTicket:
        verified = self._verifier.verify(ticket, audience=None, holder=holder)
        if verified.ticket.kind is not TicketKind.MODULE or verified.ticket.module != self._keeper:
            raise RefusedError("another module answers in its place", code="refused.keeper")
        if self._transport.get_extra_info("ssl_object") is not None:
            shown = fingerprint(peer_certificate(self._transport))
            if verified.ticket.certificate != shown:
                raise RefusedError(
                    "the keeper was enrolled with another certificate", code="refused.certificate"
                )
        return verified

    def _write(self, parts: tuple[Any, ...]) -> None:
        self._transport.writelines(self._lanes.from_caller.write(parts))

    def _time_out(self, future: asyncio.Future[Answer]) -> None:
        if not future.done():
            future.set_exception(UnavailableError("no answer in time", code="unavailable.timeout"))

    def _end(self, error: PostkeepError) -> None:
        self._step = self._ignore
        if not self.proved.done():
            self.proved.set_exception(error)
        for future in self._pending.values():
            if not future.done():
                future.set_exception(error)
        self._transport.abort()

    def _ignore(self, _frame: memoryview) -> None:
        """Drop what comes after the end."""


def _read_fault(value: msgspec.Raw) -> PostkeepError:
    try:
        fault = frames.fault_decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise UnavailableError("the keeper's error can't be read") from exc
    return error_from(fault.code, fault.public_text, temporary=fault.temporary)
