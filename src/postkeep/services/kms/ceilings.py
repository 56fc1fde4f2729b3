"""Ceilings: how many epochs are opened for one person, and for one module instance, before somebody looks.

A leaky bucket for each: it fills by the epochs asked for and empties evenly within an hour. Above the first
threshold the ledger is told; above the second nothing more is opened until an hour has gone or an operator
lifts it. Levels live in memory, so a restart of kms begins at zero again; stops are rows and outlive it.
"""

from collections import OrderedDict
from enum import StrEnum
from typing import Final, NamedTuple

import structlog

from postkeep.base.clock import Clock
from postkeep.base.errors import NotFoundError, RefusedError
from postkeep.model.audit import EventName
from postkeep.services.ledger.trail import EventFields, Trail
from postkeep.stores.kms_ceilings import KmsCeilingRows, StopRow

WINDOW_MS: Final = 3_600_000
"""A full bucket empties in an hour, and a stop lasts as long."""
BUCKETS_MAX: Final = 131_072
"""Buckets in memory, some 200 bytes each; the ones that have rested longest are forgotten first."""
PERSON, MODULE = "principal", "module"

_log = structlog.get_logger(__name__)


class Verdict(StrEnum):
    """What a bucket says."""

    OK = "ok"
    ALARM = "alarm"
    STOP = "stop"


class Thresholds(NamedTuple):
    """Epochs within an hour: above the first there is an alarm, above the second a stop. 0: none."""

    alarm: int
    stop: int


class CeilingLimits(NamedTuple):
    """The thresholds in force. A full synchronisation of a large mailbox opens 30,000 epochs at once."""

    principal: Thresholds = Thresholds(100_000, 400_000)
    module: Thresholds = Thresholds(2_000_000, 8_000_000)


class Bucket(NamedTuple):
    """How full it is, and when that was so."""

    level: float = 0.0
    at_ms: int = 0

    def now(self, thresholds: Thresholds, now_ms: int) -> float:
        """Say how full it is now: what fills it to the second threshold has gone after an hour."""
        drained = max(0, now_ms - self.at_ms) * max(thresholds) / WINDOW_MS
        return max(0.0, self.level - drained)


def pour(bucket: Bucket, thresholds: Thresholds, count: int, now_ms: int) -> tuple[Verdict, Bucket]:
    """Judge `count` more epochs: pure. A refused pour leaves the bucket as it was; an alarm sounds once, when
    the threshold is passed."""
    before = bucket.now(thresholds, now_ms)
    after = before + count
    if thresholds.stop and after > thresholds.stop:
        return Verdict.STOP, Bucket(before, now_ms)
    passed = thresholds.alarm and before <= thresholds.alarm < after
    return Verdict.ALARM if passed else Verdict.OK, Bucket(after, now_ms)


class Ceilings:
    """The buckets and the stops of one kms."""

    def __init__(self, limits: CeilingLimits, rows: KmsCeilingRows, trail: Trail, clock: Clock) -> None:
        self._thresholds = {PERSON: limits.principal, MODULE: limits.module}
        self._rows = rows
        self._trail = trail
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()
        self._stops: dict[tuple[str, str], StopRow] = {}

    async def load(self) -> None:
        """Recall the stops in force. Call it once, before anything is opened."""
        found = await self._rows.all(self._clock.now_ms())
        self._stops = {(row.kind, row.subject): row for row in found}

    async def check(self, fields: EventFields, person: str, instance: str, count: int) -> None:
        """Count epochs that are about to be opened; RefusedError (`refused.ceiling`) above the ceiling.

        `person`: empty where no user stands behind it, as for the outbound queue.
        """
        for kind, subject in ((PERSON, person), (MODULE, instance)):
            if subject:
                await self._pour(fields, kind, subject, count)

    async def _pour(self, fields: EventFields, kind: str, subject: str, count: int) -> None:
        key, now_ms = (kind, subject), self._clock.now_ms()
        stop = self._stops.get(key)
        if stop is not None and stop.until_ms > now_ms:
            raise _stopped(kind)
        verdict, bucket = pour(self._buckets.pop(key, Bucket()), self._thresholds[kind], count, now_ms)
        self._buckets[key] = bucket
        while len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
        if verdict is Verdict.OK:
            return
        _log.warning("key_ceiling", kind=kind, verdict=verdict.value, level=int(bucket.level), asked=count)
        told = fields | EventFields(count=int(bucket.level) + count, note=f"{kind} {verdict}")
        if verdict is Verdict.ALARM:
            self._trail.note(EventName.KEY_CEILING, **told)
            return
        row = StopRow(kind, subject, now_ms, now_ms + WINDOW_MS)
        self._stops[key] = row
        self._trail.note(
            EventName.KEY_CEILING, **(told | EventFields(outcome="refused", code="refused.ceiling"))
        )
        await self._rows.add(row)
        raise _stopped(kind)

    def stops(self) -> list[StopRow]:
        """Return the stops in force."""
        now_ms = self._clock.now_ms()
        return [row for row in self._stops.values() if row.until_ms > now_ms]

    async def lift(self, fields: EventFields, kind: str, subject: str) -> None:
        """Lift a stop, and begin to count anew; NotFoundError if there is none."""
        found = await self._rows.remove(kind, subject)
        if self._stops.pop((kind, subject), None) is None and not found:
            raise NotFoundError(
                "nobody of this name is stopped", public_text="Nobody of this name is stopped."
            )
        self._buckets.pop((kind, subject), None)
        await self._trail.record(EventName.KEY_CEILING, **(fields | EventFields(note=f"{kind} lifted")))


def _stopped(kind: str) -> RefusedError:
    return RefusedError(
        f"more epochs than the ceiling of a {kind} allows",
        code="refused.ceiling",
        public_text="Too many keys were asked for. Wait an hour, or ask the administrator to lift the stop.",
    )
