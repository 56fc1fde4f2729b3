"""Tenants' logs, tampered with on disk in every way: the verification names the first bad entry (A2)."""

import asyncio
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ledger_sample import ORIGIN, served

from postkeep.base.clock import FixedClock
from postkeep.crypto.note import Checkpoint
from postkeep.model.audit import AuditEvent, EventName
from postkeep.services.kms.signing import LedgerSigner, PostQuantumKey, SigningKey
from postkeep.services.kms.tenant_heads import sign_tenant_heads
from postkeep.services.ledger import api
from postkeep.services.ledger.client import LedgerClient
from postkeep.services.ledger.export import ANCHORS_FILE, INSTALLATION_FILE, export_tenant, verify_export
from postkeep.services.ledger.finding import FindingCode
from postkeep.services.ledger.verify import LogKeys, Report, verify_directory
from postkeep.stores.kms_installation import SignedHead
from postkeep.stores.ledger_tenants import TenantLog
from postkeep.stores.ledger_tiles import encode_entries, split_entries

SIGNER = LedgerSigner(SigningKey(bytes(32)), PostQuantumKey(bytes(32)), FixedClock())
KEYS = LogKeys(SIGNER.public_key, SIGNER.mldsa44_key)
ONE, OTHER = "11" * 16, "22" * 16
COUNT = 1_500


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with the logs of two tenants, all of it signed; made by a real ledger."""
    directory = tmp_path_factory.mktemp("tenants")

    async def fill() -> None:
        async with served(directory) as world:
            world.anchors.ledger, world.anchors.ledger_mldsa44 = KEYS
            kms = LedgerClient(world.link("kms", "kms.aaaa"))
            events = [
                AuditEvent(EventName.READ, 0, "", n, tenant=ONE if n % 3 else OTHER, count=n)
                for n in range(1, COUNT + 1)
            ]
            await LedgerClient(world.link("vault", "vault.aa")).append(api.Append(events))
            await world.tenants.catch_up()
            await world.tenants.anchor()
            head = await kms.head()
            checkpoint = Checkpoint(head.origin, head.size, head.root)
            await kms.publish_checkpoint(api.PublishCheckpoint(SIGNER.sign(checkpoint)))
            await sign_tenant_heads(kms, SIGNER, SignedHead(head.origin, head.size, head.root))

    asyncio.run(fill())
    return directory / "ledger"


@pytest.fixture
def ledger(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "ledger")
    return tmp_path / "ledger"


def verify(ledger: Path) -> Report:
    return verify_directory(ledger, KEYS.ed25519, mldsa_key=KEYS.mldsa44)


def test_a_whole_ledger_with_tenants_is_whole(ledger: Path) -> None:
    report = verify(ledger)
    report.raise_if_bad()
    assert {tenant: one.entries for tenant, one in report.tenants.items()} == {ONE: 1000, OTHER: 500}
    assert report.tenants[ONE].origin == f"{ORIGIN}/tenant/{ONE}"


def bundle_of(ledger: Path, position: int) -> Path:
    """Return the file that holds an entry of the first tenant's log."""
    entries = ledger / "tenants" / ONE / "log" / "tile" / "entries"
    full = entries / f"{position // 256:03d}"
    return full if full.exists() else next((entries / f"{position // 256:03d}.p").iterdir())


