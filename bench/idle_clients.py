"""Many IMAP clients in one lean process: TLS on memory buffers over plain uvloop transports."""

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import cast

PASSWORD = "correct horse battery staple"
PER_ADDRESS = 100
"""Clients from one source address: 127.0.0.1, 127.0.0.2 and so on."""
RETRY_SECONDS = 1.0
READ_BYTES = 65_536


class IdleClient(asyncio.Protocol):
    """Signs in, selects INBOX and idles; tells of every EXISTS with the time at which it came."""

    __slots__ = ("_context", "_incoming", "_login", "_outgoing", "_ready", "_rest", "_step", "_tls",
                 "_transport", "lost", "number", "on_exists")  # fmt: skip

    def __init__(
        self, number: int, address: str, context: ssl.SSLContext, on_exists: Callable[[int, float], None]
    ) -> None:
        self.number = number
        self.on_exists = on_exists
        self.lost = False
        self._login = f'a LOGIN {address} "{PASSWORD}"\r\n'.encode()
        self._context = context
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rest = b""
        self._step = 0
        self._transport: asyncio.Transport

    async def ready(self) -> None:
        """Wait until it idles; raises ConnectionError where it was turned away."""
        await self._ready

    def hang_up(self) -> None:
        """Close without a word, as a network that breaks."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self._handshake()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.lost = True
        if not self._ready.done():
            self._ready.set_exception(ConnectionError("closed"))

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        if self._step == 0 and not self._handshake():
            return
        while True:
            try:
                piece = self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError:
                self._transport.abort()
                return
            if not piece:
                break
            self._rest += piece
        self._flush()
        *lines, self._rest = self._rest.split(b"\r\n")
        for line in lines:
            self._line(line)

    def _handshake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        self._step = 1
        self._flush()
        return True

    def _line(self, line: bytes) -> None:
        if self._step == 1 and line.startswith(b"* OK"):
            self._say(self._login)
        elif self._step == 2 and line.startswith(b"a OK"):
            self._say(b"b SELECT INBOX\r\n")
        elif self._step == 3 and line.startswith(b"b OK"):
            self._say(b"c IDLE\r\n")
        elif self._step == 4 and line.startswith(b"+"):
            self._step = 5
            self._ready.set_result(None)
        elif self._step == 5 and line.endswith(b" EXISTS"):
            self.on_exists(self.number, time.monotonic())
        elif line[2:5] in {b"NO ", b"BAD"}:
            self._transport.abort()

    def _say(self, data: bytes) -> None:
        self._step += 1
        self._tls.write(data)
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())


class Crowd:
    """All the clients of a run."""

    def __init__(self, port: int, ca: str, addresses: list[str]) -> None:
        self.refused = 0
        self.clients: list[IdleClient | None] = [None] * len(addresses)
        self.heard: dict[int, float] = {}
        self._port = port
        self._addresses = addresses
        self._context = ssl.create_default_context(cafile=ca)

    async def all_in(self, at_once: int) -> float:
        """Connect everybody who isn't, so many at once; return the seconds until all idle."""
        begun, limit = time.monotonic(), asyncio.Semaphore(at_once)

        async def one(number: int) -> None:
            async with limit:
                while True:
                    try:
                        self.clients[number] = await self._connect(number)
                    except OSError:
                        self.refused += 1
                        await asyncio.sleep(RETRY_SECONDS)
                    else:
                        return

        missing = [n for n, client in enumerate(self.clients) if client is None or client.lost]
        await asyncio.gather(*map(one, missing))
        return time.monotonic() - begun

    async def _connect(self, number: int) -> IdleClient:
        loop = asyncio.get_running_loop()
        client = IdleClient(number, self._addresses[number], self._context, self._note)
        source = f"127.0.{1 + number // PER_ADDRESS // 250}.{1 + number // PER_ADDRESS % 250}"
        await loop.create_connection(lambda: client, "127.0.0.1", self._port, local_addr=(source, 0))
        await client.ready()
        return client

    def _note(self, number: int, at: float) -> None:
        self.heard[number] = at

    def cut(self) -> None:
        """Break every connection."""
        for client in self.clients:
            if client is not None:
                client.hang_up()

    @property
    def lost(self) -> int:
        """How many connections are gone that were there."""
        return sum(client is not None and client.lost for client in self.clients)
