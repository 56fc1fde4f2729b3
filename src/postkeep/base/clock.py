"""The clock, as a value that tests can replace. Times are integers: seconds or milliseconds since 1970."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a component gets the time from."""

    def now_seconds(self) -> int:
        """Return whole seconds since the epoch."""

    def now_ms(self) -> int:
        """Return milliseconds since the epoch."""


class SystemClock:
    """The machine's clock."""

    def now_seconds(self) -> int:
        """Return whole seconds since the epoch."""
        return int(time.time())

    def now_ms(self) -> int:
        """Return milliseconds since the epoch."""
        return int(time.time() * 1000)


class FixedClock:
    """A clock for tests: it stands still until it is moved."""

    def __init__(self, seconds: float = 1_800_000_000) -> None:
        self.seconds = float(seconds)

    def now_seconds(self) -> int:
        """Return whole seconds since the epoch."""
        return int(self.seconds)

    def now_ms(self) -> int:
        """Return milliseconds since the epoch."""
        return int(self.seconds * 1000)

    def advance(self, seconds: float) -> None:
        """Move the clock forward (or back, with a negative number)."""
        self.seconds += seconds
