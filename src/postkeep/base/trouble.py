"""How often trouble that lasts is told of: not at each try, and not at all while others are starting."""

from typing import Final

QUIET_SECONDS: Final = 10.0
"""Whoever is away for less is starting, or was started anew: nobody needs to act."""
AGAIN_SECONDS: Final = 60.0
"""After that it is told of once a minute, so that a log shows whether it goes on."""


class Trouble:
    """One spell of trouble, from its first failure on. Times are seconds of one clock that only goes up."""

    def __init__(self, began: float, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._began = began
        self._due = began + quiet_seconds

    def is_due(self, now: float) -> bool:
        """Whether it is to be told of now; then not again for a while."""
        if now < self._due:
            return False
        self._due = now + AGAIN_SECONDS
        return True

    def seconds(self, now: float) -> int:
        """Return how long it has lasted, whole seconds."""
        return round(now - self._began)
