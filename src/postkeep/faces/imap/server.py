"""The listener: two ports, limits on connections, and the loops that serve all of them."""

import asyncio
import contextlib
import socket
from collections import Counter

from postkeep.faces.imap import metrics
from postkeep.faces.imap.accepting import Acceptor
from postkeep.faces.imap.connection import ImapConnection
from postkeep.faces.imap.keepers import Keepers
from postkeep.faces.imap.limits import CROWDED_LOOK_SECONDS, ConnectionLimits
from postkeep.faces.imap.table import TABLE
from postkeep.faces.imap.texts import Text
from postkeep.faces.imap.wakeups import Registry
from postkeep.faces.timers import Timers
from postkeep.faces.tls import ServerContext
from postkeep.services.authority.throttle import network_of
from postkeep.tickets.follow import follow_feed
from postkeep.tickets.revocations import RevocationView


class ImapServer:
    """Serves IMAP on listening sockets: `imaps` with TLS from the first octet, `imap` with STARTTLS.

    A connection is a *stranger* until it has signed in: strangers are limited in all and by network, which
    a company behind one address does not feel, as its people are strangers for a moment only. From then on
    it counts as its person's.
    """

    def __init__(self, keepers: Keepers, tls: ServerContext, limits: ConnectionLimits | None = None) -> None:
        self.tls = tls
        self._keepers = keepers
        self._limits = limits or ConnectionLimits()
        self._registry = Registry(keepers)
        self._timers = Timers()
        self._acceptors: list[Acceptor] = []
        self._loops: list[asyncio.Task[None]] = []
        self._connections: set[ImapConnection] = set()
        self._strangers: dict[ImapConnection, str] = {}
        """With their networks, the longest there first."""
        self._by_network: Counter[str] = Counter()
        self._crowded: asyncio.TimerHandle | None = None

    # --- connection.Door ---

    def admit(self, connection: ImapConnection) -> Text | None:
        """Count a connection in as a stranger's; return why there is no room for it."""
        network = network_of(connection.network)
        full = len(self._connections) >= self._limits.connections_max
        if full or self._by_network[network] >= self._limits.strangers_per_network_max:
            metrics.TURNED_AWAY.inc()
            return Text.TOO_MANY_CONNECTIONS
        self._connections.add(connection)
        self._strangers[connection] = network
        self._by_network[network] += 1
        self._timers.watch(connection)
        metrics.CONNECTIONS.inc()
        if not self._has_room() and self._crowded is None:
            self._make_room()
        return None

    def welcome(self, connection: ImapConnection) -> bool:
        """Count a connection as its person's, if that person may have one more."""
        principal = connection.session.need_account().principal
        if self._registry.count_of(principal) >= self._limits.connections_per_person_max:
            metrics.TURNED_AWAY.inc()
            return False
        self._no_stranger(connection)
        return True

    def part(self, connection: ImapConnection) -> None:
        """Count a connection that was its person's as a stranger's again."""
        network = network_of(connection.network)
        self._strangers[connection] = network
        self._by_network[network] += 1

    def dismiss(self, connection: ImapConnection) -> None:
        """Count it out, if it was counted in."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._timers.forget(connection)
        self._no_stranger(connection)
        metrics.CONNECTIONS.dec()

    def _no_stranger(self, connection: ImapConnection) -> None:
        network = self._strangers.pop(connection, None)
        if network is None:
            return
        self._by_network[network] -= 1
        if not self._by_network[network]:
            del self._by_network[network]
        for acceptor in self._acceptors:
            acceptor.go_on()

    def _has_room(self) -> bool:
        opening = sum(acceptor.opening for acceptor in self._acceptors)
        return len(self._strangers) + opening < self._limits.strangers_max

    def _make_room(self) -> None:
        """Send strangers away that have kept us waiting for long; look again while it is crowded."""
        self._crowded = None
        for stranger in list(self._strangers):
            stranger.give_way()
        if not self._has_room():
            loop = asyncio.get_running_loop()
            self._crowded = loop.call_later(CROWDED_LOOK_SECONDS, self._make_room)

    # --- life ---

    async def serve(self, *, imap: socket.socket | None = None, imaps: socket.socket | None = None) -> None:
        """Begin to accept connections."""
        loop = asyncio.get_running_loop()
        view = RevocationView()
        self._loops = [
            loop.create_task(self._registry.follow_changes()),
            loop.create_task(self._registry.renew_tickets()),
            loop.create_task(self._registry.keep_sessions()),
            loop.create_task(follow_feed(self._keepers.authority, view, self._registry.revoked)),
        ]
        for sock, tls_first in ((imap, False), (imaps, True)):
            if sock is not None:
                self._acceptors.append(self._listen(sock, tls_first=tls_first))

    def _listen(self, sock: socket.socket, *, tls_first: bool) -> Acceptor:
        def connect() -> ImapConnection:
            return ImapConnection(self._keepers, TABLE, self._registry, self, tls_first=tls_first)

        return Acceptor(sock, connect, self._has_room)

    async def close(self) -> None:
        """Stop accepting, say BYE to everybody, end the loops."""
        for acceptor in self._acceptors:
            acceptor.close()
        self._timers.close()
        if self._crowded is not None:
            self._crowded.cancel()
        for connection in list(self._connections):
            connection.cut(Text.GOING_DOWN)
        for task in self._loops:
            task.cancel()
        for task in self._loops:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await asyncio.sleep(0)  # connections that closed at once sign out now
        await self._registry.close()
