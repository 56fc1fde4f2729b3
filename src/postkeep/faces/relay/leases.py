"""The claims on items that are here: renewed while they are worked on, and an end of all work once lost.

Claims are short, so that what a relay held when it died comes up again soon. Renewal is one call for
all of them. A claim is lost when the vault says so (the item was deleted, or given to another relay) and when
it could not be renewed in time; either way nothing more may be sent for its item, as another may be sending.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final, Protocol

import structlog

from postkeep.base.errors import PostkeepError, RefusedError
from postkeep.services.delivery.deposit import TicketSource
from postkeep.services.queue.api import Claim, LeasedItem, Renew, Renewed

RENEWALS: Final = 3
"""Renewals in the time of one claim: one or two may fail before it is lost."""
MARGIN_SHARE: Final = 1 / 6
"""Of a claim's time: work stops so long before the vault may give the item to another."""

_log = structlog.get_logger(__name__)


class LeaseLostError(Exception):
    """The item is not ours any more: leave it as it is."""


class Claims(Protocol):
    """The vault, as far as this needs it."""

    async def queue_renew(self, request: Renew, *, ticket: bytes) -> Renewed:
        """Renew claims."""


class Lease:
    """The claim on one item."""

    def __init__(self, claim: Claim, end: float) -> None:
        self.claim = claim
        self._end = end
        self._lost = False
        self._running: dict[asyncio.Timeout, float] = {}

    @property
    def lost(self) -> bool:
        """Whether nothing more may be done with the item."""
        return self._lost or asyncio.get_running_loop().time() >= self._end

    @contextlib.asynccontextmanager
    async def held(self, seconds: float) -> AsyncIterator[None]:
        """Work on the item: TimeoutError after so long, LeaseLostError as soon as it is not ours any more."""
        if self.lost:
            raise LeaseLostError
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(min(deadline, self._end)) as running:
                self._running[running] = deadline
                try:
                    yield
                finally:
                    del self._running[running]
        except TimeoutError:
            if self.lost:
                raise LeaseLostError from None
            raise

    def renew(self, end: float) -> None:
        """Take note that the claim holds until then."""
        self._end = end
        for running, deadline in self._running.items():
            if not running.expired():
                running.reschedule(min(deadline, end))

    def lose(self) -> None:
        """End all work on the item."""
        self._lost = True
        self.renew(asyncio.get_running_loop().time())


class Leases:
    """All claims of this process. Use it from one event loop."""

    def __init__(self, vault: Claims, tickets: TicketSource, lease_seconds: int) -> None:
        self.seconds = lease_seconds
        self._vault = vault
        self._tickets = tickets
        self._live: set[Lease] = set()

    def take(self, item: LeasedItem, asked: float) -> Lease:
        """Take in a claim that was asked for at a moment of the loop's clock."""
        lease = Lease(Claim(item.id, item.lease), self._end(asked))
        self._live.add(lease)
        return lease

    def release(self, lease: Lease) -> None:
        """Forget a claim: its item is settled, or given back."""
        self._live.discard(lease)

    async def keep(self) -> None:
        """Renew for ever."""
        while True:
            await asyncio.sleep(self.seconds / RENEWALS)
            if self._live:
                await self.renew()

    async def renew(self) -> None:
        """Renew all once; end the work on those that are lost."""
        leases = {lease.claim: lease for lease in self._live}
        asked = asyncio.get_running_loop().time()
        try:
            request = Renew(list(leases), self.seconds)
            async with asyncio.timeout(self.seconds / RENEWALS):
                answer = await self._vault.queue_renew(request, ticket=await self._tickets.get())
        except (PostkeepError, TimeoutError) as error:
            if isinstance(error, RefusedError):
                self._tickets.discard()
            _log.warning("leases_not_renewed", count=len(leases), error=type(error).__name__)
            return
        lost = set(answer.lost)
        for claim, lease in leases.items():
            if claim.id in lost:
                _log.warning("lease_lost", item=claim.id.hex())
                lease.lose()
                self._live.discard(lease)
            else:
                lease.renew(self._end(asked))

    def _end(self, asked: float) -> float:
        return asked + self.seconds * (1 - MARGIN_SHARE)
