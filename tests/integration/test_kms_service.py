"""K7: the key service over the real channel, with a real database and a real ledger beside it."""

import asyncio
import hashlib
import shutil
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import cast

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from tests.warrants import narrower_than, person_warrant, tenant_warrant

from postkeep.base.clock import SystemClock
from postkeep.base.errors import (
    ConflictError,
    IntegrityError,
    LimitError,
    NotFoundError,
    PostkeepError,
    RefusedError,
    UnavailableError,
)
from postkeep.base.ids import NOBODY, new_id
from postkeep.crypto.epoch import EpochReader, EpochWriter
from postkeep.crypto.note import open_checkpoint
from postkeep.model.audit import AuditEvent, EventName
from postkeep.model.categories import Category
from postkeep.model.ticket import TicketKind
from postkeep.model.warrant import Warrant
from postkeep.services.kms import api, epochs
from postkeep.services.kms.client import KmsClient
from postkeep.services.kms.opening import OpenKms, open_kms
from postkeep.services.kms.restoration import leave_held
from postkeep.services.kms.restored_api import (
    AcceptLedger,
    AcceptRestored,
    RestoredBy,
    RestoredStore,
    history_subject,
    restored_subject,
)
from postkeep.services.kms.root import FileSeal
from postkeep.services.kms.withholding import GIVEN
from postkeep.services.ledger.api import Entries
from postkeep.services.ledger.client import LedgerClient
from postkeep.services.ledger.journal import Journal
from postkeep.services.ledger.service import LedgerService
from postkeep.services.ledger.tenants import TenantBook
from postkeep.services.ledger.trail import Trail
from postkeep.stores.ledger_log import LedgerLog
from postkeep.stores.postgres import load_migrations, migrate, open_pool
from postkeep.tickets.channel import Link, Server
from postkeep.tickets.clear import Connection, Grant
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.rules import purpose_named

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


