"""Listening sockets: bound once by the supervisor, one per process with SO_REUSEPORT, and inherited.

They stay open here while a process is down: connections that the kernel has queued for it wait for the next.
"""

import socket
from typing import Final

from postkeep.base.errors import PostkeepError
from postkeep.node.config import Config
from postkeep.node.supervisor.plan import Slot

BACKLOG: Final = 4096
"""Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn."""


class PortError(PostkeepError):
    """A port can't be had."""

    code = "port"


def listen(address: str, port: int, *, shared: bool) -> socket.socket:
    """Bind and listen on one TCP port; raise PortError with what to do about it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setblocking(False)
        sock.bind((address, port))
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        raise PortError(
            public_text=f"Port {port} on {address} can't be opened: {exc.strerror}. "
            "Is another node or mail server running? Choose other ports with --base-port."
        ) from exc
    return sock


def bind_all(slots: tuple[Slot, ...], config: Config) -> dict[str, dict[str, socket.socket]]:
    """Return the sockets of every process, by process and port name."""
    bound: dict[str, dict[str, socket.socket]] = {}
    probed: set[int] = set()
    try:
        for slot in slots:
            mine = bound.setdefault(slot.name, {})
            for name, distance in slot.module.ports:
                port = config.listen.base_port + distance
                if port not in probed:
                    # Without SO_REUSEPORT first: another node of the same user must not share our ports.
                    listen(config.listen.address, port, shared=False).close()
                    probed.add(port)
                mine[name] = listen(config.listen.address, port, shared=True)
    except PortError:
        for sockets in bound.values():
            for sock in sockets.values():
                sock.close()
        raise
    return bound
