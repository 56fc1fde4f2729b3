"""After an attempt: settle, report, record, tell the ledger. In this order (see the package's docstring)."""

import hashlib
import random
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec
import structlog

from postkeep.base.clock import Clock
from postkeep.base.errors import PostkeepError
from postkeep.faces.relay.opened import OpenItem
from postkeep.faces.relay.results import Result
from postkeep.faces.relay.schedule import RetryPolicy
from postkeep.faces.relay.settle import Attempt, Settlement, settle
from postkeep.model.audit import EventName
from postkeep.services.queue.api import LeasedItem, QueueOutcome

UNREPORTED_SECONDS: Final = 60
"""Until an item is taken up again whose report could not be deposited."""
UNREADABLE_SECONDS: Final = 3600
"""Until an item is looked at again that could not be opened for a reason that may be lasting."""

_log = structlog.get_logger(__name__)
Record = Callable[[QueueOutcome], Awaitable[None]]
Content = Callable[[], Awaitable[bytes]]


class Reports(Protocol):
    """Deposits reports; `reports.Reporter` is one."""

    async def send(self, opened: OpenItem, settlement: Settlement, content: bytes) -> None:
        """Deposit the reports that a settlement asks for."""


class Events(Protocol):
    """The way to the ledger; `services.ledger.trail.Trail` is one."""

    def note(self, event: EventName, *, tenant: str, count: int, digest: str, note: str) -> None:
        """Record an event."""


class Finisher:
    """Draws the consequences of attempts."""

    def __init__(
        self, *, policy: RetryPolicy, reports: Reports, record: Record, events: Events, clock: Clock
    ) -> None:
        self._policy = policy
        self._reports = reports
        self._record = record
        self._events = events
        self._clock = clock
        self._random = random.SystemRandom()

    async def finish(self, opened: OpenItem, results: list[Result], content: Content) -> None:
        """Settle one attempt; `content` gives the message where a report needs it."""
        item = opened.item
        attempt = Attempt(
            created_ms=item.created_ms,
            attempts=item.attempts,
            delay_notified=item.delay_notified,
            now_ms=self._clock.now_ms(),
            chance=self._random.random(),
        )
        settlement = settle(opened.envelope, results, attempt, self._policy)
        if settlement.failed or settlement.relayed or settlement.delayed:
            settlement = await self._report(opened, settlement, attempt, content)
        await self._record(_outcome(opened, settlement))
        self._tell(item, settlement)

    async def _report(
        self, opened: OpenItem, settlement: Settlement, attempt: Attempt, content: Content
    ) -> Settlement:
        try:
            await self._reports.send(opened, settlement, await content())
        except PostkeepError as error:
            _log.warning("report_postponed", item=opened.item.id.hex(), code=error.code)
            return postponed(settlement, attempt)
        return settlement

    def _tell(self, item: LeasedItem, settlement: Settlement) -> None:
        digest = hashlib.sha256(item.id).hexdigest()
        for note, count in settlement.counts.items():
            if count:
                self._events.note(
                    EventName.QUEUE, tenant=item.tenant.hex(), count=count, digest=digest, note=note
                )
        _log.info(
            "queue_attempt",
            item=item.id.hex(),
            attempts=item.attempts + 1,
            reason=settlement.reason,
            **settlement.counts,
        )

    async def give_back(self, item: LeasedItem, error: PostkeepError | None = None) -> None:
        """Return an item that was not tried; `error`: what kept it from being opened."""
        now_ms = self._clock.now_ms()
        if error is None:
            await self._record(QueueOutcome(item.id, item.lease, done=False, not_before_ms=now_ms))
            return
        _log.warning("queue_item_unreadable", item=item.id.hex(), code=error.code, detail=error.detail)
        gone = not error.temporary and now_ms - item.created_ms >= self._policy.expire * 1000
        wait = UNREPORTED_SECONDS if error.temporary else UNREADABLE_SECONDS
        await self._record(
            QueueOutcome(
                item.id,
                item.lease,
                done=gone,
                not_before_ms=now_ms + wait * 1000,
                reason=f"unreadable: {error.code}",
            )
        )


def postponed(settlement: Settlement, attempt: Attempt) -> Settlement:
    """Keep in the queue those whose failure could not be reported; what was delivered stays settled.

    A report of relaying or delay is not worth another attempt: it is left out.
    """
    kept = (*settlement.remaining, *(result.recipient for result in settlement.failed))
    counts = dict(settlement.counts)
    counts["deferred"] += len(settlement.failed)
    counts["failed"] -= len(settlement.failed)
    soon = attempt.now_ms + UNREPORTED_SECONDS * 1000
    return msgspec.structs.replace(
        settlement,
        remaining=kept,
        counts=counts,
        not_before_ms=min(settlement.not_before_ms, soon) if settlement.failed else settlement.not_before_ms,
        delay_notified=attempt.delay_notified,
    )


def _outcome(opened: OpenItem, settlement: Settlement) -> QueueOutcome:
    item, remaining = opened.item, settlement.remaining
    if not remaining:
        return QueueOutcome(item.id, item.lease, done=True, reason=settlement.reason)
    envelope = b""
    if remaining != opened.envelope.recipients:
        envelope = opened.seal(msgspec.structs.replace(opened.envelope, recipients=remaining))
    return QueueOutcome(
        item.id,
        item.lease,
        done=False,
        envelope=envelope,
        recipients=len(remaining),
        not_before_ms=settlement.not_before_ms,
        reason=settlement.reason,
        delay_notified=settlement.delay_notified,
    )
