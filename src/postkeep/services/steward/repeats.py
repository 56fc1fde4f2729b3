"""A command that is sent again because its answer was lost is not done again: it gets the same answer.

The command line names every command with a random token and sends the same token when it tries again. What a
steward that died meanwhile had begun is settled by `control` from what the directory says.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

KEPT_SECONDS: Final = 30.0
"""How long an answer is kept: several times what commands go on trying. One is a password."""

KEPT_MAX: Final = 256
"""Answers kept: more commands than people and scripts give in that time."""


class Repeats:
    """Commands under way and just done, by token. Use it from one event loop."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._known: dict[tuple[str, bytes], tuple[float, asyncio.Task[Any]]] = {}

    async def once(self, name: str, token: bytes, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do the work of a command, or join in where it is being done or has been done well."""
        if not token:
            return await work()
        self._forget_old()
        _, task = self._known.get((name, token), (0.0, None))
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.ensure_future(_run(work))
            self._known[name, token] = self._monotonic() + KEPT_SECONDS, task
        return await asyncio.shield(task)

    def _forget_old(self) -> None:
        now = self._monotonic()
        done = [key for key, (until, task) in self._known.items() if task.done() and until <= now]
        for key in done + [key for key, (_, task) in self._known.items() if task.done()][:-KEPT_MAX]:
            self._known.pop(key, None)


async def _run(work: Callable[[], Awaitable[Any]]) -> Any:
    return await work()
