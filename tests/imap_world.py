"""IMAP over real sockets, with a real ledger, kms and vault on real channels in this process.

The authority stands in: it checks passwords in a dictionary and signs real tickets with the key in the
test's hand, so that every call to kms and vault is cleared as in a running node.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postkeep.base.clock import SystemClock
from postkeep.base.errors import RefusedError
from postkeep.base.ids import new_id
from postkeep.crypto.message import wrap_keys
from postkeep.faces.imap.keepers import Keepers
from postkeep.faces.imap.server import ImapServer
from postkeep.faces.smtp.tls import server_context
from postkeep.services.authority import api as authority_api
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.delivery.epochs import EpochBook
from postkeep.services.delivery.seal import seal_parts
from postkeep.services.kms import api as kms_api
from postkeep.services.kms.client import KmsClient
from postkeep.services.kms.opening import open_kms
from postkeep.services.kms.root import FileSeal
from postkeep.services.ledger.client import LedgerClient
from postkeep.services.ledger.journal import Journal
from postkeep.services.ledger.service import LedgerService
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault import api as vault_api
from postkeep.services.vault.client import VaultClient
from postkeep.services.vault.service import VaultService, open_stores
from postkeep.stores.ledger_log import LedgerLog
from postkeep.stores.postgres import load_migrations, migrate, open_pool
from postkeep.tickets.channel import Link, Refusal, Server
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.rules import purpose_named

T = TypeVar("T")
PASSWORD = "correct horse"
ALICE = "alice@example.com"


class Person(msgspec.Struct, frozen=True):
    """Somebody with an account."""

    address: str
    key: kms_api.SignedPublicKey


class AuthorityStandIn:
    """Answers what the face asks of the authority; `revoke` reaches who follows the feed."""

    def __init__(self, mint: Mint, holder: ModuleIdentity) -> None:
        self.mint = mint
        self.holder = holder
        self.people: dict[str, Person] = {}
        self.seconds: int | None = None
        self.renewed = 0
        self.ended: set[bytes] = set()
        self.revocations: list[authority_api.Revocation] = []
        self._news = asyncio.Event()

    async def call(
        self,
        method: str,
        request: msgspec.Struct,
        reply: type[T],
        *,
        ticket: bytes = b"",
        timeout_seconds: float = 30.0,
    ) -> T:
        del timeout_seconds
        answer = await getattr(self, method.partition(".")[2])(request, ticket)
        assert isinstance(answer, reply)
        return answer

    async def sign_in(self, request: authority_api.SignIn, ticket: bytes) -> authority_api.SignedIn:
        del ticket
        person = self.people.get(request.address)
        if person is None or request.password != PASSWORD:
            raise RefusedError("wrong")
        return self._signed_in(person, new_id())

    async def renew_user(self, request: authority_api.RenewUser, ticket: bytes) -> authority_api.SignedIn:
        assert not ticket
        if request.session in self.ended:
            raise RefusedError("the session has ended")
        self.renewed += 1
        (person,) = self.people.values()
        return self._signed_in(person, request.session)

    async def sign_out(self, request: authority_api.SignOut, ticket: bytes) -> authority_api.Done:
        assert not ticket
        self.ended.add(request.session)
        return authority_api.Done()

    async def feed(self, request: authority_api.Feed, ticket: bytes) -> authority_api.FeedPage:
        del ticket
        if request.since >= len(self.revocations):
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), min(request.wait_seconds, 1.0))
        return authority_api.FeedPage(len(self.revocations), self.revocations[request.since :], 1)

    def revoke(self, scope: str, subject: bytes) -> None:
        now_ms = SystemClock().now_ms()
        self.revocations.append(authority_api.Revocation(scope, subject.hex(), now_ms))
        self._news.set()

    def _signed_in(self, person: Person, session: bytes) -> authority_api.SignedIn:
        claims, token = self.mint.user(
            "imap",
            self.holder.instance,
            self.holder.thumbprint,
            tenant=person.key.tenant,
            principal=person.key.principal,
            session=session,
        )
        expires = claims.expires if self.seconds is None else int(time.time()) + self.seconds
        return authority_api.SignedIn(
            token,
            expires,
            session,
            person.key.tenant,
            person.key.principal,
            person.key,
            [person.address],
        )


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
        self.refusals: list[Refusal] = []
        self.servers: dict[str, Server] = {}
        self.identity = self.module("imap")
        self.authority = AuthorityStandIn(self.mint, self.identity)
        self.vault: VaultService
        self.imap: ImapServer
        self.port = 0
        self.tls_port = 0
        self.client_tls = ssl.create_default_context()
        self.tenant = new_id()
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
        server = Server(identity, self.anchors, keeper, handlers, self.view, self.refusals.append)
        await server.serve_unix(self.directory / f"{keeper}.sock")
        self.servers[keeper] = server
        self.stack.push_async_callback(server.close)

    async def start(self) -> None:
        self._keep_view_fresh()
        await self._start_ledger()
        await self._start_kms()
        await self._start_vault()
        await self._start_imap()

    def _keep_view_fresh(self) -> None:
        async def keep() -> None:
            while True:
                self.view.heard(0)
                await asyncio.sleep(1)

        task = asyncio.create_task(keep())
        self.stack.callback(task.cancel)

    async def _start_ledger(self) -> None:
        (self.directory / "ledger").mkdir()
        log = LedgerLog(self.directory / "ledger")
        journal = Journal(log, "ledger-1.test", SystemClock())
        await journal.open()
        self.stack.push_async_callback(journal.close)
        origin = await journal.run(log.origin, "test.example/ledger")
        service = LedgerService(log, journal, origin, self.anchors)
        await self.serve("ledger", service.handlers(), self.module("ledger"))

    async def _start_kms(self) -> None:
        identity = self.module("kms")
        link = self.link(identity, "ledger")
        trail = Trail(identity.instance, link, SystemClock())
        self.stack.push_async_callback(trail.close)
        pool = await open_pool(self.dsn)
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

    async def _start_vault(self) -> None:
        identity = self.module("vault")
        link = self.link(identity, "ledger")
        trail = Trail(identity.instance, link, SystemClock())
        self.stack.push_async_callback(trail.close)
        stores = await self.stack.enter_async_context(
            open_stores(self.dsn, self.directory / "packs", self.directory / "wraps.slots"),
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
            AuthorityClient(self.authority),
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
        """Make an account."""
        steward = self.module("steward")
        ticket = self.mint.staff("steward", steward.instance, steward.thumbprint, session=new_id())[1]
        kms = KmsClient(self.link(steward, "kms"))
        await kms.provision_tenant(kms_api.ProvisionTenant(self.tenant), ticket=ticket)
        key = await kms.provision_principal(
            kms_api.ProvisionPrincipal(self.tenant, new_id()),
            ticket=ticket,
        )
        person = Person(address, key)
        self.authority.people[address] = person
        return person

    async def set_quota(self, person: Person, limit_bytes: int) -> None:
        """Limit what somebody may keep."""
        steward = self.module("steward")
        ticket = self.mint.staff("steward", steward.instance, steward.thumbprint, session=new_id())[1]
        request = vault_api.SetQuota(person.key.tenant, person.key.principal, limit_bytes)
        await VaultClient(self.link(steward, "vault")).set_quota(request, ticket=ticket)

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
