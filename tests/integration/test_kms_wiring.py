"""The kms and ledger modules as the supervisor starts them, in one process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postkeep.base.errors import RefusedError, UnavailableError
from postkeep.base.ids import NOBODY, new_id
from postkeep.base.secret import Secret
from postkeep.crypto.epoch import EpochWriter
from postkeep.crypto.note import open_checkpoint
from postkeep.node.config import CategoryConfig, Config, KeyConfig, NodeConfig
from postkeep.node.context import ModuleContext
from postkeep.node.wiring import kms as kms_wiring
from postkeep.node.wiring import ledger as ledger_wiring
from postkeep.services.authority.api import Feed, FeedPage
from postkeep.services.authority.governance_api import DualControl, DualControlInfo
from postkeep.services.kms import api
from postkeep.services.kms.client import KmsClient
from postkeep.services.kms.restoration import leave_held
from postkeep.services.kms.restored_api import RestoredBy, RestoredStore
from postkeep.tickets.channel import Handler, Link, Server
from postkeep.tickets.clear import Grant
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.rules import RULES

WAIT_SECONDS = 10


@dataclass
class Running:
    task: asyncio.Task[None]
    context: ModuleContext
    published: dict[str, bytes]


class Realm:
    """The authority's key and feed, and the directories of a node."""

    def __init__(self, root: Path, dsn: str, config: Config) -> None:
        self.root = root
        self.dsn = dsn
        self.config = config
        key = Ed25519PrivateKey.generate()
        self.mint = Mint(key.sign)
        self.anchors = Anchors()
        self.anchors.trust("authority", key.public_key().public_bytes_raw())
        self.polls = 0
        self.dual_control = False
        self.withheld: list[str] = []

    def identity(self, module: str) -> ModuleIdentity:
        identity = ModuleIdentity(module, f"{module}-1.{new_id().hex()[-6:]}")
        identity.ticket = self.mint.module(module, identity.instance, identity.thumbprint)[1]
        return identity

    @asynccontextmanager
    async def feed(self) -> AsyncIterator[None]:
        async def answer(_grant: Grant, request: Feed) -> FeedPage:
            self.polls += 1
            await asyncio.sleep(min(0.05, request.wait_seconds))
            return FeedPage(request.since, [], 1)

        async def governed(_grant: Grant, _request: DualControl) -> DualControlInfo:
            return DualControlInfo(self.dual_control, None, 2, 2)

        methods: dict[str, tuple[type[msgspec.Struct], Handler]] = {
            "authority.feed": (Feed, answer),
            "authority.dual_control": (DualControl, governed),
        }
        rules = [rule for rule in RULES if rule.method in methods]
        server = Server(
            self.identity("authority"),
            self.anchors,
            "authority",
            methods,
            RevocationView(),
            lambda _refusal: None,
            rules=rules,
        )
        await server.serve_unix(self.root / "authority.sock")
        try:
            yield
        finally:
            await server.close()

    def start(self, module: str, passphrase: bytes = b"") -> tuple[Running, asyncio.Event]:
        ready = asyncio.Event()
        published: dict[str, bytes] = {}

        def publish(name: str, value: bytes) -> None:
            published[name] = value
            if name not in {"ca", "certificate"}:  # for files, not for tickets
                self.anchors.trust(name, value)

        identity = self.identity(module)
        state = self.root / module
        state.mkdir(exist_ok=True)
        context = ModuleContext(
            module=module,
            instance=identity.instance,
            index=0,
            config=self.config,
            data_dir=self.root,
            state_dir=state,
            run_dir=self.root,
            identity=identity,
            anchors=self.anchors,
            stop=asyncio.Event(),
            ready=ready.set,
            publish=publish,
            dsn=Secret(self.dsn),
            root_secrets=(Secret(passphrase),),
            withhold=self.withheld.append,
        )
        run = {"kms": kms_wiring.run, "ledger": ledger_wiring.run}[module]
        return Running(asyncio.create_task(run(context)), context, published), ready

    @asynccontextmanager
    async def running(self, module: str, passphrase: bytes = b"") -> AsyncIterator[Running]:
        module_run, ready = self.start(module, passphrase)
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait(
            {waiting, module_run.task}, timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        waiting.cancel()
        if module_run.task.done():
            await module_run.task
        assert ready.is_set()
        try:
            yield module_run
        finally:
            module_run.context.stop.set()
            await asyncio.wait_for(module_run.task, WAIT_SECONDS)


def test_a_node_starts_serves_signs_and_comes_back_with_the_same_keys(dsn: str, tmp_path: Path) -> None:
    realm = Realm(tmp_path, dsn, Config(node=NodeConfig(hostname="mail.example.com")))
    tenant, principal = new_id(), new_id()

    async def first() -> tuple[dict[str, bytes], EpochWriter]:
        async with realm.feed(), realm.running("ledger"), realm.running("kms") as kms:
            assert kms.published.keys() == {"directory", "ledger", "ledger-mldsa44", "certificate", "ca"}
            assert kms.published["ca"].startswith(b"-----BEGIN CERTIFICATE-----")
            steward = realm.identity("steward")
            ticket = realm.mint.staff("steward", steward.instance, steward.thumbprint, session=new_id())[1]
            link = Link(steward, realm.anchors, "kms", tmp_path / "kms.sock")
            client = KmsClient(link)
            await client.provision_tenant(api.ProvisionTenant(tenant), ticket=ticket)
            request = api.ProvisionPrincipal(tenant, principal)
            key = await client.provision_principal(request, ticket=ticket)
            await link.close()
            await checkpoint_is_signed(tmp_path, kms.published["ledger"])
            return kms.published, EpochWriter(tenant, principal, key.generation, key.public_key, 0)

    async def second(published: dict[str, bytes], writer: EpochWriter) -> None:
        async with realm.feed(), realm.running("ledger"), realm.running("kms") as kms:
            assert kms.published == published
            imap = realm.identity("imap")
            ticket = realm.mint.user(
                "imap",
                imap.instance,
                imap.thumbprint,
                tenant=tenant,
                principal=principal,
                session=new_id(),
            )[1]
            link = Link(imap, realm.anchors, "kms", tmp_path / "kms.sock")
            request = api.OpenEpochs(principal, [api.SealedEpoch(writer.epoch, writer.sealed)])
            assert (await opened(KmsClient(link), request, ticket)).epochs[0].chains
            await link.close()

    published, writer = asyncio.run(first())
    asyncio.run(second(published, writer))
    assert realm.polls > 0
    assert (tmp_path / "kms" / "root.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "kms" / "keys.slots").exists()


async def opened(client: KmsClient, request: api.OpenEpochs, ticket: bytes) -> api.OpenedEpochs:
    """Keys are refused until the first page of the feed has come: then they open."""
    for _ in range(100):
        try:
            return await client.open_epochs(request, ticket=ticket)
        except UnavailableError:
            await asyncio.sleep(0.05)
    return await client.open_epochs(request, ticket=ticket)


async def checkpoint_is_signed(root: Path, public_key: bytes) -> None:
    for _ in range(100):
        found = [path for path in (root / "ledger").rglob("checkpoint*") if path.is_file()]
        if found:
            note = found[0].read_bytes()
            origin = note.split(b"\n", 1)[0].decode()
            assert origin.startswith("mail.example.com/ledger/")
            assert open_checkpoint(note, origin, public_key).size > 0
            return
        await asyncio.sleep(0.05)
    pytest.fail("no checkpoint was signed")


def test_without_the_feed_no_key_is_given(dsn: str, tmp_path: Path) -> None:
    realm = Realm(tmp_path, dsn, Config())

    async def scenario() -> None:
        async with realm.running("ledger"), realm.running("kms"):
            imap = realm.identity("imap")
            ticket = realm.mint.user(
                "imap",
                imap.instance,
                imap.thumbprint,
                tenant=new_id(),
                principal=NOBODY,
                session=new_id(),
            )[1]
            link = Link(imap, realm.anchors, "kms", tmp_path / "kms.sock")
            with pytest.raises(UnavailableError):
                await KmsClient(link).open_epochs(
                    api.OpenEpochs(NOBODY, [api.SealedEpoch(new_id(), b"x")]), ticket=ticket
                )
            await link.close()

    asyncio.run(scenario())


def test_what_a_backup_brought_back_is_held_until_the_authority_says_that_dual_control_is_off(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K6, TM-37: on: the module is ready, and says that it gives no keys. Off: policy lets it pass first."""
    monkeypatch.setattr(kms_wiring, "POLICY_WAIT_SECONDS_MAX", 0.1)
    realm = Realm(tmp_path, dsn, Config())
    file = tmp_path / "kms" / "key-store.restored"
    store = RestoredStore(new_id(), RestoredBy.BACKUP, told=9, was=3)

    async def scenario() -> None:
        async with realm.running("ledger"):
            async with realm.feed(), realm.running("kms"):
                assert realm.withheld == []
            leave_held(file, store)
            async with realm.running("kms"):  # without the authority it is ready all the same, and held
                assert realm.withheld == ["restored"]
            realm.dual_control = True
            async with realm.feed(), realm.running("kms"):
                assert realm.withheld == ["restored"] * 2
            assert file.exists()
            realm.dual_control = False
            monkeypatch.setattr(kms_wiring, "POLICY_WAIT_SECONDS_MAX", 10.0)
            async with realm.feed(), realm.running("kms"):
                assert realm.withheld == ["restored"] * 2
            assert not file.exists()

    asyncio.run(scenario())


def test_with_a_passphrase_the_module_starts_only_with_the_right_one(dsn: str, tmp_path: Path) -> None:
    slots = tmp_path / "other-disk"
    slots.mkdir()
    config = Config(
        keys=KeyConfig(root="passphrase"), categories={"secret": CategoryConfig(directory=str(slots))}
    )
    realm = Realm(tmp_path, dsn, config)

    async def start(passphrase: bytes) -> bytes:
        async with realm.feed(), realm.running("ledger"), realm.running("kms", passphrase) as kms:
            return kms.published["directory"]

    made = asyncio.run(start(b"correct horse"))
    with pytest.raises(RefusedError) as caught:
        asyncio.run(start(b"wrong horse"))
    assert caught.value.code == "wrong_passphrase"
    assert asyncio.run(start(b"correct horse")) == made
    assert not (tmp_path / "kms" / "root.key").exists()
    assert (slots / "keys.slots").exists()
