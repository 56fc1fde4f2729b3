"""When a message is tried again, and which work to ask for. Pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple

JITTER_SHARE: Final = 0.2
"""A wait is longer by up to this share, so that what failed together does not come back together."""
LEASE_ITEMS_MAX: Final = 50
"""Items in one lease: a call stays well below a megabyte."""


class RetryPolicy(NamedTuple):
    """The times of the queue, in seconds."""

    waits: tuple[int, ...]
    """Between attempts; the last one repeats."""
    expire: int
    delay_notice: int


def next_attempt_ms(attempts: int, created_ms: int, now_ms: int, policy: RetryPolicy, chance: float) -> int:
    """Return when to try again after `attempts` earlier failures and the one just seen.

    `chance` in [0, 1) spreads the waits. The last attempt falls on the moment of expiry, not after it.
    """
    wait = policy.waits[min(attempts, len(policy.waits) - 1)] if policy.waits else policy.expire
    due = now_ms + int(wait * 1000 * (1 + JITTER_SHARE * chance))
    expires = created_ms + policy.expire * 1000
    return min(due, expires) if now_ms < expires else due


class Demand(NamedTuple):
    """What to lease: at most `limit` items, none for the `busy` destinations; 0: nothing now."""

    limit: int
    busy: list[str]


def schedule(waiting: Mapping[str, int], backlog_max: int, items_max: int) -> Demand:
    """Decide what to lease, from how many items each destination has here already."""
    busy = sorted(name for name, count in waiting.items() if count >= backlog_max)
    room = items_max - sum(waiting.values())
    return Demand(max(0, min(room, LEASE_ITEMS_MAX)), busy)
