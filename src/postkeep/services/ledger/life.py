"""Which sources live: what the end of a ledger's files says of each, read without asking the ledger.

A source is one process of a module. It says `heartbeat` as long as it lives, and `farewell` when it stops in
order: whoever does neither was killed, hangs, or is kept from speaking.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from postkeep.model.audit import EventName
from postkeep.services.ledger.reading import read_entry
from postkeep.services.ledger.trail import FAREWELL
from postkeep.stores.ledger_log import LOG, SEGMENTS
from postkeep.stores.ledger_segments import scan_segments
from postkeep.stores.ledger_tiles import ENTRIES, TILE_WIDTH, TileFiles

MISSED_MAX: Final = 3  # heartbeats that may be missing before a source counts as silent
DAY_MS: Final = 86_400_000  # milliseconds before the log's end that are looked at
ENTRIES_MAX: Final = 262_144  # entries that are looked at, at most: a second of work
_ATTEMPTS: Final = 3  # a running ledger removes segments whose entries have gone into bundles

LIVES, LEFT, SILENT = "lives", "left", "silent"


class Heard(msgspec.Struct, frozen=True):
    """The last that was heard of a source."""

    source: str
    state: str
    """LIVES, LEFT (said farewell) or SILENT."""
    index: int
    """Its last entry."""
    time_ms: int
    successor: str = ""
    """The process that has taken its place since, where one has."""


def heard(directory: Path, since_ms: int) -> list[Heard]:
    """List the sources that told of their life in the last day of a ledger, in the order of their names.

    `since_ms`: the moment since when a source must have spoken to count as living.
    """
    return judge(_recent(directory), since_ms)


def judge(entries: Iterable[tuple[int, bytes]], since_ms: int) -> list[Heard]:
    """Judge the sources of entries, given in their order with their indexes."""
    last: dict[str, tuple[int, int, bool]] = {}
    beats: dict[str, int] = {}  # by source: its first heartbeat
    for index, data in entries:
        entry = read_entry(data)
        if entry is None:
            continue
        if entry.event == EventName.HEARTBEAT:
            beats.setdefault(entry.source, index)
        last[entry.source] = index, entry.time_ms, entry.code == FAREWELL
    newest = {slot_of(source): source for source in sorted(beats, key=beats.__getitem__)}
    told = []
    for source in sorted(beats):
        index, time_ms, left = last[source]
        successor = "" if newest[slot_of(source)] == source else newest[slot_of(source)]
        state = LEFT if left else SILENT if successor or time_ms < since_ms else LIVES
        told.append(Heard(source, state, index, time_ms, successor))
    return told


def slot_of(source: str) -> str:
    """Return the place that a process had, as `imap-0` of `imap-0.3f9a`."""
    return source.partition(".")[0]


def _recent(directory: Path) -> list[tuple[int, bytes]]:
    """Read the entries of the last day, or ENTRIES_MAX of them."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            front = [(part.start, part.entries) for part in scan_segments(directory / SEGMENTS)]
            break
        except FileNotFoundError:
            if attempt == _ATTEMPTS:
                raise
    tiles = TileFiles(directory / LOG)
    parts = list(front)
    begin = front[0][0] if front else 0
    count = sum(len(entries) for _, entries in front)
    end_ms = max((_time(entries) for _, entries in front), default=0)
    while begin > 0 and count < ENTRIES_MAX:
        number = (begin - 1) // TILE_WIDTH
        if not tiles.has(ENTRIES, number):
            break
        entries = tiles.bundle(number)[: begin - number * TILE_WIDTH]
        parts.insert(0, (number * TILE_WIDTH, entries))
        begin, count = number * TILE_WIDTH, count + len(entries)
        end_ms = end_ms or _time(entries)
        if _time(entries) < end_ms - DAY_MS:
            break
    return [(start + place, entry) for start, entries in parts for place, entry in enumerate(entries)]


def _time(entries: list[bytes]) -> int:
    """Return the time of the last entry, milliseconds; 0 where there is none."""
    entry = read_entry(entries[-1]) if entries else None
    return 0 if entry is None else entry.time_ms
