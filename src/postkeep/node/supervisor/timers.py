"""Things to do later, by the monotonic clock."""

import heapq
from collections.abc import Callable


class Timers:
    """A heap of (time, action); the selector loop asks when the next is due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do `action` at `when` (seconds of the monotonic clock)."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, action))

    def next_at(self) -> float | None:
        """When the next is due."""
        return self._heap[0][0] if self._heap else None

    def run(self, now: float) -> None:
        """Do what is due."""
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()

    def clear(self) -> None:
        """Forget everything."""
        self._heap.clear()