def flip(entries: list[bytes], at: int) -> None:
    changed = bytearray(entries[at])
    changed[len(changed) // 2] ^= 1
    entries[at] = bytes(changed)


def drop(entries: list[bytes], at: int) -> None:
    del entries[at]


def insert(entries: list[bytes], at: int) -> None:
    entries.insert(at, b'{"index":0,"entry":{}}')


def swap(entries: list[bytes], at: int) -> None:
    other = at + 1 if at + 1 < len(entries) else at - 1
    entries[at], entries[other] = entries[other], entries[at]


@pytest.mark.parametrize("change", [flip, drop, insert, swap])
def test_each_way_to_tamper_with_a_tenants_entry_is_named_by_its_place(
    ledger: Path, change: Callable[[list[bytes], int], None]
) -> None:
    pick = random.Random(change.__name__)
    for position in [0, 255, 256, 999, *pick.sample(range(1000), 8)]:
        path = bundle_of(ledger, position)
        kept = path.read_bytes()
        entries, _ = split_entries(kept)
        at = position % 256
        first = min(at, at - 1) if change is swap and at + 1 >= len(entries) else at
        change(entries, at)
        path.write_bytes(encode_entries(entries))
        report = verify(ledger)
        assert not report.good
        assert report.findings == [], "the installation's own log is whole"
        assert report.tenants[ONE].first_bad_index == position - at + first
        assert report.tenants[OTHER].findings == []
        path.write_bytes(kept)
    assert verify(ledger).good


def test_hashes_and_checkpoints_of_a_tenant_are_held_against_each_other(ledger: Path) -> None:
    log = ledger / "tenants" / ONE / "log"
    for path in sorted(log.rglob("*")):
        if not path.is_file():
            continue
        kept = path.read_bytes()
        changed = bytearray(kept)
        changed[len(changed) // 2] ^= 1
        path.write_bytes(changed)
        assert not verify(ledger).good, path
        if path.name != "checkpoint":  # the anchors vouch for a log that kms has not signed yet
            path.unlink()
            assert not verify(ledger).good, path
        path.write_bytes(kept)
    assert verify(ledger).good


def test_a_tenants_log_that_is_gone_or_another_tenants_is_noticed(ledger: Path) -> None:
    shutil.rmtree(ledger / "tenants" / ONE)
    assert verify(ledger).tenants[ONE].findings != []
    shutil.copytree(ledger / "tenants" / OTHER, ledger / "tenants" / ONE)
    assert not verify(ledger).good


@pytest.mark.parametrize("count", [512, 4096])
def test_bundles_that_a_kill_left_before_a_tenants_first_anchor_are_no_fault(
    ledger: Path, count: int
) -> None:
    """They are written ahead and count for nothing yet; damaged ones are told all the same."""
    entries = [(index, b'{"event":"mail.read","tenant":"%s"}' % (b"33" * 16)) for index in range(count)]
    log = TenantLog(ledger / "tenants" / ("33" * 16))
    log.open()
    log.add(entries)
    verify(ledger).raise_if_bad()
    bundle = next((log.directory / "log" / "tile" / "entries").iterdir())
    bundle.write_bytes(bundle.read_bytes()[:-1])
    assert not verify(ledger).good


def test_a_tenants_history_made_anew_with_the_signing_key_contradicts_the_anchors(
    whole: Path, tmp_path: Path
) -> None:
    """Whoever has the key and the tenant's files, but not the installation's log, is caught."""

    async def forge() -> None:
        async with served(tmp_path) as world:
            world.anchors.ledger, world.anchors.ledger_mldsa44 = KEYS
            kms = LedgerClient(world.link("kms", "kms.aaaa"))
            events = [
                AuditEvent(EventName.READ, 0, "", n, tenant=ONE if n % 3 else OTHER, count=n * 2)
                for n in range(1, COUNT + 1)
            ]
            await LedgerClient(world.link("vault", "vault.aa")).append(api.Append(events))
            await world.tenants.catch_up()
            await world.tenants.anchor()
            head = await kms.head()
            await sign_tenant_heads(kms, SIGNER, SignedHead(head.origin, head.size, head.root))

    asyncio.run(forge())
    mixed = tmp_path / "mixed"
    shutil.copytree(whole, mixed)
    shutil.rmtree(mixed / "tenants" / ONE)
    shutil.copytree(tmp_path / "ledger" / "tenants" / ONE, mixed / "tenants" / ONE)
    report = verify(mixed)
    assert report.findings == []
    assert [f.code for f in report.tenants[ONE].findings] == [FindingCode.FORKED]


def test_an_anchor_that_does_not_fit_the_entries_before_it_is_named(tmp_path: Path) -> None:
    async def lie() -> None:
        async with served(tmp_path) as world:
            events = [AuditEvent(EventName.READ, 0, "", n, tenant=ONE) for n in range(1, 11)]
            await LedgerClient(world.link("vault", "vault.aa")).append(api.Append(events))
            anchor = AuditEvent(
                EventName.LEDGER_ANCHOR, 0, "", 0, tenant=ONE, count=10, digest=bytes(32).hex()
            )
            await world.journal.append_own(anchor)
            kms = LedgerClient(world.link("kms", "kms.aaaa"))
            world.anchors.ledger, world.anchors.ledger_mldsa44 = KEYS
            head = await kms.head()
            checkpoint = Checkpoint(head.origin, head.size, head.root)
            await kms.publish_checkpoint(api.PublishCheckpoint(SIGNER.sign(checkpoint)))

    asyncio.run(lie())
    report = verify(tmp_path / "ledger")
    assert [(f.code, f.index) for f in report.findings] == [(FindingCode.BAD_ANCHOR, 10)]


# --- What a tenant is given ---


def test_a_tenants_own_log_is_verified_alone(whole: Path, tmp_path: Path) -> None:
    assert export_tenant(whole, ONE, tmp_path / "out") == 1000
    report = verify_export(tmp_path / "out", KEYS)
    assert report.findings == []
    assert (report.entries, report.checkpoint_size) == (1000, 1000)
    given = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert OTHER.encode() not in given, "nothing of another tenant is in it"


def test_every_file_of_an_export_is_checked(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_tenant(whole, ONE, out)
    for path in sorted(out.rglob("*")):
        if not path.is_file():
            continue
        kept = path.read_bytes()
        changed = bytearray(kept)
        changed[len(changed) // 3] ^= 1
        path.write_bytes(changed)
        assert not verify_export(out, KEYS).good, path
        path.write_bytes(kept)
        if path.name != ANCHORS_FILE:  # without it nobody takes the directory for an export
            path.unlink()
            assert not verify_export(out, KEYS).good, path
            path.write_bytes(kept)
    assert verify_export(out, KEYS).good


def test_an_export_without_the_anchor_of_its_head_is_not_believed(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_tenant(whole, ONE, out)
    told = json.loads((out / ANCHORS_FILE).read_bytes())
    told["anchors"] = []
    (out / ANCHORS_FILE).write_text(json.dumps(told))
    assert [f.code for f in verify_export(out, KEYS).findings] == [FindingCode.NOT_ANCHORED]
    # The anchors of one tenant prove nothing for another.
    shutil.rmtree(out)
    export_tenant(whole, ONE, out)
    export_tenant(whole, OTHER, tmp_path / "other")
    shutil.copy(tmp_path / "other" / ANCHORS_FILE, out / ANCHORS_FILE)
    shutil.copy(tmp_path / "other" / INSTALLATION_FILE, out / INSTALLATION_FILE)
    assert not verify_export(out, KEYS).good
