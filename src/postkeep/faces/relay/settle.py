"""What follows from an attempt: who is done, who is tried again and when, who is reported. Pure."""

from typing import Final

import msgspec

from postkeep.faces.relay.results import EXPIRED, Ending, Result
from postkeep.faces.relay.schedule import RetryPolicy, next_attempt_ms
from postkeep.protocols.dsn import Action, wants
from postkeep.services.queue.envelope import QueuedRecipient, QueueEnvelope

_REASON_CHARACTERS_MAX: Final = 200


class Attempt(msgspec.Struct, frozen=True):
    """The circumstances of an attempt."""

    created_ms: int
    attempts: int
    """Before this one."""
    delay_notified: bool
    now_ms: int
    chance: float
    """In [0, 1): spreads the next attempt."""


class Settlement(msgspec.Struct, frozen=True):
    """What to report, and then to record."""

    remaining: tuple[QueuedRecipient, ...]
    """Tried again at `not_before_ms`; empty: the item is done."""
    not_before_ms: int
    failed: tuple[Result, ...]
    """Reported as failed, to a sender who wants to know."""
    relayed: tuple[Result, ...]
    delayed: tuple[Result, ...]
    retry_until_ms: int
    delay_notified: bool
    reason: str
    """For the administrator: status and server, no address."""
    counts: dict[str, int]
    """Recipients by what became of them: `delivered`, `deferred`, `failed`."""


def settle(
    envelope: QueueEnvelope, results: list[Result], attempt: Attempt, policy: RetryPolicy
) -> Settlement:
    """Settle an attempt. A message with the null reverse-path is never answered by a report."""
    expires_ms = attempt.created_ms + policy.expire * 1000
    expired = attempt.now_ms >= expires_ms
    delivered = [result for result in results if result.ending in (Ending.DELIVERED, Ending.RELAYED)]
    retried = [] if expired else [result for result in results if result.ending is Ending.TEMPORARY]
    failed = [
        _expired(result) if result.ending is Ending.TEMPORARY else result
        for result in results
        if result.ending is Ending.PERMANENT or (expired and result.ending is Ending.TEMPORARY)
    ]
    reports = bool(envelope.reverse_path)
    old = attempt.now_ms - attempt.created_ms >= policy.delay_notice * 1000
    delays = bool(retried) and old and not attempt.delay_notified
    return Settlement(
        remaining=tuple(result.recipient for result in retried),
        not_before_ms=next_attempt_ms(
            attempt.attempts, attempt.created_ms, attempt.now_ms, policy, attempt.chance
        ),
        failed=_wanted(failed, Action.FAILED) if reports else (),
        relayed=_wanted([one for one in delivered if one.ending is Ending.RELAYED], Action.RELAYED)
        if reports
        else (),
        delayed=_wanted(retried, Action.DELAYED) if reports and delays else (),
        retry_until_ms=expires_ms,
        delay_notified=attempt.delay_notified or delays,
        reason=_reason(retried or failed),
        counts={"delivered": len(delivered), "deferred": len(retried), "failed": len(failed)},
    )


def _wanted(results: list[Result], action: Action) -> tuple[Result, ...]:
    return tuple(result for result in results if wants(result.recipient.notify, action))


def _expired(result: Result) -> Result:
    return msgspec.structs.replace(result, ending=Ending.PERMANENT, status=EXPIRED)


def _reason(results: list[Result]) -> str:
    """Name the first trouble: the reply's code, its status and the server, but nothing of its text."""
    if not results:
        return ""
    first = results[0]
    code = first.diagnostic[:3] if first.diagnostic[:3].isdigit() else ""
    words = (code, first.status, first.remote)
    return " ".join(word for word in words if word)[:_REASON_CHARACTERS_MAX]
