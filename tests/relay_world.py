"""A relay between a real vault on PostgreSQL, a DNS server and mail servers of a test's own making.

The vault's and the queue's methods are called as its channel would call them; keys are real. The directory is
`delivery_world`'s.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
from tests.delivery_world import Person, World
from tests.integration.vault.conftest import RELAY, RememberingLedger, Vault, grant

from postkeep.base.clock import FixedClock
from postkeep.base.errors import UnavailableError
from postkeep.base.ids import new_id
from postkeep.crypto.epoch import chain_starts, open_seed
from postkeep.faces.relay.destinations import Destinations, Limits
from postkeep.faces.relay.finish import Finisher
from postkeep.faces.relay.leases import Leases
from postkeep.faces.relay.lookup import Lookup, LookupPolicy, make_resolver
from postkeep.faces.relay.opened import Opener
from postkeep.faces.relay.record import Recorder
from postkeep.faces.relay.reports import Reporter
from postkeep.faces.relay.schedule import RetryPolicy
from postkeep.faces.relay.session import Connector, make_contexts
from postkeep.faces.relay.worker import Worker
from postkeep.model.audit import EventName
from postkeep.model.categories import Category, Label
from postkeep.protocols.dsn import ReadReport, parse_report
from postkeep.services.authority.api import QueueKey, Resolve, Routes
from postkeep.services.authority.client import AuthorityClient, OperationTickets
from postkeep.services.delivery.copies import Outbound
from postkeep.services.delivery.deposit import Depositor
from postkeep.services.delivery.seal import Needs, enqueue, place, seal_parts
from postkeep.services.kms.api import OpenedEpoch, OpenedEpochs, OpenEpochs, SignedPublicKey
from postkeep.services.ledger.trail import Trail
from postkeep.services.queue import api as queue_api
from postkeep.services.queue.envelope import QueuedRecipient
from postkeep.services.vault.api import DepositBatch, DepositResults, ListMailboxes, Submit
from postkeep.services.vault.service import VaultService, open_stores

POLICY = RetryPolicy((60, 300), 10_000, 1000)
LEASE_SECONDS = 300
HOST = "relay.example.org"


class Events:
    """Remembers what the ledger is told."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, int]] = []

    def note(self, event: EventName, *, tenant: str, count: int, digest: str, note: str) -> None:
        assert event is EventName.QUEUE
        assert len(tenant) == 32
        assert len(digest) == 64
        self.notes.append((note, count))


