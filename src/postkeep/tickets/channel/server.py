"""A keeper's side of the channel: listens, proves itself, judges callers and calls, runs the handlers."""

import asyncio
import hashlib
import logging
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from postkeep.base.clock import Clock, SystemClock
from postkeep.base.errors import PostkeepError, RefusedError, UnavailableError
from postkeep.tickets.channel import frames
from postkeep.tickets.channel.frames import Call, Fault, FrameReader
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
from postkeep.tickets.channel.judge import Case, Handler, Judge, Judgement
from postkeep.tickets.channel.refusal import Refusal
from postkeep.tickets.identity import Anchors, ModuleIdentity, thumbprint
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.rules import RULES, Rule
from postkeep.tickets.verify import ShownTicket

NEWCOMERS_MAX: Final = 256
"""Connections without a module ticket (yet); further ones are closed at once."""

NEWCOMERS_EACH_MAX: Final = 64
"""The same of one user id: a stranger on the host can't take the places of modules that enrol."""

NEWCOMER_SECONDS: Final = 30.0
"""How long one may stay that has proved its key and has no module ticket: it enrols, and comes again."""

CONNECTIONS_MAX: Final = 2048
"""Connections in all: a few per module instance of a large installation."""

STRANGERS_TOLD_PER_SECOND_MAX: Final = 20
"""Refusals of callers who have proved nothing that are told one by one; of a rain of them, the count is."""

CLOSE_SECONDS: Final = 2.0
"""How long `close` lets running calls finish."""

SOCKET_MODE: Final = 0o666
"""Anyone on the host may connect and nobody gets anywhere without a ticket; narrow it by the directory."""

_PEERCRED = struct.Struct("3i")
_SHOWING: Final = Call(0, frames.PRESENT, msgspec.Raw(msgspec.msgpack.encode(None)))
"""The call that showing a module ticket is."""
_log = logging.getLogger(__name__)

__all__ = ["Handler", "Server"]


