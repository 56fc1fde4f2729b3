"""The way of the vault's own events to the ledger: written with the rows they tell of, sent after.

Mail is accepted while the ledger is away; its events wait in the database. An event is dropped here only when
the ledger has it. A crash between the two sends it twice: the ledger may say too much, never too little.
"""

import asyncio
from typing import Final

import structlog

from postkeep.base.errors import PostkeepError, UnavailableError
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault.events import unpack_event
from postkeep.stores.postgres import Pool, database_errors

BATCH_EVENTS_MAX: Final = 500  # events sent at once
IDLE_SECONDS: Final = 0.2  # how often an empty outbox is looked into: as late as an event may be
RETRY_SECONDS: Final = 1.0  # pause while the ledger or the database is away

_NEXT: Final = "SELECT number, event FROM audit_outbox ORDER BY number LIMIT $1"
_SENT: Final = "DELETE FROM audit_outbox WHERE number = ANY ($1::bigint[])"

_log = structlog.get_logger(__name__)


class Outbox:
    """Sends events until it is stopped."""

    def __init__(self, pool: Pool, trail: Trail) -> None:
        self._pool = pool
        self._trail = trail

    async def run(self) -> None:
        """Send until cancelled. What is not sent then is sent after the next start."""
        while True:
            try:
                sent = await self.send_some()
            except PostkeepError as exc:
                _log.warning("vault_outbox_waits", code=exc.code, detail=exc.detail)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if sent < BATCH_EVENTS_MAX:
                await asyncio.sleep(IDLE_SECONDS)

    async def send_some(self) -> int:
        """Send the oldest events; return how many. Raise UnavailableError while the ledger is away."""
        with database_errors():
            rows = await self._pool.fetch(_NEXT, BATCH_EVENTS_MAX)
        if not rows:
            return 0
        dropped = self._trail.dropped
        events = [unpack_event(row["event"]) for row in rows]
        for event, fields in events[:-1]:
            self._trail.note(event, **fields)
        event, fields = events[-1]
        try:
            await self._trail.record(event, **fields)
        except UnavailableError:
            # They stay in the trail's spool: sending them again from here would double them.
            while self._trail.pending and self._trail.dropped == dropped:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(RETRY_SECONDS)
        if self._trail.dropped != dropped:
            raise UnavailableError("the trail could not keep all events")
        with database_errors():
            await self._pool.execute(_SENT, [row["number"] for row in rows])
        return len(rows)
