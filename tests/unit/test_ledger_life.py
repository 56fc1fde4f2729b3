"""Who speaks no more is told of in the ledger, and listed: a killed module's silence shows (A6)."""

import asyncio
from pathlib import Path

import msgspec
from tests.ledger_sample import events

from postkeep.base.clock import FixedClock
from postkeep.model.audit import AuditEvent, EventName
from postkeep.services.ledger.journal import Journal
from postkeep.services.ledger.life import _recent, heard, judge
from postkeep.services.ledger.trail import FAREWELL
from postkeep.services.ledger.watch import LifeWatch
from postkeep.stores.ledger_log import LedgerLog


def beat(source: str, number: int = 1, *, time_ms: int = 0, code: str = "") -> AuditEvent:
    return AuditEvent(EventName.HEARTBEAT, time_ms, source, number, code=code)


def told(watch: LifeWatch) -> list[tuple[str, str]]:
    return [(event.actor, event.note) for event in watch.news()]


def test_a_source_that_misses_three_heartbeats_is_told_of_once_and_again_after_it_was_heard() -> None:
    now = 0.0
    watch = LifeWatch(60.0, lambda: now)
    watch.hear("imap-0.aa", [beat("imap-0.aa")])
    watch.hear("cli-1.bb", events(3))
    now = 179.0
    assert told(watch) == []
    now = 181.0
    assert told(watch) == [("imap-0.aa", "")]
    assert watch.silent_count == 1
    assert told(watch) == []
    watch.hear("imap-0.aa", events(1))
    assert watch.silent_count == 0
    now = 400.0
    assert told(watch) == [("imap-0.aa", "")]


def test_a_source_that_was_replaced_without_a_farewell_is_told_of_at_once() -> None:
    watch = LifeWatch(60.0, lambda: 0.0)
    watch.hear("kms-0.aa", [beat("kms-0.aa")])
    watch.hear("kms-0.bb", [beat("kms-0.bb")])
    assert told(watch) == [("kms-0.aa", "kms-0.bb")]
    watch.hear("kms-0.bb", [beat("kms-0.bb", code=FAREWELL)])
    watch.hear("kms-0.cc", [beat("kms-0.cc")])
    assert told(watch) == []


def test_sources_are_judged_by_their_last_word() -> None:
    said = [
        beat("imap-0.aa", time_ms=1_000),
        beat("imap-1.aa", time_ms=1_000),
        beat("kms-0.aa", time_ms=1_000),
        beat("kms-0.aa", 2, time_ms=2_000, code=FAREWELL),
        beat("mx-0.aa", time_ms=9_000),
        beat("mx-0.bb", time_ms=9_001),
        beat("imap-0.bb", time_ms=9_000),
        beat("ledger-0.aa", time_ms=9_500),
        AuditEvent(EventName.READ, 9_600, "cli-0.aa", 1),
    ]
    entries = [(index, msgspec.json.encode(event)) for index, event in enumerate(said)]
    found = {one.source: (one.state, one.index, one.successor) for one in judge(entries, since_ms=8_000)}
    assert found == {
        "imap-0.aa": ("silent", 0, "imap-0.bb"),
        "imap-0.bb": ("lives", 6, ""),
        "imap-1.aa": ("silent", 1, ""),
        "kms-0.aa": ("left", 3, ""),
        "ledger-0.aa": ("lives", 7, ""),
        "mx-0.aa": ("silent", 4, "mx-0.bb"),
        "mx-0.bb": ("lives", 5, ""),
    }


def test_the_last_day_is_read_from_segments_and_bundles_and_what_is_older_is_not(tmp_path: Path) -> None:
    day_ms = 86_400_000

    async def scenario() -> None:
        log = LedgerLog(tmp_path)
        journal = Journal(log, "ledger-0.zz", FixedClock())
        await journal.open()
        old = [beat("mx-0.aa", number, time_ms=1_000) for number in range(1, 601)]
        await journal.append("mx-0.aa", old)
        later = [beat("imap-0.aa", number, time_ms=3 * day_ms) for number in range(1, 401)]
        await journal.append("imap-0.aa", later)
        await journal.close()

    asyncio.run(scenario())
    assert [one.source for one in heard(tmp_path, 2 * day_ms)] == ["imap-0.aa", "mx-0.aa"], (
        "one piece holds all"
    )
    log = LedgerLog(tmp_path)
    log.open()
    while log.derive():
        pass
    log.close()
    for segment in (tmp_path / "segments").iterdir():
        segment.rename(segment.with_suffix(".kept"))
    (tmp_path / "segments" / f"{768:020d}.segment").touch()
    assert _recent(tmp_path)[0][0] == 256, "the bundle before is of days ago"
    (one,) = [one for one in heard(tmp_path, 2 * day_ms) if one.source == "imap-0.aa"]
    assert (one.state, one.index) == ("lives", 767)
