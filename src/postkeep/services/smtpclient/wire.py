"""The client's socket: octets between a transport and the core, one waiter, bounded waits."""

import asyncio
import ssl
from typing import cast

from postkeep.base.errors import UnavailableError
from postkeep.protocols.smtp.client import Answer, ClientConnection


class Wire(asyncio.Protocol):
    """One connection. Use it from one task."""

    def __init__(self, core: ClientConnection) -> None:
        self.core = core
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport (again after TLS has begun)."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand octets to the core and wake whoever waits."""
        self.core.receive(data)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Wake whoever waits: nothing more will come."""
        self._lost = True
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        """Hold back."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._writable.set()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def flush(self, seconds: float) -> None:
        """Send what the core has to say; raise UnavailableError when it is not taken in time."""
        data = self.core.take_output()
        if self._transport is None or self._lost or self._transport.is_closing():
            if self.core.has_unread:
                return  # a last word, as a 421, is better than none
            raise UnavailableError("the connection is closed")
        if data:
            self._transport.write(data)
        if self._writable.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await self._writable.wait()
        except TimeoutError as exc:
            raise UnavailableError("the server does not read") from exc

    async def answer(self, seconds: float) -> Answer:
        """Return the next answer; raise UnavailableError when none comes in time."""
        found = self.core.next_answer()
        if found is not None:
            return found
        try:
            async with asyncio.timeout(seconds):
                while (found := self.core.next_answer()) is None:
                    if self._lost:
                        raise UnavailableError("the server closed the connection")
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
        except TimeoutError as exc:
            raise UnavailableError("the server does not answer") from exc
        finally:
            self._waiter = None
        return found

    async def start_tls(self, context: ssl.SSLContext, server_name: str, seconds: float) -> None:
        """Do the handshake; raises OSError (TLS errors among it)."""
        if self._transport is None:
            raise ConnectionResetError
        transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, context, server_hostname=server_name, ssl_handshake_timeout=seconds
        )
        if transport is None:
            raise ConnectionResetError
        self._transport = transport

    @property
    def lost(self) -> bool:
        """Whether the other side has closed the connection."""
        return self._lost

    @property
    def tls_description(self) -> str:
        """Protocol and cipher; empty in the clear."""
        if self._transport is None:
            return ""
        found = self._transport.get_extra_info("ssl_object")
        return f"{found.version()} {found.cipher()[0]}" if found is not None else ""

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()
