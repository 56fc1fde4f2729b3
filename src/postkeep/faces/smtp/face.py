"""What the connections of one SMTP face have in common: who may connect, how much all of them may hold, and
how the face is drained when it stops."""

import asyncio
import ipaddress
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from postkeep.faces.smtp import replies
from postkeep.faces.timers import TICK_SECONDS, Timers
from postkeep.faces.tls import ServerContext
from postkeep.protocols.smtp.replies import Reply
from postkeep.protocols.smtp.server import ServerSettings

if TYPE_CHECKING:
    from postkeep.faces.smtp.connection import SmtpConnection

NETWORK_CONNECTIONS_MAX: Final = 200
"""Connections of one IPv4 address or IPv6 /64 in one process: a busy sender opens 20 to 50."""

HELD_OCTETS_MAX: Final = 512 * 1024 * 1024
"""Octets of messages that all connections of a process hold together, coming in or being delivered."""

IPV6_NETWORK_BITS: Final = 64
"""What one IPv6 customer has: addresses within it are one network."""

DRAIN_SECONDS_MAX: Final = 8.0
"""How long a stopping face waits for messages that are being delivered."""


@dataclass(frozen=True, slots=True)
class FaceSettings:
    """What a face is configured with."""

    server: ServerSettings
    tls: ServerContext | None
    implicit_tls: bool = False
    connections_max: int = 10_000
    command_timeout_seconds: float = 300.0
    greeting_delay_seconds: float = 0.0
    """Above 0: who speaks before the greeting is sent away."""


def network_of(address: str) -> str:
    """Return the network that a client's address counts for."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, IPV6_NETWORK_BITS), strict=False))
    return str(parsed)


class Connections:
    """The live connections of one process, over all its ports."""

    def __init__(self, *, connections_max: int, tick_seconds: float = TICK_SECONDS) -> None:
        self.timers = Timers(tick_seconds=tick_seconds)
        self.log = structlog.get_logger(__name__).bind()
        """Bound once: binding costs as much as writing the line, and there is a line for every message."""
        self.held_octets = 0
        self.stopping = False
        self._max = connections_max
        self._live: set[SmtpConnection] = set()
        self._networks: Counter[str] = Counter()
        self._deliveries: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._live)

    def admit(self, connection: "SmtpConnection", network: str) -> Reply | None:
        """Take in a new connection; return a reply when there is no room for it."""
        if self.stopping:
            return replies.SHUTDOWN
        if len(self._live) >= self._max:
            return replies.TOO_MANY_CONNECTIONS
        if self._networks[network] >= NETWORK_CONNECTIONS_MAX:
            return replies.TOO_MANY_FROM_YOU
        self._live.add(connection)
        self._networks[network] += 1
        return None

    def leave(self, connection: "SmtpConnection", network: str) -> None:
        """Forget a connection that has ended."""
        if connection in self._live:
            self._live.discard(connection)
            self._networks[network] -= 1
            if not self._networks[network]:
                del self._networks[network]

    def follow(self, task: "asyncio.Task[None]") -> None:
        """Keep a task alive, and wait for it when the face stops."""
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def drain(self) -> None:
        """Stop: tell idle clients, finish what is being delivered, then close everything."""
        self.stopping = True
        for connection in list(self._live):
            connection.shut_down()
        if self._deliveries:
            await asyncio.wait(set(self._deliveries), timeout=DRAIN_SECONDS_MAX)
        for connection in list(self._live):
            connection.abort()
        self.timers.close()
