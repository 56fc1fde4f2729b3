"""The listener: two ports, limits on connections, and the loops that serve all of them."""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter

from postkeep.faces.imap import metrics
from postkeep.faces.imap.connection import ImapConnection
from postkeep.faces.imap.keepers import Keepers
from postkeep.faces.imap.limits import (
    CONNECTIONS_MAX,
    CONNECTIONS_PER_ADDRESS_MAX,
    HANDSHAKE_SECONDS_MAX,
)
from postkeep.faces.imap.table import TABLE
from postkeep.faces.imap.texts import Text
from postkeep.faces.imap.wakeups import Registry
from postkeep.tickets.follow import follow_feed
from postkeep.tickets.revocations import RevocationView

_BACKLOG = 1024  # connections that the kernel keeps while we are busy


class ImapServer:
    """Serves IMAP on listening sockets: `imaps` with TLS from the first octet, `imap` with STARTTLS."""

    def __init__(self, keepers: Keepers, tls: ssl.SSLContext) -> None:
        self._keepers = keepers
        self._tls = tls
        self._registry = Registry(keepers)
        self._servers: list[asyncio.Server] = []
        self._loops: list[asyncio.Task[None]] = []
        self._connections: set[ImapConnection] = set()
        self._by_network: Counter[str] = Counter()

    # --- connection.Door ---

    def admit(self, connection: ImapConnection) -> bool:
        """Count a connection in, if there is room for it in all and from its address."""
        network = connection.network
        if len(self._connections) >= CONNECTIONS_MAX:
            metrics.TURNED_AWAY.inc()
            return False
        if self._by_network[network] >= CONNECTIONS_PER_ADDRESS_MAX:
            metrics.TURNED_AWAY.inc()
            return False
        self._connections.add(connection)
        self._by_network[network] += 1
        metrics.CONNECTIONS.inc()
        return True

    def dismiss(self, connection: ImapConnection) -> None:
        """Count it out, if it was counted in."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        network = connection.network
        self._by_network[network] -= 1
        metrics.CONNECTIONS.dec()
        if not self._by_network[network]:
            del self._by_network[network]

    # --- life ---

    async def serve(self, *, imap: socket.socket | None = None, imaps: socket.socket | None = None) -> None:
        """Begin to accept connections."""
        loop = asyncio.get_running_loop()
        view = RevocationView()
        self._loops = [
            loop.create_task(self._registry.follow_changes()),
            loop.create_task(self._registry.renew_tickets()),
            loop.create_task(follow_feed(self._keepers.authority, view, self._registry.revoked)),
        ]
        if imap is not None:
            self._servers.append(
                await loop.create_server(lambda: self._connect(secure=False), sock=imap, backlog=_BACKLOG),
            )
        if imaps is not None:
            self._servers.append(
                await loop.create_server(
                    lambda: self._connect(secure=True),
                    sock=imaps,
                    backlog=_BACKLOG,
                    ssl=self._tls,
                    ssl_handshake_timeout=HANDSHAKE_SECONDS_MAX,
                ),
            )

    def _connect(self, *, secure: bool) -> ImapConnection:
        return ImapConnection(self._keepers, TABLE, self._registry, self, self._tls, secure=secure)

    async def close(self) -> None:
        """Stop accepting, say BYE to everybody, end the loops."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.cut(Text.GOING_DOWN)
        for task in self._loops:
            task.cancel()
        for task in self._loops:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await asyncio.sleep(0)  # connections that closed at once sign out now
        await self._registry.close()
