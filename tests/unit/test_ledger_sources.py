"""The numbers of sources: what is admitted, what is recognised, what is remembered over a restart."""

from typing import Any

import msgspec
import pytest
from tests.ledger_sample import events

from postkeep.base.errors import ConflictError
from postkeep.model.audit import AuditEvent, EventName
from postkeep.services.ledger import sources
from postkeep.services.ledger.api import KeyState
from postkeep.services.ledger.sources import Admission, Sources
from postkeep.services.ledger.standing import HELD

NOW = 1_800_000_000_000


def admitted(known: Sources, source: str, batch: list[AuditEvent], first: int) -> Admission:
    found = known.admit(source, batch, first, NOW)
    assert isinstance(found, Admission)
    return found


def test_a_batch_is_recognised_again_only_while_it_is_the_same_and_the_last() -> None:
    known = Sources("ledger-1")
    admitted(known, "mx-1", events(5), 100)
    known.confirm()
    assert known.admit("mx-1", events(5), 200, NOW) == 100
    assert known.admit("mx-1", events(2, first=4), 200, NOW) == 103
    other = [*events(4), msgspec.structs.replace(events(1, first=5)[0], note="another")]
    with pytest.raises(ConflictError):
        known.admit("mx-1", other, 200, NOW)
    admitted(known, "mx-1", events(1, first=6), 300)
    known.confirm()
    with pytest.raises(ConflictError):
        known.admit("mx-1", events(5), 400, NOW)


def test_what_could_not_be_written_is_forgotten() -> None:
    known = Sources("ledger-1")
    admitted(known, "mx-1", events(5), 0)
    known.withdraw()
    again = admitted(known, "mx-1", events(5), 0)
    assert len(again.entries) == 5
    assert again.preface == 0


def test_the_state_is_the_same_after_saving_and_after_reading_the_entries_again() -> None:
    known = Sources("ledger-1")
    entries: list[bytes] = []
    for source, batch in (
        ("a", events(3)),
        ("b", events(2)),
        ("a", events(2, first=6)),
        ("b", events(1, first=3)),
    ):
        entries += admitted(known, source, batch, len(entries)).entries
        known.confirm()
    replayed = Sources("ledger-2")
    replayed.replay(0, entries)
    loaded = Sources("ledger-2")
    assert loaded.load(known.save(len(entries)), len(entries)) == len(entries)
    for other in (known, replayed, loaded):
        assert other.admit("a", events(2, first=6), 50, NOW) == entries_index(entries, "a", 6)
        assert other.admit("b", events(1, first=3), 50, NOW) == entries_index(entries, "b", 3)


def entries_index(entries: list[bytes], source: str, number: int) -> int:
    told = [msgspec.json.decode(entry, type=AuditEvent) for entry in entries]
    return next(i for i, event in enumerate(told) if (event.source, event.number) == (source, number))


@pytest.mark.parametrize(
    "saved", [b"", b"{", b'{"size":-1,"sources":{}}', b'{"size":99,"sources":{}}', b"[]"]
)
def test_a_saved_state_that_is_of_no_use_is_not_used(saved: bytes) -> None:
    assert Sources("ledger-1").load(saved, 10) == 0


def test_sources_that_have_been_silent_longest_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SOURCES_MAX", 2)
    known = Sources("ledger-1")
    for place, (source, first) in enumerate([("a", 1), ("b", 1), ("a", 2), ("c", 1)]):
        admitted(known, source, events(1, first=first), place)
        known.confirm()
    assert admitted(known, "a", events(1, first=3), 10).preface == 0
    assert admitted(known, "b", events(1, first=2), 11).preface == 1


def told(event: EventName, number: int, **fields: Any) -> AuditEvent:
    return AuditEvent(event, NOW, "", number, **fields)


def test_what_kms_must_know_at_its_start_is_taken_from_those_who_may_say_it_and_outlives_a_restart() -> None:
    """K6: dual control, and a restored key store that waits, by the last word of authority and kms."""
    known = Sources("ledger-1")
    entries: list[bytes] = []

    def say(source: str, *batch: AuditEvent) -> KeyState:
        entries.extend(admitted(known, source, list(batch), len(entries)).entries)
        known.confirm()
        return known.standing

    say("authority-0.a", told(EventName.DUAL_CONTROL, 1, note="on"))
    say("mx-0.a", told(EventName.DUAL_CONTROL, 1, note="off"), told(EventName.KEY_CREATE, 2, state=99))
    held = say("kms-0.a", told(EventName.KEY_ACCEPT, 1, state=7, digest="ab", code=HELD))
    assert held == KeyState(state=7, index=3, dual_control=True, restored="ab", held=True)
    say("imap-0.a", told(EventName.KEY_ACCEPT, 1, digest="ab"))
    assert known.standing == held
    now = say("kms-0.b", told(EventName.KEY_ACCEPT, 1, state=8, digest="ab"))
    assert now == KeyState(state=8, index=5, dual_control=True, restored="ab")
    replayed, loaded = Sources("ledger-2"), Sources("ledger-2")
    replayed.replay(0, entries)
    assert loaded.load(known.save(len(entries)), len(entries)) == len(entries)
    assert replayed.standing == loaded.standing == now
    assert not say("authority-0.b", told(EventName.DUAL_CONTROL, 1, note="off")).dual_control
    before = b'{"size":1,"sources":{},"key_state":[7,3]}'  # as an earlier release has saved it
    assert Sources("ledger-3").load(before, 10) == 0
