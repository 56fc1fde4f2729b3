"""K5, D3: a backup made before the root key was rotated comes back under the root key of today.

What is copied and put back are the rows and slots of kms, as a backup has them.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.test_backup_keys import DAY, WORKER, Book
from tests.integration.test_key_rotation import Told, World
from tests.integration.test_kms_hierarchy import Store, open_store

from postkeep.base.clock import FixedClock
from postkeep.base.errors import IntegrityError
from postkeep.base.secret import Secret
from postkeep.model.backup import Keyring, Predecessor, decode
from postkeep.services.backup.catalogue import open_keyring, open_predecessors, read_predecessors
from postkeep.services.backup.creating import write_parents
from postkeep.services.backup.pruning import end_weeks
from postkeep.services.kms.backing import BackupKeys, Terms
from postkeep.services.kms.backing_api import BackupExpire, BackupOpen
from postkeep.services.kms.rotation import Rotations
from postkeep.services.kms.succession import take_over
from postkeep.services.ledger.trail import Trail
from postkeep.stores.backup_target import DirectoryTarget
from postkeep.stores.slots import ErasableSlots


@asynccontextmanager
async def life(dsn: str, directory: Path, clock: FixedClock) -> AsyncIterator[tuple[Store, BackupKeys]]:
    """A kms that tells backups of a root key's end."""
    async with open_store(dsn, directory) as store:
        trail = Trail("kms-0.1", Book(), clock)
        keys = BackupKeys(
            lambda: store.parts.custody.root,
            store.parts.named,
            store.signing,
            store.rows,
            store.slots,
            directory=directory,
            state_dir=directory,
            terms=Terms(),
            trail=trail,
            clock=clock,
        )
        store.parts = replace(store.parts, heirs=(keys.inherit,))
        try:
            yield store, keys
        finally:
            keys.close()
            await trail.close()


async def tables(store: Store) -> list[str]:
    found = await store.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return [row[0] for row in found if not row[0].startswith(("old_", "schema"))]


async def copy(store: Store, directory: Path) -> None:
    """Back up rows and slots."""
    for table in await tables(store):
        await store.pool.execute(f"CREATE TABLE old_{table} AS TABLE {table}")
    shutil.copy(directory / "keys.slots", directory / "copied.slots")


async def put_back(store: Store) -> None:
    """Put the rows back."""
    names = await tables(store)
    await store.pool.execute("TRUNCATE " + ", ".join(names) + " CASCADE")
    async with store.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        for table in names:
            await connection.execute(f"INSERT INTO {table} SELECT * FROM old_{table}")


@pytest.mark.parametrize("when", ["before", "on the way"])
def test_a_backup_from_before_two_rotations_of_the_root_key_opens_with_the_one_of_today(
    dsn: str, tmp_path: Path, when: str
) -> None:
    world, told, clock = World(), Told(), FixedClock()
    target, scratch = DirectoryTarget(tmp_path / "target"), tmp_path / "scratch"
    scratch.mkdir()

    async def live() -> None:
        async with life(dsn, tmp_path, clock) as (store, keys):
            await world.make(store)
            await write_parents(target, await keys.open(WORKER, BackupOpen()))
            if when == "before":
                await copy(store, tmp_path)
            rotations = Rotations(store.parts, told, 0)
            await rotations.begin("root", {})
            if when == "on the way":
                await copy(store, tmp_path)
            assert not await rotations.advance()
            old, new = store.root, store.parts.custody.root
            await keys.inherit(old, new)  # as after a crash: the same two again
            await world.rotate(store, "root", told)
            await write_parents(target, await keys.open(WORKER, BackupOpen()))

    async def restore() -> None:
        async with open_store(dsn, tmp_path) as store:
            today = store.parts.custody.root
            found = await read_predecessors(target)
            assert len(found) == 2
            roots = open_predecessors(found, today.reveal())
            assert len(roots) == 3
            open_keyring(decode(await target.get("keyring"), Keyring), roots)
            assert len(open_predecessors(found, bytes(32))) == 1
            await put_back(store)
            shutil.copy(tmp_path / "keys.slots", tmp_path / "today.slots")
            for keys, slots in ((roots, "today.slots"), (roots[:1], "copied.slots")):
                # Without the slots of that time, or without its root key, nothing comes back.
                with (
                    ErasableSlots(tmp_path / slots, 32) as opened,
                    pytest.raises(IntegrityError) as caught,
                ):
                    await take_over([Secret(key) for key in keys], store.pool, opened, scratch, clock)
                assert caught.value.code == "backup_root"
            with ErasableSlots(tmp_path / "copied.slots", 32) as slots_then:
                secrets = [Secret(key) for key in roots]
                assert await take_over(secrets, store.pool, slots_then, scratch, clock)
                assert not await take_over(secrets, store.pool, slots_then, scratch, clock)
        shutil.copy(tmp_path / "copied.slots", tmp_path / "keys.slots")
        (tmp_path / "key-store.state").unlink()

    async def serve() -> None:
        async with open_store(dsn, tmp_path) as store:
            await world.check(store)
            assert await store.pool.fetchval("SELECT count(*) FROM root_checks") == 1
            assert not await store.parts.rotations.open()

    for step in (live, restore, serve):
        asyncio.run(step())


def test_a_former_root_key_goes_with_the_weekly_keys_of_its_time(dsn: str, tmp_path: Path) -> None:
    """D3: thirty days after a rotation neither kms nor the target has the key that was rotated away."""
    clock, target = FixedClock(), DirectoryTarget(tmp_path / "target")

    async def scenario() -> None:
        async with life(dsn, tmp_path, clock) as (store, keys):
            await store.parts.heirs[0](Secret(bytes(32)), store.root)  # no backup yet: nothing hangs on it
            assert (await keys.open(WORKER, BackupOpen())).predecessors == {}
            world = World()
            await world.make(store)
            await world.rotate(store, "root", Told())
            opened = await keys.open(WORKER, BackupOpen())
            (kept,) = opened.predecessors.values()
            await write_parents(target, opened)
            clock.advance(29 * DAY)
            await keys.expire(WORKER, BackupExpire())
            await end_weeks(target, clock, set())
            assert len(await read_predecessors(target)) == 1
            clock.advance(DAY + 1)
            await keys.expire(WORKER, BackupExpire())
            await end_weeks(target, clock, set())
            assert await read_predecessors(target) == {}
            assert (await keys.open(WORKER, BackupOpen())).predecessors == {}
            wrapped = decode(kept, Predecessor).wrapped
            assert wrapped not in (tmp_path / "backup.slots").read_bytes()

    asyncio.run(scenario())
