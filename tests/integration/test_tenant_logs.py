"""One log per tenant: derived, anchored, signed; the same after any crash (A2, A6, A7)."""

import asyncio
import errno
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.ledger_sample import ORIGIN, World, served

from postkeep.base.clock import FixedClock
from postkeep.base.errors import IntegrityError
from postkeep.crypto import merkle, note
from postkeep.crypto.note import open_checkpoint
from postkeep.model.audit import AuditEvent, EventName
from postkeep.services.kms.signing import LedgerSigner, PostQuantumKey, SigningKey
from postkeep.services.kms.tenant_heads import anchored_checkpoint, sign_tenant_heads
from postkeep.services.ledger import api
from postkeep.services.ledger.client import LedgerClient
from postkeep.stores.kms_installation import SignedHead
from postkeep.stores.ledger_tenants import TenantLog, parse_tenant_entry, read_anchors, tenant_entry

TENANTS = [bytes([n]).hex() * 16 for n in range(1, 6)]
PEOPLE = [bytes([n]).hex() * 16 for n in range(100, 109)]


def day(count: int, seed: int) -> list[AuditEvent]:
    """Make a mixture of events of several tenants and of none."""
    pick = random.Random(seed)
    return [
        AuditEvent(
            pick.choice([EventName.READ, EventName.WRITE, EventName.SIGN_IN]),
            1_800_000_000_000 + n,
            "",
            n,
            tenant=pick.choice([*TENANTS, "", "../../etc", "AB" * 16]),
            principal=pick.choice([*PEOPLE, ""]),
            count=n,
        )
        for n in range(1, count + 1)
    ]


def expected(world: World) -> dict[str, list[bytes]]:
    """Work out from the installation's log what each tenant's log must hold."""
    logs: dict[str, list[bytes]] = {}
    position = 0
    while position < world.log.size:
        entries = world.log.read(position, 1000)
        for index, entry in enumerate(entries, position):
            told = msgspec.json.decode(entry)
            if told.get("tenant") in TENANTS and told["event"] != "ledger.anchor":
                logs.setdefault(told["tenant"], []).append(tenant_entry(index, entry))
        position += len(entries)
    return logs


def held(world: World, tenant: str) -> list[bytes]:
    """Read a tenant's log as it stands on disk."""
    log = TenantLog(world.directory / "ledger" / "tenants" / tenant)
    log.open()
    entries: list[bytes] = []
    while len(entries) < log.size:
        entries += log._tree.read(len(entries), 1000)
    return entries


def root_of(entries: list[bytes]) -> bytes:
    frontier = merkle.Frontier()
    frontier.append(merkle.leaf_hashes(entries))
    return frontier.root()


def check(world: World) -> None:
    """Compare every tenant's log with what it must be, and its last anchor with its root."""
    for tenant, entries in expected(world).items():
        assert held(world, tenant) == entries
        anchor = read_anchors(world.directory / "ledger" / "tenants" / tenant, 1)[-1]
        told = msgspec.json.decode(world.log.read(anchor.entry, 1)[0], type=AuditEvent)
        assert (told.event, told.tenant, told.count) == (EventName.LEDGER_ANCHOR, tenant, len(entries))
        assert bytes.fromhex(told.digest) == root_of(entries)
    present = {path.name for path in (world.directory / "ledger" / "tenants").iterdir() if path.is_dir()}
    assert present == set(expected(world))


