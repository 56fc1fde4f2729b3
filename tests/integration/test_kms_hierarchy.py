"""D2: keys made, opened and destroyed, on a real database and real slots."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from postkeep.base.clock import FixedClock
from postkeep.base.errors import ConflictError, IntegrityError, NotFoundError, UnavailableError
from postkeep.base.ids import NOBODY, new_id
from postkeep.base.secret import Secret
from postkeep.crypto.directory_key import check_public_key
from postkeep.crypto.epoch import EpochWriter, open_seed
from postkeep.model.categories import Category
from postkeep.services.kms import hierarchy as hierarchies
from postkeep.services.kms.hierarchy import Hierarchy
from postkeep.services.kms.root import unseal_root
from postkeep.services.kms.root_change import RootCustody, RootSeals, settle
from postkeep.services.kms.root_generations import open_root_keys
from postkeep.services.kms.rotation_parts import RotationParts
from postkeep.services.kms.sharing import Sharing
from postkeep.services.kms.signing import NamedKeys, SigningKeys, open_signing_keys
from postkeep.services.kms.tenants import NoCustodians, TenantKeys
from postkeep.services.kms.witness import StoreWitness
from postkeep.stores.kms_installation import KmsInstallationRows
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.kms_rotations import KmsRotationRows
from postkeep.stores.kms_shares import KmsShareRows
from postkeep.stores.postgres import load_migrations, migrate, open_pool
from postkeep.stores.slots import ErasableSlots


@dataclass
class Store:
    pool: "asyncpg.Pool[asyncpg.Record]"
    rows: KmsKeyRows
    slots: ErasableSlots
    root: Secret[bytes]
    signing: SigningKeys
    tenants: TenantKeys
    keys: Hierarchy
    parts: RotationParts


def _no_secrets(_what: object, _secret: bytes) -> None:
    """No supervisor holds secrets: the root key is in a file."""


@asynccontextmanager
async def open_store(dsn: str, directory: Path) -> AsyncIterator[Store]:
    pool = await open_pool(dsn)
    try:
        async with pool.acquire() as connection:
            await migrate(connection, "kms", load_migrations("postkeep.stores.sql.kms"))
        installation = KmsInstallationRows(pool)
        seals = RootSeals(directory)
        root = await unseal_root(seals.current(Secret(b"")), installation)
        settle(directory, _no_secrets)
        custody = RootCustody(seals, root, Secret(b""), _no_secrets)
        clock = FixedClock()
        with ErasableSlots(directory / "keys.slots", 32) as slots:
            rows = KmsKeyRows(pool)
            witness = StoreWitness(directory, rows, slots)
            await witness.check()
            roots = await open_root_keys(root, installation, slots)
            named = NamedKeys(roots, installation, clock)
            signing = await open_signing_keys(named, clock)
            tenants = TenantKeys(roots, rows, slots, NoCustodians(), clock)
            keys = Hierarchy(tenants, rows, slots, signing, witness=witness, clock=clock)
            parts = RotationParts(
                custody,
                roots,
                named,
                installation,
                tenants,
                keys,
                rows,
                KmsRotationRows(pool),
                slots,
                Sharing(keys, KmsShareRows(pool), slots, witness, clock),
                witness,
                clock,
            )
            yield Store(pool, rows, slots, root, signing, tenants, keys, parts)
    finally:
        await pool.close()


def test_a_principals_key_opens_its_epochs_also_after_a_restart(dsn: str, tmp_path: Path) -> None:
    tenant, principal = new_id(), new_id()

    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            assert await store.keys.provision_tenant(tenant)
            key, made = await store.keys.provision_principal(tenant, principal, queue=False)
            assert made
            anchor = store.signing.directory.public_key
            check_public_key(anchor, tenant, principal, key.generation, key.public_key, key.signature)
            writer = EpochWriter(tenant, principal, key.generation, key.public_key, 0)
        async with open_store(dsn, tmp_path) as store:
            assert store.signing.directory.public_key == anchor
            again, made = await store.keys.provision_principal(tenant, principal, queue=False)
            assert (again, made) == (key, False)
            assert not await store.keys.provision_tenant(tenant)
            keys = await store.keys.principal(principal)
            private = keys.generations[1].private_key()
            assert len(open_seed(private, tenant, principal, writer.epoch, writer.sealed)) == 32
            assert await store.keys.principal(principal) is keys

    asyncio.run(scenario())


def test_a_data_key_belongs_to_one_tenant_and_stays_the_same(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            one, two = new_id(), NOBODY
            await store.keys.provision_tenant(one)
            await store.keys.provision_tenant(two)
            keys = [await store.keys.data_key(tenant, Category.ACCOUNT) for tenant in (one, two)]
            assert len(set(keys)) == 2
        async with open_store(dsn, tmp_path) as store:
            assert [await store.keys.data_key(t, Category.ACCOUNT) for t in (one, two)] == keys
            with pytest.raises(NotFoundError):
                await store.keys.data_key(new_id(), Category.ACCOUNT)

    asyncio.run(scenario())


def test_a_principal_exists_in_one_tenant_and_as_one_thing(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            one, two, principal = new_id(), new_id(), new_id()
            await store.keys.provision_tenant(one)
            await store.keys.provision_tenant(two)
            await store.keys.provision_principal(one, principal, queue=False)
            with pytest.raises(ConflictError):
                await store.keys.provision_principal(two, principal, queue=False)
            with pytest.raises(ConflictError):
                await store.keys.provision_principal(one, principal, queue=True)
            with pytest.raises(NotFoundError):
                await store.keys.provision_principal(new_id(), new_id(), queue=False)
            with pytest.raises(NotFoundError):
                await store.keys.principal(new_id())

    asyncio.run(scenario())


@pytest.mark.parametrize("whole_tenant", [False, True])
def test_what_is_shredded_stays_closed_even_with_every_row_put_back(
    dsn: str, tmp_path: Path, whole_tenant: object
) -> None:
    tenant, principal, other = new_id(), new_id(), new_id()

    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            await store.keys.provision_tenant(tenant)
            key, _ = await store.keys.provision_principal(tenant, principal, queue=False)
            await store.keys.provision_principal(tenant, other, queue=False)
            held = await store.keys.principal(principal)
            tables = ("tenant_keys", "category_keys", "principal_keys", "principal_wraps")
            backup = {t: await store.pool.fetch(f"SELECT * FROM {t}") for t in tables}
            secrets = (tmp_path / "keys.slots").read_bytes()[64:]
            count = await store.keys.shred(tenant, b"" if whole_tenant else principal)
            assert count == (5 if whole_tenant else 1)
            assert not held.live
            assert not held.generations
            # Slots: the root key's generation, the tenant, its two categories, the two principals.
            erased = range(1, 6) if whole_tenant else [4]
            left = (tmp_path / "keys.slots").read_bytes()
            assert [n for n in range(6) if secrets[32 * n : 32 * n + 32] not in left] == [*erased]
            assert await store.keys.shred(tenant, b"" if whole_tenant else principal) == 0
            with pytest.raises(ConflictError):
                await store.keys.provision_principal(tenant, principal, queue=False)
            if whole_tenant:
                with pytest.raises(ConflictError):
                    await store.keys.provision_tenant(tenant)
                with pytest.raises(NotFoundError):
                    await store.keys.principal(other)
            else:
                assert (await store.keys.principal(other)).live
            # A thief, or a backup, brings back every row as it was, and has the root key.
            await store.pool.execute(
                "TRUNCATE tenant_keys, category_keys, principal_keys, principal_wraps, data_keys,"
                " shares, share_wraps, share_rekeys,"
                " person_keys,"
                " shredded_keys"
            )
            async with store.pool.acquire() as connection:
                for table, rows in backup.items():
                    await connection.copy_records_to_table(table, records=[tuple(row) for row in rows])
        async with open_store(dsn, tmp_path) as store:
            again, made = await store.keys.provision_principal(tenant, principal, queue=False)
            assert (again.public_key, made) == (key.public_key, False)
            with pytest.raises(NotFoundError):
                await store.keys.principal(principal)

    asyncio.run(scenario())


def test_shredding_that_was_cut_short_is_finished_by_shredding_again(dsn: str, tmp_path: Path) -> None:
    tenant, principal = new_id(), new_id()

    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            await store.keys.provision_tenant(tenant)
            await store.keys.provision_principal(tenant, principal, queue=False)
            # As a crash leaves it: remembered and erased, the row still there.
            await store.rows.mark_shredded(tenant, principal, 0)
            store.slots.erase_many(await store.rows.slots_of(tenant, principal))
        async with open_store(dsn, tmp_path) as store:
            with pytest.raises(NotFoundError):
                await store.keys.principal(principal)
            with pytest.raises(ConflictError):
                await store.keys.provision_principal(tenant, principal, queue=False)
            assert await store.keys.shred(tenant, principal) == 1
            assert await store.rows.principal(principal) == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE principal_keys SET queue = true",
        "UPDATE principal_wraps SET parent = 2",
        "UPDATE principal_keys SET public_key = decode('00', 'hex')",
        "UPDATE principal_keys SET slot = 0",
        "UPDATE category_keys SET category = CASE category WHEN 'secret' THEN 'account' ELSE 'secret' END",
        "UPDATE tenant_keys SET slot = 0",
    ],
)
def test_a_row_that_was_altered_or_moved_does_not_open(dsn: str, tmp_path: Path, change: str) -> None:
    tenant, principal = new_id(), new_id()

    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            await store.keys.provision_tenant(tenant)
            await store.keys.provision_principal(tenant, principal, queue=False)
            if "CASE" in change:
                await store.pool.execute("ALTER TABLE category_keys DROP CONSTRAINT category_keys_pkey")
            await store.pool.execute(change)
        async with open_store(dsn, tmp_path) as store:
            with pytest.raises(IntegrityError):
                await store.keys.principal(principal)

    asyncio.run(scenario())


def test_a_swapped_private_key_does_not_open_in_anothers_place(dsn: str, tmp_path: Path) -> None:
    tenant, one, two = new_id(), new_id(), new_id()

    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            await store.keys.provision_tenant(tenant)
            for principal in (one, two):
                await store.keys.provision_principal(tenant, principal, queue=False)
            await store.pool.execute(
                "UPDATE principal_wraps SET wrapped = (SELECT wrapped FROM principal_wraps WHERE"
                " principal = $1)"
                " WHERE principal = $2",
                one,
                two,
            )
            with pytest.raises(IntegrityError):
                await store.keys.principal(two)

    asyncio.run(scenario())


def test_no_more_principals_stay_in_memory_than_the_limit(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hierarchies, "HALVES_CACHED_MAX", 3)

    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            tenant = new_id()
            await store.keys.provision_tenant(tenant)
            principals = [new_id() for _ in range(5)]
            for principal in principals:
                await store.keys.provision_principal(tenant, principal, queue=False)
                await store.keys.principal(principal)
            assert store.keys.cached == 3
            newest = await store.keys.principal(principals[4])
            oldest = await store.keys.principal(principals[0])
            assert await store.keys.principal(principals[4]) is newest
            assert await store.keys.principal(principals[0]) is oldest

    asyncio.run(scenario())


def test_another_root_key_or_none_is_refused_and_none_is_made(dsn: str, tmp_path: Path) -> None:
    async def first() -> None:
        async with open_store(dsn, tmp_path):
            pass

    async def refused(word: str) -> None:
        with pytest.raises(IntegrityError) as caught:
            async with open_store(dsn, tmp_path):
                pass
        assert caught.value.code == "root_key"
        assert word in caught.value.public_text

    asyncio.run(first())
    key = (tmp_path / "root.key").read_bytes()
    (tmp_path / "root.key").write_bytes(bytes(32))
    asyncio.run(refused("not the one"))
    (tmp_path / "root.key").unlink()
    asyncio.run(refused("missing"))
    assert not (tmp_path / "root.key").exists()
    (tmp_path / "root.key").write_bytes(key)
    asyncio.run(refused("others"))
    (tmp_path / "root.key").chmod(0o600)
    asyncio.run(first())


def test_no_key_of_the_hierarchy_is_found_in_the_rows(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            tenant, principal = new_id(), new_id()
            await store.keys.provision_tenant(tenant)
            await store.keys.provision_principal(tenant, principal, queue=False)
            keys = await store.keys.principal(principal)
            seeds = keys.generations[1].seeds.reveal()
            account = await store.keys.data_key(tenant, Category.ACCOUNT)
            rows = b""
            for table in (
                "tenant_keys",
                "category_keys",
                "principal_keys",
                "principal_wraps",
                "named_keys",
                "root_checks",
            ):
                for row in await store.pool.fetch(f"SELECT * FROM {table}"):
                    rows += b"".join(value for value in row.values() if isinstance(value, bytes))
            assert keys.principal in rows
            for secret in (seeds[:32], seeds[32:64], seeds[64:], account, store.root.reveal()):
                assert secret not in rows

    asyncio.run(scenario())


def test_a_database_that_is_away_is_a_temporary_error(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            await store.pool.close()
            for call in (
                store.keys.principal(new_id()),
                store.keys.provision_tenant(new_id()),
                store.keys.shred(new_id(), b""),
            ):
                with pytest.raises(UnavailableError):
                    await call

    asyncio.run(scenario())
