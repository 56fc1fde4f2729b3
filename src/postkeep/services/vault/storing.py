"""Storing the rows of a group: in one statement where it stands as remembered, under lock otherwise.

Most mail arrives in mailboxes that this vault has written to a moment ago. It is planned on what is
remembered of them, and one statement checks that and stores all (`stores.vault_optimistic`). New mailboxes,
full ones, deposits that are tried again and every surprise go the longer way, which locks, looks and plans.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg
import structlog

from postkeep.base.clock import Clock
from postkeep.services.vault.api import DepositResult
from postkeep.services.vault.placing import DepositRequest, GroupPlan, check_results, plan_group
from postkeep.services.vault.standings import Standings
from postkeep.services.vault.watching import Watching
from postkeep.stores.kept_connections import KeptConnections
from postkeep.stores.postgres import Connection, Pool, in_transaction
from postkeep.stores.vault_deposits import (
    DepositState,
    ensure_mailboxes,
    lock_for_deposits,
    store_deposits,
    store_epochs,
)
from postkeep.stores.vault_optimistic import read_standing, store_if_as_expected

_log = structlog.get_logger(__name__)

Planned = tuple[GroupPlan, DepositState]


class RowStore:
    """Turns groups of requests whose bytes are durable into rows."""

    def __init__(self, pool: Pool, kept: KeptConnections, watching: Watching, clock: Clock) -> None:
        self.standings = Standings()
        self.at_once = 0
        """Groups stored in one statement."""
        self.under_lock = 0
        """Groups stored the longer way."""
        self._pool = pool
        self._kept = kept
        self._watching = watching
        self._clock = clock
        self._storing: dict[asyncio.Future[None], set[tuple[bytes, bytes]]] = {}
        watching.follow(self.standings.changed)

    async def store(self, requests: Sequence[DepositRequest]) -> list[list[DepositResult]]:
        """Store requests in one transaction; return their answers once it is durable.

        Raise UnavailableError if the database is away: whether it stands is then unknown.
        """
        demands = _Demands(requests)
        async with self._turn(set(demands.principals)):
            planned = await self._store_at_once(requests, demands)
            if planned is None:
                planned = await self._store_under_lock(requests, demands)
            plan, state = planned
            self.standings.note_stored(state)
        self._tell(state)
        if plan.rows.queue:
            self._watching.queue_changed()
        return plan.results

    async def store_after(
        self,
        request: DepositRequest,
        place: tuple[bytes, bytes],
        before: Callable[[Connection], Awaitable[None]],
    ) -> list[DepositResult]:
        """Store a request in the transaction in which `before` changes a mailbox (`place`: its principal and
        it), or do neither. A request that is known is answered, and `before` not run.

        Raise the error of the first deposit that fails.
        """
        demands = _Demands([request])
        demands.add(request.grant.tenant, *place)

        async def work(connection: Connection) -> Planned:
            state = await self._locked_state(connection, demands)
            if not state.known:
                await before(connection)
                state = await demands.lock(connection)  # as it is now, under the same locks
            plan = plan_group([request], state, self._clock.now_ms())
            check_results(plan.results[0])
            await store_deposits(connection, state, plan.rows)
            await store_epochs(connection, plan.rows.epochs)
            return plan, state

        async with self._turn(set(demands.principals)):
            plan, state = await in_transaction(self._pool, work)
            self.standings.note_stored(state)
        self._tell(state)
        return plan.results[0]

    def _tell(self, state: DepositState) -> None:
        self._watching.changed(
            (box.tenant, box.principal, box.mailbox, box.highest_modseq)
            for box in state.mailboxes.values()
            if box.messages
        )

    @asynccontextmanager
    async def _turn(self, principals: set[tuple[bytes, bytes]]) -> AsyncIterator[None]:
        """Wait until no other group is storing for the same principals: it leaves the rows elsewhere."""
        while others := [done for done, theirs in self._storing.items() if not theirs.isdisjoint(principals)]:
            await asyncio.wait(others)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._storing[done] = principals
        try:
            yield
        finally:
            del self._storing[done]
            done.set_result(None)

    async def _store_at_once(self, requests: Sequence[DepositRequest], demands: "_Demands") -> Planned | None:
        """Store a group as it is expected to fit; None if nothing was stored."""
        unknown = self.standings.unknown(demands.roles, demands.mailboxes)
        if any(unknown):
            for standing in await read_standing(self._pool, *unknown):
                self.standings.note(standing)
        state = self.standings.expected(demands.principals, demands.roles, demands.mailboxes)
        plan = plan_group(requests, state, self._clock.now_ms())
        if any(result.error for results in plan.results for result in results):
            return None
        try:
            stored = await store_if_as_expected(self._kept, state, plan.rows)
        except asyncpg.PostgresError as exc:
            # A deposit that is tried again, most often; the longer way finds out and says what it is.
            _log.info("vault_group_not_at_once", error=type(exc).__name__)
            stored = False
        except BaseException:
            self.standings.forget(state)
            raise
        if not stored:
            self.standings.forget(state)
            return None
        self.at_once += 1
        return plan, state

    async def _store_under_lock(self, requests: Sequence[DepositRequest], demands: "_Demands") -> Planned:
        now_ms = self._clock.now_ms()

        async def work(connection: Connection) -> Planned:
            state = await self._locked_state(connection, demands)
            plan = plan_group(requests, state, now_ms)
            await store_deposits(connection, state, plan.rows)
            await store_epochs(connection, plan.rows.epochs)
            return plan, state

        planned = await in_transaction(self._pool, work)
        self.under_lock += 1
        return planned

    async def _locked_state(self, connection: Connection, demands: "_Demands") -> DepositState:
        state = await demands.lock(connection)
        missing = [key for key in demands.roles if key not in state.by_role]
        if missing:
            await ensure_mailboxes(connection, missing, self._clock.now_seconds())
            state = await demands.lock(connection)
        return state


class _Demands:
    """Which rows a group depends on."""

    def __init__(self, requests: Sequence[DepositRequest]) -> None:
        principals, roles, mailboxes = set(), set(), set()
        self.bodies = []
        for request in requests:
            for deposit in request.deposits:
                self.bodies.append((deposit.tenant, deposit.body))
                for placement in deposit.placements:
                    principals.add((deposit.tenant, placement.principal))
                    if placement.mailbox:
                        mailboxes.add((deposit.tenant, placement.mailbox))
                    else:
                        roles.add((deposit.tenant, placement.principal, placement.role))
        self.principals = sorted(principals)
        self.roles = sorted(roles)
        self.mailboxes = sorted(mailboxes)

    def add(self, tenant: bytes, principal: bytes, mailbox: bytes) -> None:
        """Add a mailbox that nothing is stored in."""
        self.principals = sorted({*self.principals, (tenant, principal)})
        self.mailboxes = sorted({*self.mailboxes, (tenant, mailbox)})

    async def lock(self, connection: Connection) -> DepositState:
        """Lock them."""
        return await lock_for_deposits(connection, self.principals, self.roles, self.mailboxes, self.bodies)
