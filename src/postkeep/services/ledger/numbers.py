"""Checks that every source's events are all in the log: their numbers go up by one."""

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from postkeep.services.ledger.finding import Finding, FindingCode
from postkeep.services.ledger.sources import LOST_EVENTS

_RANGE: Final = re.compile(r"([0-9]{1,20})-([0-9]{1,20})\Z", re.ASCII)


class _Entry(msgspec.Struct, frozen=True):
    """What of an entry the check needs."""

    source: str
    number: int
    code: str = ""
    actor: str = ""
    note: str = ""


class NumberCheck:
    """Takes the entries in order. A gap that the ledger recorded is told apart from one that it did not."""

    def __init__(self, found: Callable[[Finding], None], lost: Callable[[Finding], None]) -> None:
        self._found = found
        self._lost = lost
        self._last: dict[str, int] = {}
        self._recorded: dict[tuple[str, int], int] = {}
        self._blind = False
        self._decode = msgspec.json.Decoder(_Entry).decode

    @property
    def count(self) -> int:
        """How many sources there are."""
        return len(self._last)

    def take(self, start: int, entries: Sequence[bytes] | None) -> None:
        """Check the entries from index `start` on; None stands for entries that could not be read."""
        if entries is None:
            self._last = dict.fromkeys(self._last, -1)
            self._blind = True
            return
        for index, data in enumerate(entries, start):
            try:
                entry = self._decode(data)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self._found(Finding(FindingCode.ENTRY_UNREADABLE, index, ""))
                continue
            last = self._last.get(entry.source, -1 if self._blind else 0)
            self._last[entry.source] = entry.number
            if entry.code == LOST_EVENTS:
                self._note_loss(index, entry)
            if entry.number != last + 1 and last >= 0:
                self._judge(index, entry, last)

    def _judge(self, index: int, entry: _Entry, last: int) -> None:
        if entry.number <= last:
            place = f"{entry.source} ({entry.number} after {last})"
            self._found(Finding(FindingCode.NUMBER_REPEATED, index, place))
        elif self._recorded.pop((entry.source, last + 1), None) != entry.number - 1:
            place = f"{entry.source} (numbers {last + 1} to {entry.number - 1})"
            self._found(Finding(FindingCode.NUMBER_GAP, index, place))

    def _note_loss(self, index: int, entry: _Entry) -> None:
        told = _RANGE.match(entry.note)
        if told:
            self._recorded[entry.actor, int(told[1])] = int(told[2])
            place = f"{entry.actor} (numbers {entry.note})"
            self._lost(Finding(FindingCode.LOST_EVENTS, index, place))
