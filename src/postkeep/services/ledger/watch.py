"""The ledger's own watch over its sources: who stops speaking without a farewell is told of in the ledger.

A process that was killed is told of as soon as another speaks in its place; one that hangs, or that is kept
from speaking, after three heartbeats that did not come. It is told once, until it is heard again.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from postkeep.model.audit import AuditEvent, EventName
from postkeep.services.ledger.life import MISSED_MAX, SILENT, slot_of
from postkeep.services.ledger.trail import FAREWELL


@dataclass(frozen=True, slots=True)
class _Known:
    source: str
    heard: float
    told: bool = False


class LifeWatch:
    """What was heard of each place lately. Use it from one event loop; a new ledger process begins anew."""

    def __init__(self, heartbeat_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_seconds = MISSED_MAX * heartbeat_seconds
        self._clock = clock
        self._places: dict[str, _Known] = {}
        self._replaced: list[tuple[str, str]] = []

    def hear(self, source: str, events: Sequence[AuditEvent]) -> None:
        """Learn of a batch that a source has written. Who never says `heartbeat` is not watched."""
        place = slot_of(source)
        known = self._places.get(place)
        if events[-1].code == FAREWELL:
            if known is not None and known.source == source:
                del self._places[place]
        elif known is not None and known.source == source:
            self._places[place] = _Known(source, self._clock())
        elif any(event.event is EventName.HEARTBEAT for event in events):
            if known is not None:
                self._replaced.append((known.source, source))
            self._places[place] = _Known(source, self._clock())

    @property
    def silent_count(self) -> int:
        """How many places are silent now."""
        return sum(known.told for known in self._places.values())

    def news(self) -> list[AuditEvent]:
        """Return the events that tell of sources which have fallen silent since the last call."""
        told = [_event(old, new) for old, new in self._replaced]
        self._replaced.clear()
        limit = self._clock() - self._limit_seconds
        for place, known in self._places.items():
            if known.heard < limit and not known.told:
                self._places[place] = replace(known, told=True)
                told.append(_event(known.source, ""))
        return told


def _event(source: str, successor: str) -> AuditEvent:
    """Tell of a source: `actor` is the source, `note` who has taken its place."""
    return AuditEvent(EventName.NODE, 0, "", 0, code=SILENT, actor=source, note=successor)