def test_tenants_logs_hold_their_entries_and_nothing_else_in_the_order_of_the_installations_log(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            client = LedgerClient(world.link("vault", "vault.aa"))
            events = day(4000, seed=1)
            for start, end in ((0, 10), (10, 1500), (1500, 1501), (1501, 4000)):
                await client.append(api.Append(events[start:end]))
                await world.tenants.catch_up()
                await world.tenants.anchor()
                check(world)
            size = world.log.size
            await world.tenants.catch_up()
            await world.tenants.anchor()
            assert world.log.size == size, "an anchor makes no log grow that needs another"

    asyncio.run(scenario())


@pytest.mark.parametrize("lose", ["cursor", "head", "index", "anchors", "everything"])
def test_a_crash_between_any_two_writes_costs_nothing(tmp_path: Path, lose: str) -> None:
    """Each file as it was before the last round, the others as after it: what a kill in between leaves."""

    async def scenario() -> None:
        async with served(tmp_path) as world:
            client = LedgerClient(world.link("vault", "vault.aa"))
            events = day(3000, seed=2)
            await client.append(api.Append(events[:1000]))
            await world.tenants.catch_up()
            await world.tenants.anchor()
            place = tmp_path / "ledger" / "tenants"
            shutil.copytree(place, tmp_path / "before")
            await client.append(api.Append(events[1000:]))
            await world.tenants.catch_up()
            await world.tenants.anchor()
            await world.stop()
            if lose == "cursor":
                shutil.copy(tmp_path / "before" / "cursor", place / "cursor")
            elif lose == "index":
                for path in (tmp_path / "ledger").glob("people.sqlite*"):
                    path.unlink()
            elif lose == "everything":
                shutil.rmtree(place)
            else:
                shutil.copy(tmp_path / "before" / "cursor", place / "cursor")
                for tenant in TENANTS:
                    shutil.copy(tmp_path / "before" / tenant / lose, place / tenant / lose)
            await world.start()
            await world.tenants.catch_up()
            await world.tenants.anchor()
            check(world)
            for person in PEOPLE:
                assert await found(world, TENANTS[0], person) == truth(world, TENANTS[0], person)

    asyncio.run(scenario())


async def found(world: World, tenant: str, person: str) -> list[int]:
    key = bytes.fromhex(tenant + person)
    return await world.tenants.about(key, before=2**62, since_ms=0, until_ms=2**62, count=10_000)


def truth(world: World, tenant: str, person: str) -> list[int]:
    indexes = []
    for data in expected(world).get(tenant, []):
        index, entry = parse_tenant_entry(data)
        if msgspec.json.decode(entry).get("principal") == person:
            indexes.append(index)
    return indexes[::-1]


def test_the_index_of_people_pages_and_keeps_to_a_range_of_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            await LedgerClient(world.link("vault", "vault.aa")).append(api.Append(day(2000, seed=3)))
            person = bytes.fromhex(TENANTS[1] + PEOPLE[4])
            everything = truth(world, TENANTS[1], PEOPLE[4])
            assert len(everything) > 10
            paged: list[int] = []
            before = 2**62
            while page := await world.tenants.about(
                person, before=before, since_ms=0, until_ms=2**62, count=3
            ):
                paged += page
                before = page[-1]
            assert paged == everything
            since, until = 1_800_000_000_500, 1_800_000_001_000
            ranged = await world.tenants.about(
                person, before=2**62, since_ms=since, until_ms=until, count=1000
            )
            assert ranged == [index for index in everything if since <= 1_800_000_000_001 + index < until]
            assert await found(world, TENANTS[0], "ff" * 16) == []

    asyncio.run(scenario())


def test_kms_signs_anchored_heads_and_readers_find_them_signed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            kms = LedgerClient(world.link("kms", "kms.aaaa"))
            signer = LedgerSigner(SigningKey(bytes(32)), PostQuantumKey(bytes(32)), FixedClock())
            world.anchors.ledger, world.anchors.ledger_mldsa44 = signer.public_key, signer.mldsa44_key
            await LedgerClient(world.link("vault", "vault.aa")).append(api.Append(day(700, seed=4)))
            await world.tenants.catch_up()
            await world.tenants.anchor()
            head = await kms.head()
            last = SignedHead(head.origin, head.size, head.root)
            assert await sign_tenant_heads(kms, signer, last) == len(TENANTS)
            assert await sign_tenant_heads(kms, signer, last) == 0
            for tenant, entries in expected(world).items():
                origin = f"{ORIGIN}/tenant/{tenant}"
                stored = world.directory / "ledger" / "tenants" / tenant / "log" / "checkpoint"
                checkpoint = open_checkpoint(stored.read_bytes(), origin, signer.public_key)
                assert checkpoint == note.Checkpoint(origin, len(entries), root_of(entries))

    asyncio.run(scenario())


def test_kms_signs_no_head_that_the_installations_log_does_not_hold(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            kms = LedgerClient(world.link("kms", "kms.aaaa"))
            await LedgerClient(world.link("vault", "vault.aa")).append(api.Append(day(300, seed=5)))
            await world.tenants.catch_up()
            await world.tenants.anchor()
            tree = await kms.head()
            last = SignedHead(tree.origin, tree.size, tree.root)
            (good, *_) = (await kms.tenant_heads(api.TenantHeads(tree.size, 9))).heads
            assert anchored_checkpoint(good, last).size > 0
            event = msgspec.json.decode(good.entry, type=AuditEvent)
            forged = msgspec.json.encode(msgspec.structs.replace(event, count=event.count + 1))
            other = world.log.read(0, 1)[0]
            for bad in (
                msgspec.structs.replace(good, entry=forged),
                msgspec.structs.replace(good, tenant=TENANTS[0] if good.tenant != TENANTS[0] else TENANTS[1]),
                msgspec.structs.replace(good, index=good.index - 1),
                msgspec.structs.replace(good, proof=good.proof[:-1]),
                api.AnchoredHead(good.tenant, 0, other, merkle.inclusion_proof(0, tree.size, world.log.node)),
            ):
                with pytest.raises(IntegrityError):
                    anchored_checkpoint(bad, last)

    asyncio.run(scenario())


def test_a_damaged_log_of_one_tenant_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            client = LedgerClient(world.link("vault", "vault.aa"))
            events = day(900, seed=6)
            await client.append(api.Append(events[:500]))
            await world.tenants.catch_up()
            await world.tenants.anchor()
            await world.stop()
            (tmp_path / "ledger" / "tenants" / TENANTS[2] / "head").write_bytes(b"{")
            await world.start()
            await client.append(api.Append(events[500:]))
            await world.tenants.catch_up()
            await world.tenants.anchor()
            for tenant, entries in expected(world).items():
                if tenant != TENANTS[2]:
                    assert held(world, tenant) == entries
            # Without its files it is made again, from the beginning.
            await world.stop()
            shutil.rmtree(tmp_path / "ledger" / "tenants")
            await world.start()
            await world.tenants.catch_up()
            await world.tenants.anchor()
            check(world)

    asyncio.run(scenario())


def test_quiet_tenants_do_not_pile_up_incomplete_bundles(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            client = LedgerClient(world.link("vault", "vault.aa"))
            for n in range(1, 41):
                event = AuditEvent(EventName.READ, 0, "", n, tenant=TENANTS[0])
                await client.append(api.Append([event]))
                await world.tenants.catch_up()
                await world.tenants.anchor()
            tile = tmp_path / "ledger" / "tenants" / TENANTS[0] / "log" / "tile"
            assert len(list((tile / "entries" / "000.p").iterdir())) == 1
            assert len(list((tile / "0" / "000.p").iterdir())) == 1

    asyncio.run(scenario())


def busy(count: int) -> list[AuditEvent]:
    """Make events of one tenant that is never quiet."""
    return [AuditEvent(EventName.READ, 0, "", n, tenant=TENANTS[0]) for n in range(1, count + 1)]


@pytest.mark.parametrize("end", ["settled", "killed", "evicted", "disk fault"])
def test_a_busy_tenants_bundles_are_written_ahead_and_count_once_the_log_is_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """A5: settling, which appending may have to wait for, is little work however much has come."""

    async def scenario() -> None:
        async with served(tmp_path) as world:
            client = LedgerClient(world.link("vault", "vault.aa"))
            await client.append(api.Append(busy(3000)))
            if end == "disk fault":
                monkeypatch.setattr(TenantLog, "add", failing(TenantLog.add, times=2))
            await world.tenants.catch_up()
            place = tmp_path / "ledger" / "tenants" / TENANTS[0]
            assert not (place / "head").exists(), "nothing counts yet"
            if end == "killed":  # the files as a kill leaves them, and nothing of what was in memory
                shutil.copytree(tmp_path / "ledger", tmp_path / "killed")
                await world.stop()
                shutil.rmtree(tmp_path / "ledger")
                shutil.copytree(tmp_path / "killed", tmp_path / "ledger")
                await world.start()
                await world.tenants.catch_up()
            elif end == "evicted":
                world.tenants._open.clear()
            ahead = sorted((place / "log" / "tile" / "entries").glob("[0-9]*"))
            assert len([path for path in ahead if path.is_file()]) >= 2048 // 256
            await world.tenants.anchor()
            check(world)

    asyncio.run(scenario())


def failing(real: Callable[..., None], times: int) -> Callable[..., None]:
    """Make a function fail as a full disk does, after it has done its work, for the first calls."""
    left = times

    def work(*args: object) -> None:
        nonlocal left
        real(*args)
        if left:
            left -= 1
            raise OSError(errno.ENOSPC, "no space")

    return work
