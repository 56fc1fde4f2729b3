"""One timer for all connections of a process: their deadlines are looked at once a second.

A connection moves its `deadline` by assigning a number, as often as it likes and in both directions, which
costs nothing. Looking at 10,000 of them takes about half a millisecond; a timer per command costs more.
"""

import asyncio
from typing import Final, Protocol

TICK_SECONDS: Final = 1.0
"""How late a passed deadline may be noticed."""

NEVER: Final = float("inf")


class Timed(Protocol):
    """Something that ends when it takes too long."""

    deadline: float
    """On the loop's clock; NEVER: not at the moment."""

    def expire(self) -> None:
        """End it, or move the deadline: it has passed."""


class Timers:
    """The deadlines of many connections. Use it from one event loop."""

    def __init__(self, *, tick_seconds: float = TICK_SECONDS) -> None:
        self._tick_seconds = tick_seconds
        self._watched: set[Timed] = set()
        self._tick: asyncio.TimerHandle | None = None

    def watch(self, timed: Timed) -> None:
        """Begin to watch."""
        self._watched.add(timed)
        if self._tick is None:
            self._tick = asyncio.get_running_loop().call_later(self._tick_seconds, self._look)

    def forget(self, timed: Timed) -> None:
        """Watch no longer."""
        self._watched.discard(timed)

    def close(self) -> None:
        """Stop."""
        self._watched.clear()
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for timed in [timed for timed in self._watched if timed.deadline <= now]:
            timed.expire()
        self._tick = loop.call_later(self._tick_seconds, self._look) if self._watched else None