class RelayWorld:
    """The keepers as the relay calls them, and what a test does and looks at."""

    def __init__(self, world: World, vault: Vault) -> None:
        self.world = world
        self.clock = world.clock
        self.vault = vault
        self.events = Events()
        self.tenant = new_id()
        self.sender = world.person("sender@example.org", self.tenant)
        self.outages: dict[str, int] = {}
        """Calls that will fail, by name."""
        self.calls: set[asyncio.Task[Any]] = set()
        self.leases: Leases
        """Of the relay that runs, or ran last."""
        self.renewals = 0

    # --- What the relay calls ---

    async def _call(self, name: str, request: msgspec.Struct) -> Any:
        if self.outages.get(name, 0):
            self.outages[name] -= 1
            raise UnavailableError("the connection broke")
        # As over the channel: a caller that goes away does not cut a keeper's work in two.
        call = asyncio.create_task(self.vault.call(name, RELAY, request))
        self.calls.add(call)
        call.add_done_callback(self.calls.discard)
        return await asyncio.shield(call)

    async def queue_lease(self, request: queue_api.Lease, *, ticket: bytes) -> queue_api.LeasedItems:
        assert ticket == b"ticket for relay"
        leased = await self._call("queue_lease", request)
        assert isinstance(leased, queue_api.LeasedItems)
        return leased

    async def queue_renew(self, request: queue_api.Renew, *, ticket: bytes) -> queue_api.Renewed:
        assert ticket == b"ticket for relay"
        renewed = await self._call("queue_renew", request)
        assert isinstance(renewed, queue_api.Renewed)
        self.renewals += 1
        return renewed

    async def queue_content(self, request: queue_api.QueueContent, *, ticket: bytes) -> queue_api.QueueBytes:
        assert ticket == b"ticket for relay"
        content = await self._call("queue_content", request)
        assert isinstance(content, queue_api.QueueBytes)
        return content

    async def queue_update(self, request: queue_api.QueueUpdate, *, ticket: bytes) -> queue_api.Done:
        assert ticket == b"ticket for relay"
        done = await self._call("queue_update", request)
        assert isinstance(done, queue_api.Done)
        return done

    async def queue_wait(self, request: queue_api.QueueWait, *, ticket: bytes) -> queue_api.Done:
        assert ticket == b"ticket for relay"
        done = await self._call("queue_wait", queue_api.QueueWait(0.05))
        assert isinstance(done, queue_api.Done)
        return done

    async def deposit(self, request: DepositBatch | Submit, *, ticket: bytes) -> DepositResults:
        assert ticket == b"ticket for deliver"
        results = await self._call("deposit", request)
        await self.world.deposit(request, ticket=ticket)
        assert isinstance(results, DepositResults)
        return results

    async def resolve(self, request: Resolve) -> Routes:
        return Routes(await self.world.resolve(request.addresses), 1)

    async def queue_key(self, request: QueueKey) -> SignedPublicKey:
        return await self.world.queue_key(request.tenant)

    async def open_epochs(self, request: OpenEpochs, *, ticket: bytes) -> OpenedEpochs:
        assert ticket == b"ticket for relay"
        person = self.world.queues[request.principal]
        opened = []
        for sealed in request.epochs:
            seed = open_seed(
                person.private, person.key.tenant, request.principal, sealed.epoch, sealed.sealed
            )
            chains = {Category(name): start for name, start in chain_starts(seed).items()}
            opened.append(OpenedEpoch(sealed.epoch, chains))
        return OpenedEpochs(opened)

    # --- What a test does ---

    async def submit(
        self,
        message: bytes,
        recipients: Sequence[str | QueuedRecipient],
        *,
        sender: str = "sender@example.org",
        needs: Needs | None = None,
    ) -> bytes:
        """Put a message for recipients of one domain into the queue; return the item's identifier."""
        queued = tuple(
            recipient if isinstance(recipient, QueuedRecipient) else QueuedRecipient(recipient)
            for recipient in recipients
        )
        domain = queued[0].address.rpartition("@")[2]
        parts = seal_parts(self.tenant, message)
        book = self.world.book()
        sealed = enqueue(
            place(parts, [], book, Label.INTERNAL, 0),
            parts,
            [Outbound(domain, sender, queued)],
            needs or Needs(),
            await self.world.queue_key(self.tenant),
            book=book,
        )
        batch = DepositBatch([sealed.deposit], [epoch.announcement for epoch in sealed.epochs])
        results = await self.vault.call("deposit", RELAY, batch)
        assert [result.error for result in results.results] == [""]
        self.world.epochs.update({epoch.epoch: epoch.sealed for epoch in batch.epochs})
        return sealed.deposit.queue[0].id

    async def rows(self) -> list[queue_api.QueueRow]:
        listed = await self.vault.call("queue_list", RELAY, queue_api.QueueList())
        assert isinstance(listed, queue_api.QueueRows)
        return listed.rows

    async def until(
        self, count: int = 0, *, attempts: int = 0, seconds: float = 10.0
    ) -> list[queue_api.QueueRow]:
        """Wait until the queue has `count` items, all idle and tried `attempts` times at least."""
        async with asyncio.timeout(seconds):
            while True:
                rows = await self.rows()
                idle = all(not row.leased and row.attempts >= attempts for row in rows)
                if len(rows) == count and idle:
                    return rows
                await asyncio.sleep(0.01)

    async def stored(self) -> int:
        """Return how many messages the vault has in the sender's inbox."""
        key = self.sender.key
        request = ListMailboxes(key.principal)
        boxes = await self.vault.call("mailboxes", grant(key.tenant, key.principal), request)
        return sum(int(box.messages) for box in boxes.mailboxes)

    def reports(self, person: Person | None = None) -> list[ReadReport]:
        """Read the reports in somebody's mailbox."""
        found = []
        for copy in self.world.copies(person or self.sender):
            assert copy.message.startswith(b"Return-Path: <>\r\n")
            report = parse_report(copy.message)
            assert report is not None
            found.append(report)
        return found


@asynccontextmanager
async def relay_world(dsn: str, directory: Path) -> AsyncIterator[RelayWorld]:
    clock = FixedClock(1_800_000_000)
    ledger = RememberingLedger()
    trail = Trail("vault-0.1", ledger, clock)
    async with open_stores(dsn, directory / "packs" / "content", directory / "slots") as stores:
        vault = Vault(stores, VaultService(stores, trail, clock), ledger)
        world = RelayWorld(World(clock=clock), vault)
        yield world
        await asyncio.gather(*world.calls)
        assert await vault.problems() == []
        await trail.close()


@asynccontextmanager
async def running_relay(
    world: RelayWorld,
    *,
    resolver: str = "",
    port: int = 25,
    smarthost: tuple[str, int] | None = None,
    allow_private: bool = True,
    own_endpoints: frozenset[tuple[str, int]] = frozenset(),
    limits: Limits = Limits(20, 3),  # noqa: B008 - an immutable value
    lease_seconds: int = LEASE_SECONDS,
) -> AsyncIterator[None]:
    """Run a whole relay in the world until the block ends."""
    clock = world.clock
    authority = cast("AuthorityClient", world.world)
    tickets = OperationTickets(authority, "relay", clock)
    recorder = Recorder(world, tickets)
    opener = Opener(world, world, tickets)
    finisher = Finisher(
        policy=POLICY,
        reports=Reporter(
            hostname=HOST,
            directory=world,
            book=world.world.book(),
            depositor=Depositor(world, OperationTickets(authority, "deliver", clock)),
            clock=clock,
        ),
        record=recorder.record,
        events=world.events,
        clock=clock,
    )
    policy = LookupPolicy(port, HOST, own_endpoints, allow_private, smarthost)
    world.leases = leases = Leases(world, tickets, lease_seconds)
    destinations = Destinations(
        connector=Connector(Lookup(make_resolver(resolver), policy), HOST, make_contexts()),
        fetch=opener.content,
        finisher=finisher,
        limits=limits,
        leases=leases,
        single_line=smarthost is not None,
    )
    worker = Worker(
        queue=world,
        tickets=tickets,
        opener=opener,
        destinations=destinations,
        finisher=finisher,
        leases=leases,
        drain_seconds=0.5,
    )
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task
        recorder.stop()
