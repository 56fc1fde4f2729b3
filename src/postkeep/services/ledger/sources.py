"""The numbers of each source of events: up by one, so that a lost event is seen.

A source is a module instance, named by its channel and never by itself. Numbers that were skipped are told
by an event of the ledger's own, put before the batch that skips them. A batch that was written already,
and whose answer was lost on its way, is recognised and not written twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import msgspec

from postkeep.base.errors import ConflictError, InvalidInputError
from postkeep.model.audit import AuditEvent, EventName
from postkeep.services.ledger.api import KeyState
from postkeep.services.ledger.standing import Told, after
from postkeep.stores.ledger_tiles import ENTRY_BYTES_MAX

SOURCES_MAX: Final = 4_096  # module instances remembered; each start of a process is a new one
LOST_EVENTS: Final = "lost_events"
"""The code of the event that tells of a gap."""

encoder: Final = msgspec.json.Encoder()
told_decoder: Final = msgspec.json.Decoder(Told)


class Source(msgspec.Struct, frozen=True, array_like=True):
    """The end of what one source has written."""

    number: int = 0
    """Its last event's."""
    index: int = -1
    """Where that event stands."""
    run: int = 0
    """How many of its events stand in a row up to there."""
    digest: bytes = b""
    """SHA-256 of that event as written."""


class _Snapshot(msgspec.Struct, frozen=True):
    size: int
    sources: dict[str, Source]
    standing: KeyState


@dataclass(frozen=True, slots=True)
class Admission:
    """A batch that may be written: its entries, those that tell of gaps before it included."""

    entries: list[bytes]
    preface: int
    """How many of the entries are the ledger's own and stand before the batch."""


class Sources:
    """What the ledger knows of its sources. Proposals are taken back when they could not be written."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._known: dict[str, Source] = {}
        self._proposed: dict[str, Source] = {}
        self.standing = KeyState()
        """What kms has to know at its start."""
        self._proposed_standing = self.standing

    def admit(self, source: str, events: Sequence[AuditEvent], first: int, now_ms: int) -> Admission | int:
        """Judge a batch that would stand from index `first` on.

        Returns what to write, or where the batch stands already. Raises ConflictError for numbers that have
        been used for something else, and InvalidInputError for what is no batch.
        """
        state = self._find(source)
        if not events:
            raise InvalidInputError("an empty batch")
        if events[0].number <= state.number:
            if events[-1].number == state.number and len(events) <= state.run:
                repeated = encoder.encode(msgspec.structs.replace(events[-1], source=source))
                if sha256(repeated).digest() == state.digest:
                    return state.index - len(events) + 1
            raise ConflictError("the numbers of the batch have been used", code="conflict.number")
        entries, gaps = _encode(source, events, state.number + 1)
        preface = [self._tell_gap(source, gap, first + place, now_ms) for place, gap in enumerate(gaps)]
        last = first + len(preface) + len(entries) - 1
        self._proposed[source] = Source(events[-1].number, last, len(entries), sha256(entries[-1]).digest())
        for index, event in enumerate(events, last - len(events) + 1):
            self._proposed_standing = after(self._proposed_standing, source, event, index)
        return Admission(preface + entries, len(preface))

    def own_event(self, event: AuditEvent, index: int) -> bytes:
        """Give an event of the ledger's own, that would stand at `index`, its number and its bytes."""
        state = self._find(self._own)
        run = state.run + 1 if state.index == index - 1 else 1
        entry = encoder.encode(msgspec.structs.replace(event, source=self._own, number=state.number + 1))
        self._proposed[self._own] = Source(state.number + 1, index, run, sha256(entry).digest())
        return entry

    def confirm(self) -> None:
        """Learn that what was admitted since the last call stands in the log."""
        for source, state in self._proposed.items():
            self._known.pop(source, None)
            self._known[source] = state
        self._proposed.clear()
        self.standing = self._proposed_standing
        while len(self._known) > SOURCES_MAX:
            del self._known[next(iter(self._known))]

    def withdraw(self) -> None:
        """Forget what was admitted since the last call: it could not be written."""
        self._proposed.clear()
        self._proposed_standing = self.standing

    def replay(self, start: int, entries: Iterable[bytes]) -> None:
        """Learn from entries that stand in the log from `start` on."""
        for index, entry in enumerate(entries, start):
            told = told_decoder.decode(entry)
            state = self._known.pop(told.source, Source())
            run = state.run + 1 if state.index == index - 1 else 1
            self._known[told.source] = Source(told.number, index, run, sha256(entry).digest())
            self.standing = self._proposed_standing = after(self.standing, told.source, told, index)

    def save(self, size: int) -> bytes:
        """Encode what is known at a size of the log."""
        return encoder.encode(_Snapshot(size, self._known, self.standing))

    def load(self, saved: bytes, size_max: int) -> int:
        """Take what `save` made; return the size it holds for, 0 where it is of no use."""
        try:
            snapshot = msgspec.json.decode(saved, type=_Snapshot)
        except msgspec.DecodeError:
            return 0
        if not 0 <= snapshot.size <= size_max:
            return 0
        self._known = snapshot.sources
        self.standing = self._proposed_standing = snapshot.standing
        return snapshot.size

    def _find(self, source: str) -> Source:
        return self._proposed.get(source) or self._known.get(source) or Source()

    def _tell_gap(self, source: str, gap: tuple[int, int], index: int, now_ms: int) -> bytes:
        first, last = gap
        event = AuditEvent(
            EventName.NODE,
            now_ms,
            "",
            0,
            code=LOST_EVENTS,
            actor=source,
            count=last - first + 1,
            note=f"{first}-{last}",
        )
        return self.own_event(event, index)


def _encode(
    source: str, events: Sequence[AuditEvent], expected: int
) -> tuple[list[bytes], list[tuple[int, int]]]:
    entries = []
    gaps = []
    encode = encoder.encode
    for event in events:
        if event.number != expected:
            if event.number < expected:
                raise InvalidInputError("the numbers of a batch go up")
            gaps.append((expected, event.number - 1))
        expected = event.number + 1
        if event.source != source:
            event = msgspec.structs.replace(event, source=source)  # noqa: PLW2901 - the name is not the caller's to give
        entry = encode(event)
        if len(entry) > ENTRY_BYTES_MAX:
            raise InvalidInputError("an event is too long")
        entries.append(entry)
    return entries, gaps
