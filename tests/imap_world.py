"""IMAP over real sockets, with the real keepers on real channels in this process."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import msgspec
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postkeep.base.clock import SystemClock
from postkeep.base.ids import NOBODY, new_id
from postkeep.crypto.message import wrap_keys
from postkeep.faces.imap.keepers import Keepers
from postkeep.faces.imap.server import ImapServer
from postkeep.faces.tls import server_context
from postkeep.model.categories import Category
from postkeep.services.authority import api as authority_api
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.authority.enrolment import Enrolments
from postkeep.services.authority.feed import FeedLog
from postkeep.services.authority.passwords import Passwords
from postkeep.services.authority.service import AuthorityService
from postkeep.services.authority.state import AuthorityState
from postkeep.services.delivery.epochs import EpochBook
from postkeep.services.delivery.seal import seal_parts
from postkeep.services.kms import api as kms_api
from postkeep.services.kms.client import KmsClient
from postkeep.services.kms.opening import open_kms
from postkeep.services.kms.root import FileSeal
from postkeep.services.ledger.client import LedgerClient
from postkeep.services.ledger.journal import Journal
from postkeep.services.ledger.service import LedgerService
from postkeep.services.ledger.tenants import TenantBook
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault import api as vault_api
from postkeep.services.vault.client import VaultClient
from postkeep.services.vault.service import VaultService, open_stores
from postkeep.stores.authority_access import AccessRows
from postkeep.stores.authority_directory import DirectoryRows
from postkeep.stores.authority_requests import GovernanceRows
from postkeep.stores.ledger_log import LedgerLog
from postkeep.stores.postgres import load_migrations, migrate, open_pool
from postkeep.tickets.channel import Link, Refusal, Server
from postkeep.tickets.entitlements import purpose_named
from postkeep.tickets.follow import follow_feed
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.revocations import RevocationView

T = TypeVar("T")
PASSWORD = "correct horse battery"
ALICE = "alice@example.com"


class Person(msgspec.Struct, frozen=True):
    """Somebody with an account."""

    address: str
    key: kms_api.SignedPublicKey


class World:
    """Everything that runs."""

    def __init__(self, dsn: str, directory: Path) -> None:
        self.dsn = dsn
        self.directory = directory
        self.stack = AsyncExitStack()
        key = Ed25519PrivateKey.generate()
        self.mint = Mint(key.sign)
        self.anchors = Anchors()
        self.anchors.trust("authority", key.public_key().public_bytes_raw())
        self.view = RevocationView()
        self.own_view = RevocationView()
        self.refusals: list[Refusal] = []
        self.servers: dict[str, Server] = {}
        self.identity = self.module("imap")
        self.steward = self.module("steward")
        self.staff = self.mint.staff(
            "steward",
            self.steward.instance,
            self.steward.thumbprint,
            session=new_id(),
        )[1]
        self.authority = AuthorityClient(self.link(self.steward, "authority"))
        self.vault: VaultService
        self.imap: ImapServer
        self.port = 0
        self.tls_port = 0
        self.client_tls = ssl.create_default_context()
        self.tenant = new_id()
        self._has_company = False
        self._book = EpochBook(lambda: self.anchors.directory, SystemClock())
        self._mx = self.module("mx")
        self._mx_vault = VaultClient(self.link(self._mx, "vault"))

    def module(self, name: str) -> ModuleIdentity:
        identity = ModuleIdentity(name, f"{name}-1.test")
        identity.ticket = self.mint.module(name, identity.instance, identity.thumbprint)[1]
        return identity

    def link(self, identity: ModuleIdentity, keeper: str) -> Link:
        link = Link(identity, self.anchors, keeper, self.directory / f"{keeper}.sock")
        self.stack.push_async_callback(link.close)
        return link

    async def serve(self, keeper: str, handlers: Any, identity: ModuleIdentity) -> None:
        view = self.own_view if keeper == "authority" else self.view
        server = Server(identity, self.anchors, keeper, handlers, view, self.refusals.append)
        await server.serve_unix(self.directory / f"{keeper}.sock")
        self.servers[keeper] = server
        self.stack.push_async_callback(server.close)

    async def _database(self, keeper: str) -> str:
        """Make a keeper's own database beside the test's."""
        name = self.dsn.partition("@/")[2].partition("?")[0]
        connection = await asyncpg.connect(self.dsn)
        await connection.execute(f"CREATE DATABASE {name}_{keeper}")
        await connection.close()
        return self.dsn.replace(f"/{name}?", f"/{name}_{keeper}?")

    async def start(self) -> None:
        await self._start_ledger()
        await self._start_kms()
        await self._start_authority()
        await self._start_vault()
        await self._start_imap()

    async def _start_ledger(self) -> None:
        (self.directory / "ledger").mkdir()
        log = LedgerLog(self.directory / "ledger")
        journal = Journal(log, "ledger-1.test", SystemClock())
        await journal.open()
        self.stack.push_async_callback(journal.close)
        origin = await journal.run(log.origin, "test.example/ledger")
        tenants = TenantBook(self.directory / "ledger", log, journal)
        await tenants.open()
        self.stack.push_async_callback(tenants.close)
        service = LedgerService(log, journal, origin, self.anchors, tenants)
        await self.serve("ledger", service.handlers(), self.module("ledger"))

    async def _start_kms(self) -> None:
        identity = self.module("kms")
        link = self.link(identity, "ledger")
        trail = Trail(identity.instance, link, SystemClock())
        self.stack.push_async_callback(trail.close)
        pool = await open_pool(await self._database("kms"))
        self.stack.push_async_callback(pool.close)
        async with pool.acquire() as connection:
            await migrate(connection, "kms", load_migrations("postkeep.stores.sql.kms"))
        kms = await open_kms(
            pool=pool,
            seal=FileSeal(self.directory),
            slots_dir=self.directory,
            hostname="mail.example.com",
            own_tls=("", ""),
            ledger=LedgerClient(link),
            trail=trail,
            clock=SystemClock(),
        )
        self.stack.callback(kms.close)
        self.anchors.trust("directory", kms.signing.directory.public_key)
        self.client_tls.load_verify_locations(cadata=kms.tls.ca_pem.decode())
        await self.serve("kms", kms.service.handlers(), identity)

    async def _start_authority(self) -> None:
        identity = self.module("authority")
        trail = Trail(identity.instance, self.link(identity, "ledger"), SystemClock())
        self.stack.push_async_callback(trail.close)
        pool = await open_pool(await self._database("authority"))
        self.stack.push_async_callback(pool.close)
        async with pool.acquire() as connection:
            await migrate(connection, "authority", load_migrations("postkeep.stores.sql.authority"))
        feed = FeedLog(self.own_view)
        state = AuthorityState(
            self.mint,
            SystemClock(),
            feed,
            trail,
            DirectoryRows(pool),
            AccessRows(pool),
            GovernanceRows(pool),
        )
        feed.load([], await state.directory.version())
        kms = KmsClient(self.link(identity, "kms"))
        await kms.provision_tenant(kms_api.ProvisionTenant(NOBODY))
        queue_key = await kms.provision_principal(
            kms_api.ProvisionPrincipal(NOBODY, NOBODY, queue=True),
        )
        released = await kms.category_key(kms_api.CategoryKey(NOBODY, Category.ACCOUNT))
        state.unlock(released.key, queue_key)
        passwords = Passwords()
        self.stack.callback(passwords.close)
        service = AuthorityService(state, Enrolments(), passwords, os.getuid())
        await self.serve("authority", service.handlers(), identity)

    async def _start_vault(self) -> None:
        identity = self.module("vault")
        follow = follow_feed(AuthorityClient(self.link(identity, "authority")), self.view)
        task = asyncio.create_task(follow)
        self.stack.callback(task.cancel)
        link = self.link(identity, "ledger")
        trail = Trail(identity.instance, link, SystemClock())
        self.stack.push_async_callback(trail.close)
        self.vault_dsn = await self._database("vault")
        stores = await self.stack.enter_async_context(
            open_stores(self.vault_dsn, self.directory / "packs", self.directory / "wraps.slots"),
        )
        self.vault = VaultService(stores, trail, SystemClock())
        self._vault_identity = identity
        await self.serve_vault()

    async def serve_vault(self) -> None:
        """Let the vault answer, again after `stop_vault`."""
        await self.serve("vault", self.vault.handlers, self._vault_identity)

    async def stop_vault(self) -> None:
        """Let the vault be away."""
        await self.servers["vault"].close()

    async def _start_imap(self) -> None:
        kms = KmsClient(self.link(self.identity, "kms"))
        keepers = Keepers(
            AuthorityClient(self.link(self.identity, "authority")),
            VaultClient(self.link(self.identity, "vault")),
            kms,
            self.anchors,
            SystemClock(),
        )
        secret = await kms.release_secret(kms_api.ReleaseSecret("tls"))
        self.imap = ImapServer(keepers, server_context(secret.value))
        plain, secure = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
        self.port, self.tls_port = plain.getsockname()[1], secure.getsockname()[1]
        await self.imap.serve(imap=plain, imaps=secure)
        self.stack.push_async_callback(self.imap.close)

    async def person(self, address: str) -> Person:
        """Make an account, and the company when it is the first one."""
        kms = KmsClient(self.link(self.steward, "kms"))
        await kms.provision_tenant(kms_api.ProvisionTenant(self.tenant), ticket=self.staff)
        if not self._has_company:
            self._has_company = True
            queue = kms_api.ProvisionPrincipal(self.tenant, new_id(), queue=True)
            queue_key = await kms.provision_principal(queue, ticket=self.staff)
            company = authority_api.CreateTenant(self.tenant, "example.com", "Example", queue_key)
            await self.authority.create_tenant(company, ticket=self.staff)
        principal = new_id()
        key = await kms.provision_principal(
            kms_api.ProvisionPrincipal(self.tenant, principal),
            ticket=self.staff,
        )
        user = authority_api.CreateUser(self.tenant, principal, address, "Alice", PASSWORD, None, key)
        await self.authority.create_user(user, ticket=self.staff)
        return Person(address, key)

    async def revoke(self, scope: str, subject: bytes) -> None:
        """Void everything issued to a session or a user."""
        await self.authority.revoke(authority_api.Revoke(scope, subject.hex()), ticket=self.staff)

    async def set_quota(self, person: Person, limit_bytes: int) -> None:
        """Limit what somebody may keep."""
        request = vault_api.SetQuota(person.key.tenant, person.key.principal, limit_bytes)
        await VaultClient(self.link(self.steward, "vault")).set_quota(request, ticket=self.staff)

    async def deliver(self, person: Person, *messages: bytes, role: str = "inbox") -> list[vault_api.Placed]:
        """Deliver messages as mx does: sealed to the person's public key."""
        deposits, epochs = [], {}
        for message in messages:
            parts = seal_parts(person.key.tenant, message)
            epoch, step = self._book.take(person.key)
            writer = epoch.writer
            wraps = wrap_keys(
                parts.keys,
                step,
                parts.tenant,
                parts.body,
                writer.principal,
                writer.epoch,
            )
            placement = vault_api.Placement(
                writer.principal,
                writer.epoch,
                step.index,
                wraps,
                role=role,
            )
            deposits.append(
                vault_api.Deposit(
                    parts.tenant,
                    parts.body,
                    parts.content,
                    parts.summary,
                    parts.size,
                    [placement],
                    text=parts.text,
                ),
            )
            epochs[writer.epoch] = epoch.announcement
        purpose = purpose_named("deliver")
        assert purpose is not None
        ticket = self.mint.operation("mx", self._mx.instance, self._mx.thumbprint, purpose)[1]
        answer = await self._mx_vault.deposit(
            vault_api.DepositBatch(deposits, list(epochs.values())),
            ticket=ticket,
        )
        assert [result.error for result in answer.results] == [""] * len(messages)
        return [placed for result in answer.results for placed in result.placed]


@asynccontextmanager
async def running(dsn: str, directory: Path) -> AsyncIterator[World]:
    """Run a world."""
    world = World(dsn, directory)
    try:
        await world.start()
        yield world
    finally:
        await world.stack.aclose()


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine on uvloop, as the module does."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


Scenario = Callable[[World, Person], Awaitable[None]]
