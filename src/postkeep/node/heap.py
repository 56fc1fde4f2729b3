"""Giving memory back after a rush: what a thousand handshakes at once took lies free, but in pieces, and the
C library keeps it; and objects that know each other wait for a collection that is far away.

Both cost a pause in proportion to what lives, so it is done once, in the first quiet time after a busy one.
"""

import asyncio
import ctypes
import gc
import time
from typing import Final

LOOK_SECONDS: Final = 15.0
"""How often a process looks at what it has used."""
BUSY_SHARE: Final = 0.05
"""Of one core, between two looks: there has been work that may have left something behind."""
QUIET_SHARE: Final = 0.02
"""Less than this: a pause is noticed by hardly anybody."""

_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU library has it


class Lull:
    """Says when it is the time. Pure."""

    def __init__(self) -> None:
        self._was_busy = False

    def comes(self, share: float) -> bool:
        """Take in what was used of a core since the last look; whether a busy time has just ended."""
        if share >= BUSY_SHARE:
            self._was_busy = True
        elif share < QUIET_SHARE and self._was_busy:
            self._was_busy = False
            return True
        return False


def give_back() -> None:
    """Free what only knows itself, and return free memory to the system."""
    gc.collect()
    if _malloc_trim is not None:
        _malloc_trim(0)


async def keep_lean() -> None:
    """Give memory back whenever a busy time has ended, until cancelled."""
    lull, used, looked = Lull(), time.process_time(), time.monotonic()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        used_now, now = time.process_time(), time.monotonic()
        share, used, looked = (used_now - used) / (now - looked), used_now, now
        if lull.comes(share):
            give_back()
