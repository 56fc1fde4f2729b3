"""The vault: takes sealed mail, keeps it, gives it back sealed. It holds no key and opens nothing.

`open_stores` brings the stores up; `VaultService.handlers` are the methods that the channel's server serves.
"""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from postkeep.base.clock import Clock
from postkeep.services.ledger.trail import Trail
from postkeep.services.queue import api as queue_api
from postkeep.services.queue.service import QueueService
from postkeep.services.vault import api, destruction_api
from postkeep.services.vault.backing import Backing
from postkeep.services.vault.changing import Changing
from postkeep.services.vault.checking import Checking
from postkeep.services.vault.copying_across import CopyingAcross
from postkeep.services.vault.destroying import Destroying
from postkeep.services.vault.entries import Entries
from postkeep.services.vault.erasing import finish_erasures
from postkeep.services.vault.exporting import Exporting
from postkeep.services.vault.expunging import Expunging
from postkeep.services.vault.flagging import Flagging
from postkeep.services.vault.groups import DepositGroups, Stores
from postkeep.services.vault.holding import Holding
from postkeep.services.vault.mailboxes import Mailboxes
from postkeep.services.vault.opening import Opening
from postkeep.services.vault.outbox import Outbox
from postkeep.services.vault.paging import Paging
from postkeep.services.vault.placing import DepositRequest, check_results
from postkeep.services.vault.principals import Principals
from postkeep.services.vault.reading import Reading
from postkeep.services.vault.removal import Removal
from postkeep.services.vault.replacing import Replacing
from postkeep.services.vault.rights_api import CopyAcross
from postkeep.services.vault.searching import Searching
from postkeep.services.vault.segments import Segments
from postkeep.services.vault.sharing import Sharing
from postkeep.services.vault.storing import RowStore
from postkeep.services.vault.upkeep import Upkeep
from postkeep.services.vault.validation import (
    check_deposits,
    check_epochs,
    check_owned,
    check_submitted,
)
from postkeep.services.vault.watching import Watching
from postkeep.services.vault.writes import Writes
from postkeep.stores.kept_connections import KeptConnections
from postkeep.stores.packs import Packs
from postkeep.stores.postgres import load_migrations, migrate, open_pool
from postkeep.stores.slots import ErasableSlots
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

THREADS: Final = 6  # disk calls at once: two groups' packs and slots, and readers
CONNECTIONS_MAX: Final = 8  # database connections: two groups, and readers and writers beside them
WAIT_SECONDS_MAX: Final = 300.0  # the longest that `next_changes` waits
MIGRATIONS: Final = "postkeep.stores.sql.vault"
SESSION: Final = {
    # Every statement of ours finds its rows by an index; a plan made while a table was small must not stay.
    "enable_seqscan": "off",
    # Planning a statement with many parameters costs more than running it: plan once for a connection.
    "plan_cache_mode": "force_generic_plan",
    "synchronous_commit": "on",
}


@asynccontextmanager
async def open_stores(dsn: str, packs_dir: Path, slots_path: Path) -> AsyncIterator[Stores]:
    """Bring database, packs and slots up, and finish what a crash has left to overwrite."""
    pool = await open_pool(dsn, size_min=2, size_max=CONNECTIONS_MAX, settings=SESSION)
    kept = KeptConnections(pool)
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="vault")
    try:
        async with pool.acquire() as connection:
            await migrate(connection, "vault", load_migrations(MIGRATIONS))
        packs = Packs(packs_dir)
        slots_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with ErasableSlots(slots_path, api.WRAPS_BYTES) as slots:
            stores = Stores(pool, kept, packs, slots, threads)
            await finish_erasures(stores)
            try:
                yield stores
            finally:
                threads.shutdown()
                packs.close()
    finally:
        threads.shutdown()
        await kept.close()
        await pool.close()


