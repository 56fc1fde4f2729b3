"""Checks that every source's events are all in the log, and tells which sources fell silent.

A source's numbers go up by one. A module that lives says so with a heartbeat, and one that stops in order
says farewell: whoever stops without it and is not heard of again has died, or was kept from speaking.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from postkeep.model.audit import EventName
from postkeep.services.ledger.finding import Finding, FindingCode
from postkeep.services.ledger.reading import ReadEntry
from postkeep.services.ledger.sources import LOST_EVENTS
from postkeep.services.ledger.trail import FAREWELL

SILENT_MS: Final = 180_000  # milliseconds without a word before the log's end: three heartbeats missed
_RANGE: Final = re.compile(r"([0-9]{1,20})-([0-9]{1,20})\Z", re.ASCII)


@dataclass(slots=True)
class _Heard:
    """The last that was heard of a source."""

    number: int
    time_ms: int = 0
    beats: bool = False
    left: bool = False
    index: int = -1


class NumberCheck:
    """Takes the entries in order. A gap that the ledger recorded is told apart from one that it did not."""

    def __init__(self, found: Callable[[Finding], None], lost: Callable[[Finding], None]) -> None:
        self._found = found
        self._lost = lost
        self._heard: dict[str, _Heard] = {}
        self._recorded: dict[tuple[str, int], int] = {}
        self._blind = False
        self._end_ms = 0

    @property
    def count(self) -> int:
        """How many sources there are."""
        return len(self._heard)

    def take(self, start: int, entries: Sequence[ReadEntry | None] | None) -> None:
        """Check the entries from index `start` on; None stands for entries that could not be read."""
        if entries is None:
            for heard in self._heard.values():
                heard.number = -1
            self._blind = True
            return
        for index, entry in enumerate(entries, start):
            if entry is None:
                self._found(Finding(FindingCode.ENTRY_UNREADABLE, index, ""))
                continue
            if entry.source not in self._heard:
                self._heard[entry.source] = _Heard(-1 if self._blind else 0)
            heard = self._heard[entry.source]
            last, heard.number, heard.index = heard.number, entry.number, index
            heard.time_ms = entry.time_ms
            self._end_ms = max(self._end_ms, entry.time_ms)
            if entry.event == EventName.HEARTBEAT:
                heard.beats, heard.left = True, entry.code == FAREWELL
            if entry.code == LOST_EVENTS:
                self._note_loss(index, entry)
            if entry.number != last + 1 and last >= 0:
                self._judge(index, entry, last)

    def silent(self) -> list[Finding]:
        """List sources that told of their life, and then stopped without a farewell, the latest first."""
        gone = [
            (heard.time_ms, Finding(FindingCode.SILENT, heard.index, source))
            for source, heard in self._heard.items()
            if heard.beats and not heard.left and heard.time_ms < self._end_ms - SILENT_MS
        ]
        return [finding for _, finding in sorted(gone, key=lambda item: item[0], reverse=True)]

    def _judge(self, index: int, entry: ReadEntry, last: int) -> None:
        if entry.number <= last:
            place = f"{entry.source} ({entry.number} after {last})"
            self._found(Finding(FindingCode.NUMBER_REPEATED, index, place))
        elif self._recorded.pop((entry.source, last + 1), None) != entry.number - 1:
            place = f"{entry.source} (numbers {last + 1} to {entry.number - 1})"
            self._found(Finding(FindingCode.NUMBER_GAP, index, place))

    def _note_loss(self, index: int, entry: ReadEntry) -> None:
        told = _RANGE.match(entry.note)
        if told:
            self._recorded[entry.actor, int(told[1])] = int(told[2])
            place = f"{entry.actor} (numbers {entry.note})"
            self._lost(Finding(FindingCode.LOST_EVENTS, index, place))
