"""The metrics page: one small HTTP answer on the loopback interface, gathered from all processes."""

import selectors
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from postkeep.node import metrics

REQUEST_BYTES_MAX: Final = 4096
CONNECTIONS_MAX: Final = 8
"""One scraper, and a person with a browser."""
ANSWER_SECONDS_MAX: Final = 1.0
"""A process that does not answer by then is left out."""


@dataclass(slots=True)
class _Visit:
    sock: socket.socket
    deadline: float
    request: bytes = b""
    number: int = 0
    awaited: set[str] = field(default_factory=set)
    pages: dict[str, bytes] = field(default_factory=dict)


class MetricsPage:
    """Serves `/metrics` from the supervisor's selector loop."""

    def __init__(
        self,
        listener: socket.socket,
        selector: selectors.BaseSelector,
        ask: Callable[[int], Iterable[str]],
    ) -> None:
        self._listener = listener
        self._selector = selector
        self._ask = ask
        """Asks every process for its page and returns the instances that were asked."""
        self._visits: dict[socket.socket, _Visit] = {}
        self._numbers = 0
        selector.register(listener, selectors.EVENT_READ, self.accept)

    def accept(self, now: float) -> None:
        """Take a connection."""
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        if len(self._visits) >= CONNECTIONS_MAX:
            sock.close()
            return
        sock.setblocking(False)
        self._visits[sock] = _Visit(sock, now + ANSWER_SECONDS_MAX)
        self._selector.register(sock, selectors.EVENT_READ, lambda at: self._read(sock, at))

    def answer(self, number: int, instance: str, page: bytes) -> None:
        """Take a process's page."""
        for visit in list(self._visits.values()):
            if visit.number == number and instance in visit.awaited:
                visit.awaited.discard(instance)
                visit.pages[instance] = page
                if not visit.awaited:
                    self._finish(visit)

    def tick(self, now: float) -> None:
        """Answer with what is there where time is up."""
        for visit in [visit for visit in self._visits.values() if visit.deadline <= now]:
            self._finish(visit)

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        return min((visit.deadline for visit in self._visits.values()), default=None)

    def close(self) -> None:
        """Stop serving."""
        self._selector.unregister(self._listener)
        self._listener.close()
        for visit in list(self._visits.values()):
            self._drop(visit)

    def _read(self, sock: socket.socket, now: float) -> None:
        visit = self._visits[sock]
        try:
            data = sock.recv(REQUEST_BYTES_MAX)
        except OSError:
            data = b""
        visit.request += data
        if not data or len(visit.request) > REQUEST_BYTES_MAX:
            self._drop(visit)
        elif b"\r\n\r\n" in visit.request and not visit.number:
            if not visit.request.startswith(b"GET /metrics "):
                self._send(visit, b"404 Not Found", b"See /metrics.\n")
                return
            self._numbers += 1
            visit.number = self._numbers
            visit.deadline = now + ANSWER_SECONDS_MAX
            visit.awaited = set(self._ask(visit.number))

    def _finish(self, visit: _Visit) -> None:
        if visit.number:
            self._send(visit, b"200 OK", metrics.merge(dict(sorted(visit.pages.items()))))
        else:
            self._drop(visit)

    def _send(self, visit: _Visit, status: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (
            status,
            metrics.CONTENT_TYPE.encode(),
            len(body),
        )
        try:
            visit.sock.settimeout(ANSWER_SECONDS_MAX)
            visit.sock.sendall(head + body)
        except OSError:
            pass  # the reader went away
        self._drop(visit)

    def _drop(self, visit: _Visit) -> None:
        self._selector.unregister(visit.sock)
        visit.sock.close()
        del self._visits[visit.sock]