def test_a_reader_opens_epochs_in_both_forms_and_each_release_is_in_the_ledger(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, principal = new_id(), new_id()
            key = await node.provision(tenant, principal)
            writers = write_epochs(key, 3)
            imap = node.module("imap")
            client, ticket = node.client(imap), node.user(imap, tenant, principal)
            request = api.OpenEpochs(principal, [sealed(writer) for writer in writers])
            first = (await client.open_epochs(request, ticket=ticket)).epochs
            cheap = [api.SealedEpoch(item.epoch, item.sealed or b"") for item in first]
            assert all(len(item.sealed) < 80 for item in cheap)
            again = (await client.open_epochs(api.OpenEpochs(principal, cheap), ticket=ticket)).epochs
            assert [item.chains for item in again] == [item.chains for item in first]
            assert [item.sealed for item in again] == [None] * 3
            for writer, item in zip(writers, again, strict=True):
                step = writer.take()
                reader = EpochReader(item.epoch, {str(c): start for c, start in item.chains.items()})
                assert reader.wrap_key("content", 0) == step.content
                assert reader.wrap_key("metadata", 0) == step.metadata
            releases = await node.events(EventName.KEY_RELEASE)
            assert len(releases) == 2
            digest = hashlib.sha256(b"".join(writer.epoch for writer in writers)).hexdigest()
            for event in releases:
                assert (event.count, event.digest) == (3, digest)
                assert (event.tenant, event.principal) == (tenant.hex(), principal.hex())
                assert (event.module, event.instance) == ("imap", "imap-1.test")
                assert event.session == SESSION.hex()
                assert event.category == "content,metadata"

    asyncio.run(scenario())


def test_only_the_categories_of_the_ticket_are_opened(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, principal = new_id(), new_id()
            writer = write_epochs(await node.provision(tenant, principal), 1)[0]
            imap = node.module("imap")
            ticket = node.narrowed_user(imap, tenant, principal, Category.METADATA)
            request = api.OpenEpochs(principal, [sealed(writer)])
            opened = (await node.client(imap).open_epochs(request, ticket=ticket)).epochs[0]
            assert opened.chains.keys() == {Category.METADATA}
            account = node.narrowed_user(imap, tenant, principal, Category.ACCOUNT)
            with pytest.raises(RefusedError):
                await node.client(imap).open_epochs(request, ticket=account)

    asyncio.run(scenario())


def test_epochs_of_others_are_refused_to_every_ticket_but_the_principals_own(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, alice, bob = new_id(), new_id(), new_id()
            writer = write_epochs(await node.provision(tenant, alice), 1)[0]
            await node.provision(tenant, bob)
            foreign = new_id()
            await node.provision(foreign, new_id())
            request = api.OpenEpochs(alice, [sealed(writer)])
            imap, relay, other = node.module("imap"), node.module("relay"), node.module("imap")
            steward, mx = node.module("steward"), node.module("mx")
            attempts = [
                (imap, node.user(imap, tenant, bob)),  # another user
                (imap, node.user(imap, foreign, alice)),  # the same principal under another tenant
                (imap, node.user(other, tenant, alice)),  # a ticket that another instance holds
                (imap, b""),
                (relay, node.relay(relay)),  # the relay's ticket, on somebody who is no queue
                (relay, node.deliver(relay)),  # K7: who may deliver may not open
                (mx, node.deliver(mx)),
                (steward, node.staff(steward)),
                (mx, node.user(mx, tenant, alice)),
            ]
            for module, ticket in attempts:
                with pytest.raises(RefusedError):
                    await node.client(module).open_epochs(request, ticket=ticket)
            refusals = await node.events(EventName.KEY_REFUSE, wait_for=len(attempts))
            assert len(refusals) == len(attempts)
            assert all(event.outcome == "refused" and event.code for event in refusals)
            assert await node.events(EventName.KEY_RELEASE) == []

    asyncio.run(scenario())


def test_another_principals_epoch_does_not_open_with_ones_own_ticket(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, alice, bob = new_id(), new_id(), new_id()
            stolen = write_epochs(await node.provision(tenant, alice), 1)[0]
            own = write_epochs(await node.provision(tenant, bob), 1)[0]
            imap = node.module("imap")
            ticket = node.user(imap, tenant, bob)
            garbage = [api.SealedEpoch(new_id(), data) for data in (b"", b"\x02" * 66, bytes(1173))]
            request = api.OpenEpochs(bob, [sealed(stolen), sealed(own), *garbage])
            opened = (await node.client(imap).open_epochs(request, ticket=ticket)).epochs
            assert [bool(item.chains) for item in opened] == [False, True, False, False, False]
            assert {item.error for item in opened} == {"integrity", ""}
            assert [event.count for event in await node.events(EventName.KEY_RELEASE)] == [1]
            assert [event.count for event in await node.events(EventName.KEY_REFUSE, wait_for=1)] == [4]

    asyncio.run(scenario())


def test_the_relay_opens_epochs_of_queues_only(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, queue = new_id(), new_id()
            writer = write_epochs(await node.provision(tenant, queue, queue=True), 1)[0]
            relay = node.module("relay")
            request = api.OpenEpochs(queue, [sealed(writer)])
            opened = await node.client(relay).open_epochs(request, ticket=node.relay(relay))
            assert opened.epochs[0].chains.keys() == set(READ)
            event = (await node.events(EventName.KEY_RELEASE))[0]
            assert (event.tenant, event.principal, event.count) == (tenant.hex(), queue.hex(), 1)

    asyncio.run(scenario())


def test_without_the_ledger_no_key_leaves_and_the_refusal_comes_within_a_second(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, principal = new_id(), new_id()
            writer = write_epochs(await node.provision(tenant, principal), 1)[0]
            await node.provision(NOBODY, new_id())
            imap, authority = node.module("imap"), node.module("authority")
            client, ticket = node.client(imap), node.user(imap, tenant, principal)
            request = api.OpenEpochs(principal, [sealed(writer)])
            await node.stop_ledger()
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: client.open_epochs(request, ticket=ticket),
                lambda: client.release_secret(api.ReleaseSecret("tls")),
                lambda: node.client(authority).category_key(api.CategoryKey(NOBODY, Category.ACCOUNT)),
            ]
            for call in calls:
                started = time.monotonic()
                with pytest.raises(UnavailableError):
                    await call()
                assert time.monotonic() - started < 1.5
            node.ledger_stack = AsyncExitStack()
            await node.start_ledger()
            await asyncio.sleep(1.2)  # the trail's longest pause between attempts
            assert (await client.open_epochs(request, ticket=ticket)).epochs[0].chains

    asyncio.run(scenario())


def test_shredded_keys_are_gone_at_once_and_the_ledger_knew_before_and_after(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, principal = new_id(), new_id()
            writer = write_epochs(await node.provision(tenant, principal), 1)[0]
            imap, steward = node.module("imap"), node.module("steward")
            client, ticket = node.client(imap), node.user(imap, tenant, principal)
            opened = await client.open_epochs(api.OpenEpochs(principal, [sealed(writer)]), ticket=ticket)
            cheap = api.SealedEpoch(writer.epoch, opened.epochs[0].sealed or b"")
            staff, card = node.client(steward), node.staff(steward)
            person = person_warrant(tenant, principal)
            approved = node.destroyer(steward, person)
            with pytest.raises(RefusedError):
                await client.shred(api.Shred(person), ticket=ticket)
            with pytest.raises(RefusedError):
                await staff.shred(api.Shred(person), ticket=card)
            for other in (
                person_warrant(tenant, new_id()),
                tenant_warrant(tenant),
                msgspec.structs.replace(person, reason="another one"),
            ):
                with pytest.raises(RefusedError):
                    await staff.shred(api.Shred(other), ticket=approved)
            for narrower in narrower_than(person):
                less = node.destroyer(steward, narrower)
                for attempt in (
                    staff.shred(api.Shred(narrower), ticket=less),
                    staff.mark(api.Mark(narrower, bytes(16)), ticket=less),
                ):
                    with pytest.raises(RefusedError) as caught:
                        await attempt
                    assert caught.value.code == "refused.unit"
            assert (await staff.shred(api.Shred(person), ticket=approved)).keys == 1
            assert (await staff.shred(api.Shred(person), ticket=approved)).keys == 0
            for epoch in (cheap, sealed(writer)):
                with pytest.raises(NotFoundError):
                    await client.open_epochs(api.OpenEpochs(principal, [epoch]), ticket=ticket)
            with pytest.raises(ConflictError):
                await staff.provision_principal(api.ProvisionPrincipal(tenant, principal), ticket=card)
            with pytest.raises(RefusedError):
                await staff.shred(api.Shred(tenant_warrant(NOBODY)), ticket=card)
            shreds = await node.events(EventName.KEY_SHRED)
            assert [(event.note, event.count) for event in shreds] == [
                ("begin", 0),
                ("done", 1),
                ("begin", 0),
                ("done", 0),
            ]

    asyncio.run(scenario())


def test_keys_that_are_shredded_while_they_are_being_opened_are_not_handed_out(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, principal = new_id(), new_id()
            writers = write_epochs(await node.provision(tenant, principal), 1)
            imap = node.module("imap")
            ticket = node.user(imap, tenant, principal)
            many = [sealed(writers[0])] * 1500
            opening = asyncio.create_task(
                node.client(imap).open_epochs(api.OpenEpochs(principal, many), ticket=ticket)
            )
            while node.kms.hierarchy.cached == 0:  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0)
            await node.kms.hierarchy.shred(tenant, principal)
            with pytest.raises(NotFoundError):
                await opening

    asyncio.run(scenario())


def test_the_account_key_goes_to_the_authority_alone(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            authority = node.module("authority")
            client = node.client(authority)
            await client.provision_tenant(api.ProvisionTenant(NOBODY))
            key = (await client.category_key(api.CategoryKey(NOBODY, Category.ACCOUNT))).key
            assert len(key) == 32
            assert (await client.category_key(api.CategoryKey(NOBODY, Category.ACCOUNT))).key == key
            for category in (Category.SECRET, Category.CONTENT, Category.METADATA):
                with pytest.raises(RefusedError):
                    await client.category_key(api.CategoryKey(NOBODY, category))
            for name in ("imap", "mx", "relay", "steward", "vault"):
                with pytest.raises(RefusedError):
                    await node.client(node.module(name)).category_key(
                        api.CategoryKey(NOBODY, Category.ACCOUNT)
                    )
            events = await node.events(EventName.KEY_RELEASE)
            assert [(event.category, event.note) for event in events] == [("account", "category")] * 2

    asyncio.run(scenario())


def test_a_module_on_its_own_makes_keys_of_the_installation_only(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            client = node.client(node.module("authority"))
            await client.provision_tenant(api.ProvisionTenant(NOBODY))
            queue = new_id()
            key = await client.provision_principal(api.ProvisionPrincipal(NOBODY, queue, queue=True))
            assert await client.provision_principal(api.ProvisionPrincipal(NOBODY, queue, queue=True)) == key
            with pytest.raises(RefusedError):
                await client.provision_tenant(api.ProvisionTenant(new_id()))
            with pytest.raises(RefusedError):
                await client.provision_principal(api.ProvisionPrincipal(new_id(), new_id()))
            with pytest.raises(RefusedError):
                await client.provision_principal(api.ProvisionPrincipal(NOBODY, b"short"))
            created = await node.events(EventName.KEY_CREATE)
            assert [event.note for event in created] == ["tenant", "queue"]

    asyncio.run(scenario())


def test_signing_is_for_dkim_handles_and_never_with_the_installations_own_keys(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            handle = "dkim/example.com/s1"
            made = await node.kms.signing.make(handle)
            relay = node.module("relay")
            client, ticket = node.client(relay), node.relay(relay)
            answer = await client.sign(api.Sign(handle, b"header hash"), ticket=ticket)
            assert answer.public_key == made.public_key
            Ed25519PublicKey.from_public_bytes(answer.public_key).verify(answer.signature, b"header hash")
            for name in ("directory", "ledger", "sign/directory", "tls/ca", ""):
                with pytest.raises(RefusedError):
                    await client.sign(api.Sign(name, b"x"), ticket=ticket)
            with pytest.raises(NotFoundError):
                await client.sign(api.Sign("dkim/example.com/none", b"x"), ticket=ticket)
            with pytest.raises(NotFoundError):
                await client.sign(api.Sign("dkim/../directory", b"x"), ticket=ticket)
            with pytest.raises(LimitError):
                await client.sign(api.Sign(handle, bytes(65_537)), ticket=ticket)

    asyncio.run(scenario())


def test_the_faces_get_a_key_and_a_chain_that_clients_of_the_ca_accept(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> bytes:
        async with running(dsn, tmp_path) as node:
            pem = (await node.client(node.module("imap")).release_secret(api.ReleaseSecret("tls"))).value
            (tmp_path / "ca.pem").write_bytes(node.kms.tls.ca_pem)
            for name in ("root", "sign/directory", ""):
                with pytest.raises(NotFoundError):
                    await node.client(node.module("imap")).release_secret(api.ReleaseSecret(name))
            with pytest.raises(RefusedError):
                await node.client(node.module("relay")).release_secret(api.ReleaseSecret("tls"))
            assert [event.note for event in await node.events(EventName.KEY_RELEASE)] == ["tls"]
            return pem

    (tmp_path / "server.pem").write_bytes(asyncio.run(scenario()))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.pem")
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    for name in ("mail.example.com", "localhost", "127.0.0.1", "::1"):
        shake_hands(client, server, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client, server, "other.example.com")


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=name)
    two = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (one, two):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


def test_too_many_epochs_in_one_call_are_refused(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postkeep.services.kms.service.EPOCHS_PER_CALL_MAX", 10)
    assert epochs.EPOCHS_PER_CALL_MAX > 10

    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, principal = new_id(), new_id()
            writer = write_epochs(await node.provision(tenant, principal), 1)[0]
            imap = node.module("imap")
            client, ticket = node.client(imap), node.user(imap, tenant, principal)
            with pytest.raises(LimitError):
                await client.open_epochs(api.OpenEpochs(principal, [sealed(writer)] * 11), ticket=ticket)
            nothing = await client.open_epochs(api.OpenEpochs(principal, []), ticket=ticket)
            assert nothing.epochs == []

    asyncio.run(scenario())


def test_the_ledgers_heads_are_signed_one_after_the_other(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            sizes = []
            for _ in range(3):
                await node.provision(new_id(), new_id())
                await node.kms.checkpointer.step()
                note = newest_checkpoint(tmp_path / "ledger")
                checkpoint = open_checkpoint(note, "test.example/ledger", node.kms.signing.ledger.public_key)
                sizes.append(checkpoint.size)
            assert sizes == sorted(set(sizes))
            anchors = await node.client(node.module("imap")).anchors()
            assert anchors.origin == "test.example/ledger"
            assert anchors.ledger_key == node.kms.signing.ledger.public_key
            assert anchors.directory_key == node.kms.signing.directory.public_key

    asyncio.run(scenario())


def newest_checkpoint(directory: Path) -> bytes:
    found = [path for path in directory.rglob("checkpoint*") if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime_ns).read_bytes()


def test_a_ledger_that_starts_anew_gets_no_signature_and_no_key_leaves(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        tenant, principal = new_id(), new_id()
        async with running(dsn, tmp_path) as node:
            writer = write_epochs(await node.provision(tenant, principal), 1)[0]
            await node.kms.checkpointer.step()
        (tmp_path / "ledger").rename(tmp_path / "old")
        for _ in range(2):  # a restart of kms forgets nothing
            async with running(dsn, tmp_path) as node:
                for _ in range(4):
                    await node.provision(new_id(), new_id())
                with pytest.raises(IntegrityError):
                    await node.kms.checkpointer.step()
                with pytest.raises(UnavailableError):
                    await node.kms.checkpointer.step()
                imap = node.module("imap")
                ticket = node.user(imap, tenant, principal)
                with pytest.raises(PostkeepError) as caught:
                    await node.client(imap).open_epochs(
                        api.OpenEpochs(principal, [sealed(writer)]), ticket=ticket
                    )
                assert caught.value.code == "unavailable.ledger"
                tls = await node.client(imap).release_secret(api.ReleaseSecret("tls"))
                assert tls.value  # mail goes on arriving
                alarms = await node.events(EventName.KEY_REFUSE, wait_for=2)
                assert "ledger.publish_checkpoint" in {event.method for event in alarms}
                with pytest.raises(TimeoutError):  # it waits for somebody's word
                    await asyncio.wait_for(node.kms.checkpointer.run(), 0.1)

    asyncio.run(scenario())


def test_a_held_key_store_gives_no_key_but_to_those_who_are_needed_for_the_way_out(
    dsn: str, tmp_path: Path
) -> None:
    """K6, G1: what is not on the list is refused; the way out is a grant for exactly this store."""
    tenant, principal = new_id(), new_id()
    store = RestoredStore(new_id(), RestoredBy.BACKUP, told=9, was=3)

    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            writer = write_epochs(await node.provision(tenant, principal), 1)[0]
        leave_held(tmp_path / "key-store.restored", store)
        async with running(dsn, tmp_path) as node:
            node.kms.restoration.approvals = 2  # as the ledger says that dual control is on
            refused = set()
            for name, (_, handler) in node.kms.service.handlers().items():
                if name in GIVEN:
                    continue
                with pytest.raises(UnavailableError) as caught:
                    await handler(some_grant(name), None)
                assert caught.value.code == "unavailable.restored", name
                refused.add(name)
            assert {"kms.open_epochs", "kms.person_key", "kms.backup_open", "kms.shred"} <= refused
            told = await node.events(EventName.KEY_REFUSE, wait_for=len(refused))
            assert {event.method for event in told} == refused

            authority, imap, steward = (node.module(name) for name in ("authority", "imap", "steward"))
            assert (await node.client(authority).ticket_keys()).seed
            await node.client(authority).provision_tenant(api.ProvisionTenant(NOBODY))
            account = api.CategoryKey(NOBODY, Category.ACCOUNT)
            assert (await node.client(authority).category_key(account)).key
            assert (await node.client(imap).release_secret(api.ReleaseSecret("tls"))).value

            client = node.client(steward)
            withheld = await client.withheld(ticket=node.staff(steward))
            assert (withheld.store, withheld.approvals) == (store, 2)
            subject = restored_subject(store, 2)
            request = AcceptRestored(store.id)
            for kind, what, approvals, code in (
                ("key_restore", subject, 1, "refused.approvals"),
                ("key_restore", restored_subject(store, 0), 2, "refused.subject"),
                ("custody", subject, 2, "refused.subject"),
                ("destroy", subject, 2, "refused.action"),
            ):
                ticket = acceptor(node, steward, kind, what, approvals)
                with pytest.raises(RefusedError) as refusal:
                    await client.accept_restored(request, ticket=ticket)
                assert refusal.value.code == code
            good = acceptor(node, steward, "key_restore", subject, 2)
            await client.accept_restored(request, ticket=good)
            ticket = node.user(imap, tenant, principal)
            opened = await node.client(imap).open_epochs(
                api.OpenEpochs(principal, [sealed(writer)]), ticket=ticket
            )
            assert opened.epochs[0].chains
            with pytest.raises(NotFoundError):
                await client.accept_restored(request, ticket=good)
            accepted = (await node.events(EventName.KEY_ACCEPT, wait_for=1))[-1]
            assert (accepted.digest, accepted.code) == (store.id.hex(), "")
            assert accepted.note.startswith("store was at 3, by request ")
        async with running(dsn, tmp_path) as node:
            assert node.kms.restoration.store is None

    asyncio.run(scenario())


def some_grant(method: str) -> Grant:
    """What the channel would hand to a handler."""
    return Grant(
        peer_module="imap",
        peer_instance="imap-1.test",
        connection=cast("Connection", None),
        kind=TicketKind.MODULE,
        tenant=NOBODY,
        principal=NOBODY,
        session=b"",
        ticket_id="",
        categories=frozenset(),
        method=method,
        purpose="",
    )


def acceptor(node: Node, holder: ModuleIdentity, kind: str, subject: bytes, approvals: int) -> bytes:
    return node.mint.grant(
        holder.module,
        holder.instance,
        holder.thumbprint,
        kind=kind,
        request=new_id(),
        subject=subject,
        tenant=NOBODY,
        principal=NOBODY,
        approvals=approvals,
    )[1]


def test_a_restored_ledger_is_signed_again_on_a_grant_for_exactly_the_two_heads(
    dsn: str, tmp_path: Path
) -> None:
    """A3: kms forgets the head it signed only under the grant, and the ledger itself says both heads."""
    tenant, principal = new_id(), new_id()

    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            writer = write_epochs(await node.provision(tenant, principal), 1)[0]
            await node.kms.checkpointer.step()
        shutil.copytree(tmp_path / "ledger", tmp_path / "copy")
        async with running(dsn, tmp_path) as node:
            for _ in range(3):
                await node.provision(new_id(), new_id())
            await node.kms.checkpointer.step()
            lost = (await node.events(EventName.KEY_CREATE))[-1]
        shutil.rmtree(tmp_path / "ledger")
        (tmp_path / "copy").rename(tmp_path / "ledger")
        async with running(dsn, tmp_path) as node:
            with pytest.raises(IntegrityError):
                await node.kms.checkpointer.step()
            steward, authority, imap = (node.module(name) for name in ("steward", "authority", "imap"))
            client = node.client(steward)
            assert (await node.client(authority).ticket_keys()).seed  # staff can sign in
            history = (await client.withheld(ticket=node.staff(steward))).history
            assert history is not None
            assert history.lost.size > history.shown.size
            open_mail = api.OpenEpochs(principal, [sealed(writer)])
            ticket = node.user(imap, tenant, principal)
            with pytest.raises(UnavailableError) as caught:
                await node.client(imap).open_epochs(open_mail, ticket=ticket)
            assert "ledger accept-restored" in caught.value.public_text
            other = msgspec.structs.replace(history, shown=history.lost)
            for kind, subject, code in (
                ("ledger_restore", history_subject(other, 0), "refused.subject"),
                ("key_restore", history_subject(history, 0), "refused.subject"),
            ):
                bad = acceptor(node, steward, kind, subject, 2)
                with pytest.raises(RefusedError) as refused:
                    await client.accept_ledger(AcceptLedger(history), ticket=bad)
                assert refused.value.code == code
            good = acceptor(node, steward, "ledger_restore", history_subject(history, 0), 2)
            await client.accept_ledger(AcceptLedger(history), ticket=good)
            await node.kms.checkpointer.step()
            assert (await node.client(imap).open_epochs(open_mail, ticket=ticket)).epochs[0].chains
            (told,) = await node.events(EventName.LEDGER_ACCEPT, wait_for=1)
            assert (told.count, told.digest) == (history.lost.size, history.lost.root.hex())
            assert history.shown.size <= int(told.note.split()[3]) < history.lost.size
            assert lost not in await node.events(EventName.KEY_CREATE)
            assert (tmp_path / f"lost-checkpoint-{history.lost.size}").exists()

    asyncio.run(scenario())
