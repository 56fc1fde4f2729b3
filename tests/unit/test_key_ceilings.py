"""Ceilings of unwrapping: the decision is pure, stops outlive a restart, and a full synchronisation
passes."""

import asyncio
from typing import Any, cast

import pytest

from postkeep.base.clock import FixedClock
from postkeep.base.errors import NotFoundError, RefusedError
from postkeep.model.audit import EventName
from postkeep.services.kms.ceilings import (
    MODULE,
    PERSON,
    Bucket,
    CeilingLimits,
    Ceilings,
    Thresholds,
    Verdict,
    pour,
)
from postkeep.services.ledger.trail import Trail
from postkeep.stores.kms_ceilings import KmsCeilingRows, StopRow

LIMITS = Thresholds(100, 400)
HOUR_MS = 3_600_000


class Rows:
    """A table in memory, which outlives the ceilings made over it."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], StopRow] = {}

    async def all(self, now_ms: int) -> list[StopRow]:
        return [row for row in self.kept.values() if row.until_ms > now_ms]

    async def add(self, row: StopRow) -> None:
        self.kept[row.kind, row.subject] = row

    async def remove(self, kind: str, subject: str) -> bool:
        return self.kept.pop((kind, subject), None) is not None


class Events:
    """What the ledger was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, event: EventName, **fields: Any) -> None:
        assert event is EventName.KEY_CEILING
        self.notes.append(fields["note"])

    async def record(self, event: EventName, **fields: Any) -> int:
        self.note(event, **fields)
        return 0


def ceilings(rows: Rows, events: Events, clock: FixedClock) -> Ceilings:
    limits = CeilingLimits(LIMITS, Thresholds(1000, 4000))
    return Ceilings(limits, cast("KmsCeilingRows", rows), cast("Trail", events), clock)


@pytest.mark.parametrize(
    ("level", "count", "verdict", "after"),
    [
        (0, 100, Verdict.OK, 100),
        (0, 101, Verdict.ALARM, 101),
        (101, 1, Verdict.OK, 102),
        (0, 400, Verdict.ALARM, 400),
        (0, 401, Verdict.STOP, 0),
        (399, 2, Verdict.STOP, 399),
    ],
)
def test_a_pour_is_judged_by_where_it_ends(level: int, count: int, verdict: Verdict, after: int) -> None:
    assert pour(Bucket(level, 0), LIMITS, count, 0) == (verdict, Bucket(after, 0))


def test_a_bucket_that_was_full_is_empty_after_an_hour_and_half_full_after_half_of_it() -> None:
    full = Bucket(400, 0)
    assert full.now(LIMITS, HOUR_MS) == 0
    assert full.now(LIMITS, HOUR_MS // 2) == 200
    assert full.now(LIMITS, -5) == 400


def test_a_ceiling_of_zero_is_none() -> None:
    assert pour(Bucket(10.0**9, 0), Thresholds(0, 0), 10**9, 0)[0] is Verdict.OK


def test_the_default_lets_a_large_mailbox_through_ten_times_an_hour() -> None:
    bucket = Bucket()
    for _ in range(10):
        verdict, bucket = pour(bucket, CeilingLimits().principal, 30_000, 0)
        assert verdict is not Verdict.STOP


def test_a_stop_outlives_a_restart_ends_by_itself_and_can_be_lifted() -> None:
    rows, events, clock = Rows(), Events(), FixedClock()

    async def scenario() -> None:
        first = ceilings(rows, events, clock)
        await first.load()
        await first.check({}, "alice", "imap-1", 101)
        with pytest.raises(RefusedError) as caught:
            await first.check({}, "alice", "imap-1", 400)
        assert caught.value.code == "refused.ceiling"
        assert events.notes == ["principal alarm", "principal stop"]
        await first.check({}, "bob", "imap-1", 1)
        again = ceilings(rows, events, clock)
        await again.load()
        with pytest.raises(RefusedError):
            await again.check({}, "alice", "imap-2", 1)
        assert [(row.kind, row.subject) for row in again.stops()] == [(PERSON, "alice")]
        await again.lift({}, PERSON, "alice")
        await again.check({}, "alice", "imap-2", 1)
        with pytest.raises(NotFoundError):
            await again.lift({}, PERSON, "alice")
        with pytest.raises(RefusedError):
            await again.check({}, "alice", "imap-2", 401)
        clock.advance(3600)
        await again.check({}, "alice", "imap-2", 1)

    asyncio.run(scenario())


def test_a_module_has_its_own_ceiling_whoever_it_asks_for() -> None:
    rows, events, clock = Rows(), Events(), FixedClock()

    async def scenario() -> None:
        ours = ceilings(rows, events, clock)
        for number in range(40):
            await ours.check({}, f"person {number}", "imap-1", 100)
        with pytest.raises(RefusedError):
            await ours.check({}, "one more", "imap-1", 100)
        await ours.check({}, "one more", "imap-2", 100)
        await ours.check({}, "", "relay-1", 4000)
        assert [row.kind for row in ours.stops()] == [MODULE]

    asyncio.run(scenario())