class Server:
    """Serves one keeper's methods. Raises ValueError where rules and handlers do not match."""

    def __init__(  # noqa: PLR0917 - the order that every keeper writes them in
        self,
        identity: ModuleIdentity,
        anchors: Anchors,
        keeper: str,
        handlers: Mapping[str, tuple[type[msgspec.Struct], Handler]],
        revocations: RevocationView,
        on_refusal: Callable[[Refusal], None],
        clock: Clock | None = None,
        *,
        rules: Iterable[Rule] = RULES,
        ledger: Callable[[], None] = lambda: None,
    ) -> None:
        self.identity = identity
        self.keeper = keeper
        self._on_refusal = on_refusal
        self.judge = Judge(keeper, anchors, handlers, revocations, clock or SystemClock(), rules, ledger)
        self.connections: set[_Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.newcomers: Counter[int | None] = Counter()
        self._strangers = (0, 0)
        self._untold = 0
        self._listeners: list[asyncio.Server] = []

    async def serve_unix(self, path: Path, *, mode: int = SOCKET_MODE) -> None:
        """Listen on a Unix socket; one left behind by an earlier start is replaced."""
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - one local system call at the start
        binding = unix_binding(path.name)
        listener = await asyncio.get_running_loop().create_unix_server(
            lambda: _Connection(self, lambda _transport: binding), path
        )
        path.chmod(mode)  # noqa: ASYNC240 - one local system call at the start
        self._listeners.append(listener)

    async def serve_tls(self, sock: socket.socket, context: ssl.SSLContext, *, certificate: bytes) -> None:
        """Listen with mutually authenticated TLS 1.3; `certificate` is this side's own, in DER."""
        check_tls(context)

        def binding(transport: asyncio.Transport) -> bytes:
            return tls_binding(peer_certificate(transport), certificate)

        listener = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self, binding), sock=sock, ssl=context
        )
        self._listeners.append(listener)

    def report(self, refusal: Refusal) -> None:
        """Tell of a refusal. Modules are told of always; a rain of strangers does not fill the ledger."""
        if not refusal.instance:
            second = int(asyncio.get_running_loop().time())
            told = self._strangers[1] if self._strangers[0] == second else 0
            self._strangers = (second, told + 1)
            if told >= STRANGERS_TOLD_PER_SECOND_MAX:
                self._untold += 1
                return
            refusal = replace(refusal, untold=self._untold)
            self._untold = 0
        self._on_refusal(refusal)

    async def close(self) -> None:
        """Stop listening, let running calls finish for a moment, then end every connection."""
        for listener in self._listeners:
            listener.close()
        for connection in self.connections:
            connection.give_up_waiting()
        if self.tasks:
            await asyncio.wait(set(self.tasks), timeout=CLOSE_SECONDS)
        for task in tuple(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(set(self.tasks))
        for connection in tuple(self.connections):
            connection.abort()
        for listener in self._listeners:
            await listener.wait_closed()
        self._listeners.clear()


class _Connection(asyncio.Protocol):
    """One caller."""

    def __init__(self, server: Server, binding: Callable[[asyncio.Transport], bytes]) -> None:
        self.uid: int | None = None
        self.pid: int | None = None
        self.certificate = ""
        self.public_key = b""
        self.thumbprint = ""
        self._server = server
        self._binding = binding
        self._reader = FrameReader()
        self._step: Callable[[memoryview], None] = self._on_hello
        self._lanes: Lanes | None = None
        self._token = b""
        """The module ticket that the caller shows; empty: a newcomer."""
        self._peer: ShownTicket | None = None
        self._shown = b""
        self._in_flight = 0
        self._paused = False
        self._blocked = False
        self._is_newcomer = True
        self._deadline: asyncio.TimerHandle | None = None
        self._exchange: Exchange | None = None
        self._on_close: list[Callable[[], None]] = []
        self._waiting: set[asyncio.Task[None]] = set()

    # --- what handlers see ---

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the connection has gone; at once if it has."""
        if self in self._server.connections:
            self._on_close.append(callback)
        else:
            callback()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        server = self._server
        server.connections.add(self)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family == socket.AF_UNIX:
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
            self.pid, self.uid, _ = _PEERCRED.unpack(credentials)
        elif sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a host that vanished is noticed
        server.newcomers[self.uid] += 1
        if (
            server.newcomers.total() > NEWCOMERS_MAX
            or server.newcomers[self.uid] > NEWCOMERS_EACH_MAX
            or len(server.connections) > CONNECTIONS_MAX
        ):
            self._transport.abort()
            return
        self._deadline = asyncio.get_running_loop().call_later(frames.HANDSHAKE_SECONDS, self.abort)

    def connection_lost(self, _exc: Exception | None) -> None:
        server = self._server
        server.connections.discard(self)
        self._leave_newcomers()
        for callback in self._on_close:
            callback()
        self._on_close.clear()
        self.give_up_waiting()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                self._step(frame)
        except RefusedError as error:
            self._end(error)

    def pause_writing(self) -> None:
        self._blocked = True
        self._throttle()

    def resume_writing(self) -> None:
        self._blocked = False
        self._throttle()

    def abort(self) -> None:
        """End the connection without another word."""
        self._step = self._ignore
        self._transport.abort()

    def give_up_waiting(self) -> None:
        """End the long polls of this connection."""
        for task in tuple(self._waiting):
            task.cancel()

    def _leave_newcomers(self) -> None:
        if self._is_newcomer:
            self._is_newcomer = False
            self._server.newcomers[self.uid] -= 1
            if not self._server.newcomers[self.uid]:
                del self._server.newcomers[self.uid]
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # --- handshake ---

    def _on_hello(self, frame: memoryview) -> None:
        hello = read_plain(frame, Hello)
        identity = self._server.identity
        if hello.version != VERSION or hello.keeper != self._server.keeper or len(hello.nonce) != NONCE_BYTES:
            raise RefusedError("the caller wants something else", code="refused.handshake")
        if self._transport.get_extra_info("ssl_object") is not None:
            self.certificate = fingerprint(peer_certificate(self._transport))
        self._exchange = exchange = Exchange(self._binding(self._transport))
        self._hello_key = hello.key
        self._shown = identity.ticket
        exchange.say(hello.version, hello.keeper, hello.key, hello.nonce)
        exchange.say(exchange.key, exchange.nonce, self._shown, identity.public_key)
        signature = exchange.sign(b"keeper", identity.sign)
        exchange.say(signature)
        welcome = Welcome(exchange.key, exchange.nonce, self._shown, identity.public_key, signature)
        self._transport.write(frames.plain_frame(welcome))
        self._step = self._on_proof

    def _on_proof(self, frame: memoryview) -> None:
        proof = read_plain(frame, Proof)
        exchange = self._exchange
        assert exchange is not None
        exchange.say(proof.ticket, proof.public_key)
        exchange.check(b"caller", proof.public_key, proof.signature)
        self.public_key = proof.public_key
        self.thumbprint = thumbprint(proof.public_key)
        self._show(proof.ticket)
        lanes = exchange.lanes(self._hello_key)
        self._exchange = None
        if self._peer is not None:
            self._leave_newcomers()
        elif self._deadline is not None:
            self._deadline.cancel()
            self._deadline = asyncio.get_running_loop().call_later(NEWCOMER_SECONDS, self.abort)
        self._lanes = lanes
        self._reader.bytes_max = frames.FRAME_BYTES_MAX if self._peer else frames.HANDSHAKE_BYTES_MAX
        self._step = self._on_call
        self._send((0, True, b""))

    # --- calls ---

    def _on_call(self, frame: memoryview) -> None:
        assert self._lanes is not None
        body = self._lanes.from_caller.read(frame)
        try:
            call = frames.call_decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise RefusedError("an authentic frame is no call", code="refused.frame") from exc
        if call.id == 0:
            self._renew(call)
            return
        case = Case(call, self._token, self)
        try:
            judged = self._server.judge.judge(case)
        except RefusedError as error:
            self._report(error, case)
            self._fail(call.id, error)
            return
        except PostkeepError as error:
            self._fail(call.id, error)
            return
        self._in_flight += 1
        self._throttle()
        task = asyncio.get_running_loop().create_task(self._run(call.id, judged))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)
        if judged.method.rules[0].waits:
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _run(self, call_id: int, judged: Judgement) -> None:
        try:
            value = await judged.method.handler(judged.grant, judged.request)
            self._send((call_id, True, value))
        except PostkeepError as error:
            self._fail(call_id, error)
        except asyncio.CancelledError:
            self._fail(call_id, UnavailableError("the keeper is stopping"))
        except Exception as error:  # noqa: BLE001 - one call's bug must not take the keeper down
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_qualname}:{place.tb_lineno}" if place else ""
            _log.error("handler_failed %s %s at %s", judged.grant.method, type(error).__name__, where)
            self._fail(call_id, PostkeepError())
        finally:
            self._in_flight -= 1
            self._throttle()

    def _renew(self, call: Call) -> None:
        if call.method != frames.PRESENT or self._peer is None:
            raise RefusedError("an unknown control frame", code="refused.frame")
        if not call.ticket:
            raise RefusedError("a module does not become a newcomer", code="refused.no_module_ticket")
        self._show(call.ticket)

    def _show(self, token: bytes) -> None:
        """Take in the module ticket that is shown; without one the caller is a newcomer."""
        before = self._peer.ticket if self._peer is not None else None
        case = Case(_SHOWING, token, self, before)
        try:
            self._server.judge.judge(case)
        except RefusedError:
            self._peer = case.module if case.proved(case.module) else self._peer  # who is told of
            raise
        self._token, self._peer = token, case.module

    def _send(self, answer: tuple[Any, ...]) -> None:
        if self._lanes is None or self._transport.is_closing():
            return
        identity = self._server.identity
        if identity.ticket != self._shown:
            self._shown = identity.ticket
            self._transport.writelines(self._lanes.from_keeper.write((0, True, self._shown)))
        self._transport.writelines(self._lanes.from_keeper.write(answer))

    def _fail(self, call_id: int, error: PostkeepError) -> None:
        self._send((call_id, False, Fault(error.code, error.temporary, error.public_text)))

    def _end(self, error: RefusedError) -> None:
        """Tell the caller why, tell the ledger, and close."""
        self._step = self._ignore
        if self._transport.is_closing():
            return
        self._report(error)
        if self._lanes is not None:
            self._fail(0, error)
        else:
            fault = Fault(error.code, error.temporary, error.public_text)
            self._transport.write(frames.plain_frame(fault))
        self._transport.close()

    def _report(self, error: RefusedError, case: Case | None = None) -> None:
        peer = self._peer.ticket if self._peer else None
        ticket = case.ticket if case is not None and case.proved(case.ticket) else None
        shown = ticket.ticket if ticket is not None else peer
        method = case.call.method if case is not None else ""
        self._server.report(
            Refusal(
                code=error.code,
                module=peer.module if peer else "",
                instance=peer.instance if peer else "",
                method=method if method in self._server.judge.methods else "",
                kind=shown.kind if shown else "",
                tenant=shown.tenant if shown else "",
                principal=shown.principal if shown else "",
                session=shown.session if shown else "",
                ticket=ticket.root.id if ticket is not None else peer.id if peer else "",
                rule=case.rule.line if case is not None and case.rule is not None else "",
                detail=error.detail,
            )
        )

    def _throttle(self) -> None:
        full = self._blocked or self._in_flight >= frames.CALLS_IN_FLIGHT_MAX
        if full is not self._paused and not self._transport.is_closing():
            self._paused = full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _ignore(self, _frame: memoryview) -> None:
        """Drop what comes after the end."""


def check_tls(context: ssl.SSLContext) -> None:
    """Raise ValueError unless a TLS context demands version 1.3 and the other side's certificate."""
    if context.minimum_version < ssl.TLSVersion.TLSv1_3 or context.verify_mode is not ssl.CERT_REQUIRED:
        raise ValueError("the channel takes TLS 1.3 with certificates on both sides only")


def fingerprint(certificate: bytes) -> str:
    """Name a certificate (DER): its SHA-256, hexadecimal."""
    return hashlib.sha256(certificate).hexdigest()


def peer_certificate(transport: asyncio.Transport) -> bytes:
    """Return the other side's certificate (DER); raise RefusedError if it has shown none."""
    ssl_object = transport.get_extra_info("ssl_object")
    certificate = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
    if not isinstance(certificate, bytes):
        raise RefusedError("no certificate was shown", code="refused.handshake")
    return certificate
