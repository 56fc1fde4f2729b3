"""A bound on the octets of messages held in memory at once."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

OCTETS_MAX: Final = 192 * 1024 * 1024
"""Content in memory, sealed and open together; a single message may always have it all."""


class OctetBudget:
    """Hands out octets in the order asked. Use it from one event loop."""

    def __init__(self, octets: int = OCTETS_MAX) -> None:
        self._total = octets
        self._free = octets
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextlib.asynccontextmanager
    async def hold(self, octets: int) -> AsyncIterator[None]:
        """Wait until `octets` are free and hold them."""
        octets = min(octets, self._total)
        if self._waiting or octets > self._free:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((octets, future))
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self._release(octets)
                raise
        else:
            self._free -= octets
        try:
            yield
        finally:
            self._release(octets)

    def _release(self, octets: int) -> None:
        self._free += octets
        while self._waiting:
            wanted, future = self._waiting[0]
            if not future.cancelled():
                if wanted > self._free:
                    return
                self._free -= wanted
                future.set_result(None)
            self._waiting.popleft()
