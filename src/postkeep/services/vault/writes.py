"""Which writes are under way: bytes are on the disk before their rows are, and upkeep must not take the
bytes of a write that is still going on for orphans."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Writes:
    """The writes that are between their first byte and their transaction's end."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Future[None]] = set()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold this around a write, from before its bytes until after its rows."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.add(done)
        try:
            yield
        finally:
            self._under_way.discard(done)
            done.set_result(None)

    async def settled(self) -> None:
        """Return when every write that is under way now has ended."""
        if self._under_way:
            await asyncio.wait(list(self._under_way))
