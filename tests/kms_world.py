"""The key service over the real channel, with a real database and a real ledger beside it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postkeep.base.clock import SystemClock
from postkeep.base.ids import new_id
from postkeep.crypto.epoch import EpochWriter
from postkeep.model.audit import AuditEvent, EventName
from postkeep.model.categories import Category
from postkeep.model.warrant import Warrant
from postkeep.services.kms import api
from postkeep.services.kms.client import KmsClient
from postkeep.services.kms.opening import OpenKms, open_kms
from postkeep.services.kms.root import FileSeal
from postkeep.services.ledger.api import Entries
from postkeep.services.ledger.client import LedgerClient
from postkeep.services.ledger.journal import Journal
from postkeep.services.ledger.service import LedgerService
from postkeep.services.ledger.tenants import TenantBook
from postkeep.services.ledger.trail import Trail
from postkeep.stores.ledger_log import LedgerLog
from postkeep.stores.postgres import load_migrations, migrate, open_pool
from postkeep.tickets.channel import Link, Server
from postkeep.tickets.entitlements import purpose_named
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.revocations import RevocationView

READ = (Category.CONTENT, Category.METADATA)
SESSION = new_id()


class Node:
    """A ledger and a kms, with the authority's key in the test's hand."""

    def __init__(self, dsn: str, directory: Path) -> None:
        self.dsn = dsn
        self.directory = directory
        key = Ed25519PrivateKey.generate()
        self.mint = Mint(key.sign)
        self.anchors = Anchors()
        self.anchors.trust("authority", key.public_key().public_bytes_raw())
        self.view = RevocationView()
        self.view.heard(0)
        self.kms: OpenKms
        self.log: LedgerLog
        self.stack = AsyncExitStack()
        self.ledger_stack = AsyncExitStack()

    def module(self, name: str, instance: str = "") -> ModuleIdentity:
        identity = ModuleIdentity(name, instance or f"{name}-1.test")
        identity.ticket = self.mint.module(name, identity.instance, identity.thumbprint)[1]
        return identity

    async def start_ledger(self) -> None:
        (self.directory / "ledger").mkdir(exist_ok=True)
        self.log = LedgerLog(self.directory / "ledger")
        journal = Journal(self.log, "ledger-1.test", SystemClock())
        await journal.open()
        self.ledger_stack.push_async_callback(journal.close)
        origin = await journal.run(self.log.origin, "test.example/ledger")
        self.tenants = TenantBook(self.directory / "ledger", self.log, journal)
        await self.tenants.open()
        self.ledger_stack.push_async_callback(self.tenants.close)
        service = LedgerService(self.log, journal, origin, self.anchors, self.tenants)
        identity = self.module("ledger")
        server = Server(
            identity, self.anchors, "ledger", service.handlers(), RevocationView(), lambda _refusal: None
        )
        await server.serve_unix(self.directory / "ledger.sock")
        self.ledger_stack.push_async_callback(server.close)

    async def stop_ledger(self) -> None:
        await self.ledger_stack.aclose()

    async def start_kms(self, own_tls: tuple[str, str] = ("", "")) -> None:
        identity = self.module("kms", f"kms-1.{new_id().hex()[-8:]}")  # numbers of events start anew
        link = Link(identity, self.anchors, "ledger", self.directory / "ledger.sock")
        self.stack.push_async_callback(link.close)
        trail = Trail(identity.instance, link, SystemClock())
        self.stack.push_async_callback(trail.close)
        pool = await open_pool(self.dsn)
        self.stack.push_async_callback(pool.close)
        async with pool.acquire() as connection:
            await migrate(connection, "kms", load_migrations("postkeep.stores.sql.kms"))
        self.kms = await open_kms(
            pool=pool,
            seal=FileSeal(self.directory),
            slots_dir=self.directory,
            hostname="mail.example.com",
            own_tls=own_tls,
            ledger=LedgerClient(link),
            trail=trail,
            clock=SystemClock(),
        )
        self.stack.callback(self.kms.close)
        self.anchors.trust("ledger", self.kms.signing.ledger.public_key)
        service = self.kms.service
        server = Server(identity, self.anchors, "kms", service.handlers(), self.view, service.on_refusal)
        await server.serve_unix(self.directory / "kms.sock")
        self.stack.push_async_callback(server.close)

    async def stop_kms(self) -> None:
        await self.stack.aclose()

    @asynccontextmanager
    async def pool(self) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
        """Look at the rows of kms, as a thief of its database would."""
        pool = await open_pool(self.dsn)
        try:
            yield pool
        finally:
            await pool.close()

    def client(self, identity: ModuleIdentity) -> KmsClient:
        link = Link(identity, self.anchors, "kms", self.directory / "kms.sock")
        self.stack.push_async_callback(link.close)
        return KmsClient(link)

    def user(self, holder: ModuleIdentity, tenant: bytes, principal: bytes) -> bytes:
        return self.mint.user(
            "imap",
            holder.instance,
            holder.thumbprint,
            tenant=tenant,
            principal=principal,
            session=SESSION,
        )[1]

    def narrowed_user(
        self, holder: ModuleIdentity, tenant: bytes, principal: bytes, *categories: Category
    ) -> bytes:
        ticket, _ = self.mint.user(
            "imap", holder.instance, holder.thumbprint, tenant=tenant, principal=principal, session=SESSION
        )
        return self.mint.sign(msgspec.structs.replace(ticket, categories=categories))

    def staff(self, holder: ModuleIdentity) -> bytes:
        return self.mint.staff(holder.module, holder.instance, holder.thumbprint, session=SESSION)[1]

    def destroyer(self, holder: ModuleIdentity, warrant: Warrant) -> bytes:
        return self.mint.grant(
            holder.module,
            holder.instance,
            holder.thumbprint,
            kind="destroy",
            request=new_id(),
            subject=warrant.digest(),
            tenant=warrant.tenant,
            principal=warrant.principal,
        )[1]

    def relay(self, holder: ModuleIdentity) -> bytes:
        purpose = purpose_named("relay")
        assert purpose is not None
        return self.mint.operation("relay", holder.instance, holder.thumbprint, purpose)[1]

    def deliver(self, holder: ModuleIdentity) -> bytes:
        purpose = purpose_named("deliver")
        assert purpose is not None
        return self.mint.operation(holder.module, holder.instance, holder.thumbprint, purpose)[1]

    async def provision(self, tenant: bytes, principal: bytes, *, queue: bool = False) -> api.SignedPublicKey:
        steward = self.module("steward")
        client, ticket = self.client(steward), self.staff(steward)
        await client.provision_tenant(api.ProvisionTenant(tenant), ticket=ticket)
        return await client.provision_principal(
            api.ProvisionPrincipal(tenant, principal, queue), ticket=ticket
        )

    async def events(self, *names: EventName, wait_for: int = 0) -> list[AuditEvent]:
        """Read the ledger as an auditor would, waiting a moment for events that are still on their way."""
        deadline = time.monotonic() + 3
        steward = self.module("steward")
        link = Link(steward, self.anchors, "ledger", self.directory / "ledger.sock")
        try:
            while True:
                page = await LedgerClient(link).entries(Entries(0, 10_000), ticket=self.staff(steward))
                events = [msgspec.json.decode(entry, type=AuditEvent) for entry in page.entries]
                found = [event for event in events if event.event in names]
                if len(found) >= wait_for or time.monotonic() > deadline:
                    return found
                await asyncio.sleep(0.02)
        finally:
            await link.close()


@asynccontextmanager
async def running(dsn: str, directory: Path) -> AsyncIterator[Node]:
    node = Node(dsn, directory)
    try:
        await node.start_ledger()
        await node.start_kms()
        yield node
    finally:
        await node.stop_kms()
        await node.stop_ledger()


def sealed(writer: EpochWriter) -> api.SealedEpoch:
    return api.SealedEpoch(writer.epoch, writer.sealed)


def write_epochs(key: api.SignedPublicKey, count: int) -> list[EpochWriter]:
    return [EpochWriter(key.tenant, key.principal, key.generation, key.public_key, 0) for _ in range(count)]