class VaultService:
    """The methods, each with its Grant first."""

    def __init__(self, stores: Stores, trail: Trail, clock: Clock) -> None:
        self._clock = clock
        self.watching = Watching()
        writes = Writes()
        self.rows = RowStore(stores.pool, stores.kept, self.watching, clock)
        self._groups = DepositGroups(stores, self.rows, writes)
        self._reading = Reading(stores, trail)
        self._opening = Opening(stores, trail)
        self._searching = Searching(stores, trail)
        self._segments = Segments(stores, writes, trail, clock)
        self._paging = Paging(stores, writes, trail)
        self._exporting = Exporting(stores, self._reading, trail)
        self._flagging = Flagging(stores, self.watching)
        self._changing = Changing(stores, writes, self.watching, clock)
        self._holding = Holding(stores, clock)
        self._expunging = Expunging(stores, self.watching, self._holding, clock)
        self._replacing = Replacing(
            stores, self._groups, self.rows, self.watching, self._holding, writes, clock
        )
        self._principals = Principals(stores)
        self._removal = Removal(stores, self.watching, self._holding, clock)
        self._mailboxes = Mailboxes(stores, self.watching, clock, self._removal, self._holding, trail=trail)
        self._across = CopyingAcross(stores, writes, self.watching, clock)
        self._sharing = Sharing(stores, self.watching, trail, clock)
        self._entries = Entries(stores, self.watching, trail)
        self._checking = Checking(stores)
        self._upkeep = Upkeep(stores, writes, clock)
        self._destroying = Destroying(
            stores, self.watching, self._upkeep, self._removal, self._holding, clock
        )
        self._backing = Backing(stores, self._upkeep)
        self._queue = QueueService(stores, self.watching, trail, clock)
        self.outbox = Outbox(stores.pool, trail)

    @property
    def handlers(self) -> dict[str, tuple[type[msgspec.Struct], Handler]]:
        """Every method by its name on the wire, with the type of its request."""
        table: dict[str, tuple[type[msgspec.Struct], Handler]] = {
            "vault.deposit": (api.DepositBatch, self.deposit),
            "vault.append": (api.Append, self.append),
            "vault.submit": (api.Submit, self.submit),
            "vault.mailboxes": (api.ListMailboxes, self._mailboxes.mailboxes),
            "vault.change_mailboxes": (api.ChangeMailboxes, self._mailboxes.change_mailboxes),
            "vault.summaries": (api.FetchSummaries, self._reading.summaries),
            "vault.content": (api.FetchContent, self._reading.content),
            "vault.store_flags": (api.StoreFlags, self._flagging.store_flags),
            "vault.copy": (api.CopyMessages, self._changing.copy),
            "vault.expunge": (api.Expunge, self._expunging.expunge),
            "vault.epochs": (api.FetchEpochs, self._principals.epochs),
            "vault.replace_epochs": (api.ReplaceEpochs, self._principals.replace_epochs),
            "vault.old_epochs": (api.OldEpochs, self._principals.old_epochs),
            "vault.reseal_epochs": (api.ResealEpochs, self._principals.reseal_epochs),
            "vault.quota": (api.GetQuota, self._principals.quota),
            "vault.set_quota": (api.SetQuota, self._principals.set_quota),
            "vault.watch": (api.Watch, self.watch),
            "vault.unwatch": (api.Unwatch, self.unwatch),
            "vault.next_changes": (api.NextChanges, self.next_changes),
            "vault.remove_principal": (api.RemovePrincipal, self._removal.remove_principal),
            "vault.remove_tenant": (api.RemoveTenant, self._removal.remove_tenant),
            "vault.outline": (destruction_api.LookOver, self._destroying.outline),
            "vault.mark": (destruction_api.Mark, self._destroying.mark),
            "vault.destroy": (destruction_api.Destroy, self._destroying.destroy),
            "vault.destroy_category": (destruction_api.DestroyCategory, self._destroying.destroy_category),
            "vault.purge": (destruction_api.Purge, self._destroying.purge),
            "vault.hold": (destruction_api.Hold, self._holding.hold),
            "vault.release_hold": (destruction_api.ReleaseHold, self._holding.release),
            "vault.maintain": (api.Maintain, self.maintain),
            "vault.check": (api.CheckStore, self._checking.check),
            **self._opening.handlers(),
            **self._paging.handlers(),
            **self._entries.handlers(),
            **self._searching.handlers(),
            **self._segments.handlers(),
            **self._sharing.handlers(),
            "vault.copy_across": (CopyAcross, self._across.copy_across),
            **self._backing.handlers(),
            **self._exporting.handlers(),
            "vault.queue_lease": (queue_api.Lease, self._queue.lease),
            "vault.queue_renew": (queue_api.Renew, self._queue.renew),
            "vault.queue_content": (queue_api.QueueContent, self._queue.content),
            "vault.queue_update": (queue_api.QueueUpdate, self._queue.update),
            "vault.queue_wait": (queue_api.QueueWait, self._queue.wait),
            "vault.queue_list": (queue_api.QueueList, self._queue.list),
            "vault.queue_act": (queue_api.QueueAct, self._queue.act),
        }
        return self._sharing.guarded(table)

    async def deposit(self, grant: Grant, request: api.DepositBatch) -> api.DepositResults:
        """Answer `vault.deposit`."""
        check_deposits(grant, request.deposits)
        check_epochs(request.epochs)
        wanted = DepositRequest(grant, request.deposits, request.epochs, whole=False)
        return api.DepositResults(await self._groups.deposit(wanted))

    async def append(self, grant: Grant, request: api.Append) -> api.DepositResults:
        """Answer `vault.append`."""
        check_deposits(grant, request.deposits)
        check_owned(grant, request.deposits, request.epochs)
        check_epochs(request.epochs)
        if request.replaces is not None:
            wanted = DepositRequest(grant, request.deposits, request.epochs, whole=True)
            return api.DepositResults(await self._replacing.replace(wanted, request.replaces))
        return await self._deposit_whole(grant, request.deposits, request.epochs)

    async def submit(self, grant: Grant, request: api.Submit) -> api.DepositResults:
        """Answer `vault.submit`."""
        check_deposits(grant, request.deposits)
        check_submitted(grant, request.deposits, request.epochs)
        check_epochs(request.epochs)
        return await self._deposit_whole(grant, request.deposits, request.epochs, tell_full=True)

    async def watch(self, grant: Grant, _request: api.Watch) -> api.Done:
        """Answer `vault.watch`."""
        self.watching.watch(grant)
        return api.Done()

    async def unwatch(self, grant: Grant, request: api.Unwatch) -> api.Done:
        """Answer `vault.unwatch`."""
        self.watching.unwatch(grant.connection, request.principal)
        return api.Done()

    async def next_changes(self, grant: Grant, request: api.NextChanges) -> api.Changes:
        """Answer `vault.next_changes`."""
        seconds = min(max(0.0, request.wait_seconds), WAIT_SECONDS_MAX)
        return api.Changes(await self.watching.next_changes(grant.connection, seconds))

    async def maintain(self, grant: Grant, request: api.Maintain) -> api.Maintained:
        """Answer `vault.maintain`."""
        await self._holding.bury_free()  # holds that have run out, or were released
        await self._removal.clear_graves(grant, None)
        return api.Maintained(*await self._upkeep.run(request.dead_share_max, request.pack_limit))

    async def _deposit_whole(
        self,
        grant: Grant,
        deposits: list[api.Deposit],
        epochs: list[api.NewEpoch],
        *,
        tell_full: bool = False,
    ) -> api.DepositResults:
        """Deposit all or nothing; raise the error of the first deposit that fails.

        `tell_full`: a full mailbox is answered instead, as the caller has to know whose it is.
        """
        results = await self._groups.deposit(DepositRequest(grant, deposits, epochs, whole=True))
        if tell_full and any(result.full for result in results):
            return api.DepositResults(results)
        check_results(results)
        return api.DepositResults(results)
