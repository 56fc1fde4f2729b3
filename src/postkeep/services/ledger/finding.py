"""What a verification can find wrong with a log, in plain words."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FindingCode(StrEnum):
    """The kinds of faults; stable words for programs."""

    NO_CHECKPOINT = "no_checkpoint"
    BAD_CHECKPOINT = "bad_checkpoint"
    FORKED = "forked"
    REWRITTEN = "rewritten"
    ENTRIES_MISSING = "entries_missing"
    ENTRY_ALTERED = "entry_altered"
    ENTRY_REMOVED = "entry_removed"
    ENTRY_INSERTED = "entry_inserted"
    ENTRIES_SWAPPED = "entries_swapped"
    ENTRY_UNREADABLE = "entry_unreadable"
    TILE_ALTERED = "tile_altered"
    FILE_MISSING = "file_missing"
    FILE_DAMAGED = "file_damaged"
    NUMBER_GAP = "number_gap"
    NUMBER_REPEATED = "number_repeated"
    LOST_EVENTS = "lost_events"
    BAD_ANCHOR = "bad_anchor"
    NOT_ANCHORED = "not_anchored"
    SILENT = "silent"
    GIVEN_UP = "given_up"


TEXTS: Final = {
    FindingCode.NO_CHECKPOINT: "There is no checkpoint, so nobody vouches for the log.",
    FindingCode.BAD_CHECKPOINT: "The checkpoint ({place}) can not be believed.",
    FindingCode.FORKED: "The history is forked: two signed checkpoints contradict each other ({place}).",
    FindingCode.REWRITTEN: "History was rewritten: {place} differ from what was signed.",
    FindingCode.ENTRIES_MISSING: "Entries are missing from {index} on: {place}.",
    FindingCode.ENTRY_ALTERED: "Entry {index} was altered ({place}).",
    FindingCode.ENTRY_REMOVED: "Entry {index} was removed ({place}).",
    FindingCode.ENTRY_INSERTED: "An entry was inserted at {index} ({place}).",
    FindingCode.ENTRIES_SWAPPED: "Entry {index} was swapped with another ({place}).",
    FindingCode.ENTRY_UNREADABLE: "Entry {index} is not an event.",
    FindingCode.TILE_ALTERED: "The hashes in {place} were altered, from the one over entry {index} on.",
    FindingCode.FILE_MISSING: "{place} is missing.",
    FindingCode.FILE_DAMAGED: "{place}.",
    FindingCode.NUMBER_GAP: "Events of {place} are missing before entry {index}.",
    FindingCode.NUMBER_REPEATED: "Entry {index} repeats a number of {place}.",
    FindingCode.LOST_EVENTS: "Entry {index} records that events of {place} were lost before they got here.",
    FindingCode.BAD_ANCHOR: "Entry {index} anchors another history of {place} than the entries before it.",
    FindingCode.NOT_ANCHORED: "No anchor of the installation's log is over the {place} entries of this one.",
    FindingCode.GIVEN_UP: "Entry {index} gives up a signed head of {place}: the ledger was restored.",
    FindingCode.SILENT: "{place} stopped without a farewell: entry {index} is the last that was heard of it.",
}


_FILES: Final = (FindingCode.FILE_MISSING, FindingCode.FILE_DAMAGED)


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault and its place."""

    code: FindingCode
    index: int | None
    """The entry, or the first of those concerned; None where it is about no entry."""
    place: str
    detail: str = ""

    def __str__(self) -> str:
        text = TEXTS[self.code].format(index=self.index, place=self.place)
        if self.code in _FILES and self.index is not None:
            text = f"{text} It concerns entries from {self.index} on."
        return f"{text} {self.detail}".rstrip()
