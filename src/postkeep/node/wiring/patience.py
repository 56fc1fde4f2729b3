"""Modules start side by side: what one needs from another at its start may answer a moment later."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from postkeep.base.errors import UnavailableError

T = TypeVar("T")

RETRY_SECONDS: Final = 0.05
"""A try costs one connect to a socket that is not there yet."""


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call until the one who answers it is there; the supervisor bounds how long a start takes."""
    while True:
        try:
            return await call()
        except UnavailableError:
            await asyncio.sleep(RETRY_SECONDS)
