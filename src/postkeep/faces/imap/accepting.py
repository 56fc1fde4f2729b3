"""Accepting connections as fast as they can be served, and no faster: the rest waits in the kernel's queue.

A storm of clients that all come back at once is served in turn. Refusing them would have each of them try
again, and handshakes that are all begun at once would all end late.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

import structlog

ACCEPTED_AT_ONCE: Final = 32
"""Connections accepted before others get their turn of the loop."""
GO_ON_SECONDS: Final = 0.002
"""Between a place that gets free and the next connection: a handful of places are free by then."""
PAUSE_SECONDS: Final = 0.5
"""After the system had no descriptor or memory for one more."""
BACKLOG: Final = 4096
"""Connections that wait in the kernel; what `net.core.somaxconn` allows counts."""
KEEPALIVE_SECONDS: Final = 600
"""Without a packet, before the kernel asks whether the other host is still there."""

_log = structlog.get_logger(__name__)


class Acceptor:
    """Takes connections from one listening socket while there is room."""

    def __init__(
        self,
        sock: socket.socket,
        connect: Callable[[], asyncio.Protocol],
        has_room: Callable[[], bool],
    ) -> None:
        self._sock = sock
        self._connect = connect
        self._has_room = has_room
        self._loop = asyncio.get_running_loop()
        self._listening = False
        self._closed = False
        self._wakening: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[object]] = set()
        sock.setblocking(False)
        sock.listen(BACKLOG)
        self._listen()

    @property
    def opening(self) -> int:
        """Connections that are accepted and not yet counted by who serves them."""
        return len(self._opening)

    def go_on(self) -> None:
        """Accept again soon, if there is room."""
        if not self._listening and self._wakening is None and not self._closed:
            # Not in the turn in which the loop was told to forget the socket: it has not done so yet.
            self._wakening = self._loop.call_later(GO_ON_SECONDS, self._listen)

    def _listen(self) -> None:
        self._wakening = None
        if not self._listening and not self._closed and self._has_room():
            self._listening = True
            self._loop.add_reader(self._sock, self._accept)

    def close(self) -> None:
        """Accept nothing more."""
        self._closed = True
        if self._wakening is not None:
            self._wakening.cancel()
        self._pause()
        self._sock.close()

    def _pause(self) -> None:
        if self._listening:
            self._listening = False
            self._loop.remove_reader(self._sock)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            if not self._has_room():
                self._pause()
                return
            try:
                accepted, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # descriptors or memory are used up: those who are there go on
                _log.warning("accept_failed", error=error.strerror)
                self._pause()
                self._loop.call_later(PAUSE_SECONDS, self.go_on)
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
            opening = self._loop.create_task(self._open(accepted))
            self._opening.add(opening)
            opening.add_done_callback(self._opened)

    def _opened(self, opening: asyncio.Task[object]) -> None:
        self._opening.discard(opening)
        self.go_on()

    async def _open(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._connect, accepted)
        except OSError:  # gone before it was served
            accepted.close()
