"""K5: rotation of root, tenant, category and principals' keys: killed at every step, nothing becomes
unreadable, no generation appears twice, and the old key opens nothing once it has ended."""

import asyncio
import itertools
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_kms_hierarchy import Store, open_store

from postkeep.base.errors import IntegrityError, NotFoundError, PostkeepError
from postkeep.base.ids import NOBODY, new_id
from postkeep.crypto.epoch import EpochWriter, chain_starts, open_seed, sealed_generation
from postkeep.crypto.wrap import Wrapper
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.services.kms import root_change
from postkeep.services.kms.api import SealedEpoch
from postkeep.services.kms.rotation import Rotations
from postkeep.services.kms.witness import StoreWitness
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.kms_rotations import KmsRotationRows
from postkeep.stores.slots import ErasableSlots

KINDS = ("root", "tenant", "secret", "account", "principal")
TABLES = ("root_checks", "tenant_keys", "category_keys", "data_keys", "principal_keys", "principal_wraps")
PEOPLE = 5


class Killed(BaseException):
    """The process ends here: nothing after it is done, nothing in memory survives."""


@dataclass
class Told:
    """What the ledger was told."""

    notes: list[str] = field(default_factory=list)

    async def record(self, event: EventName, **fields: Any) -> int:
        assert event is EventName.KEY_ROTATE
        self.notes.append(fields["note"])
        return len(self.notes)


@dataclass
class World:
    """A tenant, people with mail under their keys, and the values that must stay what they are."""

    tenant: bytes = field(default_factory=new_id)
    epochs: dict[bytes, SealedEpoch] = field(default_factory=dict)
    starts: dict[bytes, dict[str, bytes]] = field(default_factory=dict)
    account: bytes = b""
    person: bytes = b""
    directory: bytes = b""

    async def make(self, store: Store) -> None:
        """Make it all."""
        await store.keys.provision_tenant(self.tenant)
        for _ in range(PEOPLE):
            principal = new_id()
            key, _ = await store.keys.provision_principal(self.tenant, principal, queue=False)
            writer = EpochWriter(self.tenant, principal, key.generation, key.public_key, 0)
            self.epochs[principal] = SealedEpoch(writer.epoch, writer.sealed)
        for principal in self.epochs:
            self.starts[principal] = await self._starts(store, principal)
        self.account = await store.keys.data_key(self.tenant, Category.ACCOUNT)
        self.person = await store.keys.person_key(self.tenant, next(iter(self.epochs)))
        self.directory = store.signing.directory.public_key

    async def check(self, store: Store) -> None:
        """Everything still opens, to the same values."""
        for principal in self.epochs:
            assert await self._starts(store, principal) == self.starts[principal]
        assert await store.keys.data_key(self.tenant, Category.ACCOUNT) == self.account
        assert await store.keys.person_key(self.tenant, next(iter(self.epochs))) == self.person
        assert store.signing.directory.public_key == self.directory

    async def _starts(self, store: Store, principal: bytes) -> dict[str, bytes]:
        keys = await store.keys.principal(principal)
        epoch = self.epochs[principal]
        half = keys.generations[sealed_generation(epoch.sealed)]
        if len(epoch.sealed) < 100:
            return chain_starts(half.rewrapper.open(epoch.epoch, epoch.sealed))
        return chain_starts(open_seed(half.private_key(), self.tenant, principal, epoch.epoch, epoch.sealed))

    async def rotate(self, store: Store, kind: str, told: Told) -> None:
        """Rotate a key from its beginning to its end, taking up what an earlier attempt has left."""
        rotations = Rotations(store.parts, told, retire_seconds=0)
        principal = next(iter(self.epochs))
        if kind in {"secret", "account"}:
            await rotations.begin("category", {}, tenant=self.tenant, category=kind)
        elif kind == "principal":
            await rotations.begin_principal(self.tenant, principal, {})
            sealed = await rotations.principals.reseal(principal, [self.epochs[principal]])
            for item in sealed:  # as the vault's transaction
                self.epochs[principal] = item
            await rotations.count_sealed(principal, len(sealed), 0)
            assert await rotations.retire(principal)
        else:
            await rotations.begin(kind, {}, tenant=self.tenant if kind == "tenant" else NOBODY)
        assert not await rotations.advance()

    async def take_up(self, store: Store, kind: str, told: Told) -> None:
        """Do what a fresh kms and steward do about rotations that were under way."""
        rotations = Rotations(store.parts, told, retire_seconds=0)
        if kind == "principal" and await rotations.sealing():
            await self.rotate(store, kind, told)
        assert not await rotations.advance()


async def generations(store: Store, world: World) -> dict[str, list[int]]:
    """The generations in the store, by kind."""
    principal = next(iter(world.epochs))
    queries = {
        "root": ("SELECT generation FROM root_checks", ()),
        "tenant": ("SELECT generation FROM tenant_keys WHERE tenant = $1", (world.tenant,)),
        "secret": (
            "SELECT generation FROM category_keys WHERE tenant = $1 AND category = 'secret'",
            (world.tenant,),
        ),
        "account": (
            "SELECT generation FROM category_keys WHERE tenant = $1 AND category = 'account'",
            (world.tenant,),
        ),
        "principal": ("SELECT generation FROM principal_keys WHERE principal = $1", (principal,)),
    }
    return {
        kind: [row[0] for row in await store.pool.fetch(query, *arguments)]
        for kind, (query, arguments) in queries.items()
    }


DURABLE: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (ErasableSlots, ("write_many", "erase_many", "set_state")),
    (StoreWitness, ("_write",)),
    (KmsKeyRows, ("set_state",)),
    (
        KmsRotationRows,
        tuple(
            name
            for name in vars(KmsRotationRows)
            if name.startswith(("begin", "replace", "rewrap", "rewind", "drop", "end", "count"))
        ),
    ),
    (Told, ("record",)),
    (root_change, ("write_file", "destroy_file", "sync_directory")),
)
"""Everything that changes what a restart finds."""


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have the process end before its durable act number `step`; the list names the acts that were begun."""
    begun: list[str] = []
    numbers = itertools.count(1)

    def wrapped(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **named: Any) -> Any:
            begun.append(name)
            if next(numbers) == step:
                raise Killed(name)
            return original(*arguments, **named)

        return act

    for owner, names in DURABLE:
        for name in names:
            monkeypatch.setattr(owner, name, wrapped(name, getattr(owner, name)))
    return begun


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_killed_at_any_step_is_taken_up_and_leaves_one_generation(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """K5, exhaustively: once for each durable act of the rotation, the process ends just before it."""
    monkeypatch.setattr("postkeep.services.kms.rotation_category.BATCH_ROWS", 2)
    world, told = World(), Told()

    async def life(work: Callable[[Store], Awaitable[None]]) -> None:
        async with open_store(dsn, tmp_path) as store:
            await work(store)

    async def recover(store: Store) -> None:
        await world.check(store)
        await world.take_up(store, kind, told)
        await world.check(store)
        found = await generations(store, world)
        assert all(len(numbers) == 1 for numbers in found.values()), found
        newest[:] = found[kind]
        assert not await store.parts.rotations.open()

    newest = [1]
    asyncio.run(life(world.make))
    for step in range(1, 100):
        before = newest[0]
        with monkeypatch.context() as patch:
            begun = kill_at(step, patch)
            try:
                asyncio.run(life(lambda store: world.rotate(store, kind, told)))
            except Killed:
                survived = False
            else:
                survived = True
        asyncio.run(life(recover))
        assert newest[0] - before in ({1} if survived else {0, 1})
        if survived:
            assert step > 5, begun
            break
    else:
        pytest.fail("the rotation never came to its end")
    assert {note.split()[1] for note in told.notes} == {"begin", "done"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_old_key_opens_nothing_once_it_has_ended(dsn: str, tmp_path: Path, kind: str) -> None:
    """K5: a thief has the old root key, all rows as they were, and the slots as they are now."""
    world, told = World(), Told()
    sealed_root = tmp_path / "root.key"

    async def rotate() -> list[bytes]:
        async with open_store(dsn, tmp_path) as store:
            await world.make(store)
            for table in TABLES:
                await store.pool.execute(f"CREATE TABLE old_{table} AS TABLE {table}")
            shutil.copy(sealed_root, tmp_path / "stolen")
            await world.rotate(store, kind, told)
            await world.check(store)
            half = await store.keys.principal(next(iter(world.epochs)))
            return [item.seeds.reveal() for item in half.generations.values()]

    async def steal(store: Store) -> None:
        await store.pool.execute("TRUNCATE " + ", ".join(TABLES) + " CASCADE")
        for table in TABLES:
            await store.pool.execute(f"INSERT INTO {table} SELECT * FROM old_{table}")

    async def thief() -> None:
        async with open_store(dsn, tmp_path) as store:
            await steal(store)
        shutil.copy(tmp_path / "stolen", sealed_root)
        with pytest.raises(NotFoundError):
            async with open_store(dsn, tmp_path) as store:
                await (store.keys.data_key if kind == "account" else open_anyone)(*arguments(store))

    def arguments(store: Store) -> tuple[Any, ...]:
        return (world.tenant, Category.ACCOUNT) if kind == "account" else (store, next(iter(world.epochs)))

    async def open_anyone(store: Store, principal: bytes) -> None:
        await store.keys.principal(principal)

    asyncio.run(rotate())
    if kind == "root":
        assert (tmp_path / "stolen").read_bytes() != sealed_root.read_bytes()
        assert not [
            path
            for path in tmp_path.iterdir()
            if path.name != "stolen" and (tmp_path / "stolen").read_bytes() in path.read_bytes()
        ]
    asyncio.run(thief())


def test_no_slot_that_is_left_unwraps_an_old_row(dsn: str, tmp_path: Path) -> None:
    """K5, without our own reading: the old rows of a category tried under every secret that is still
    there."""
    world = World()

    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            await world.make(store)
            row = await store.rows.tenant(world.tenant)
            assert row is not None
            tenant_key = await store.tenants.tenant_key(row)
            old = [item for item in await store.rows.categories(world.tenant) if item.category == "secret"]
            await world.rotate(store, "secret", Told())
            left = [secret for secret in store.slots.read_many(range(len(store.slots))) if secret]
            assert len(left) >= PEOPLE
            for slot_secret in left:
                with pytest.raises(IntegrityError):
                    _unwrap(tenant_key, world.tenant, old[0].wrapped, slot_secret)

    asyncio.run(scenario())


def _unwrap(tenant_key: bytes, tenant: bytes, wrapped: bytes, slot_secret: bytes) -> None:
    from postkeep.services.kms.tenants import category_path, category_wrapper

    wrapper: Wrapper = category_wrapper(tenant_key, tenant, "secret", 1, slot_secret)
    wrapper.unwrap(wrapped, category_path(tenant, "secret", 1))


def test_keys_are_made_read_and_destroyed_while_a_rotation_is_half_done(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K5: online: both generations serve until the end, and what is destroyed meanwhile stays so."""
    monkeypatch.setattr("postkeep.services.kms.rotation_category.BATCH_ROWS", 2)
    world, told = World(), Told()

    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            await world.make(store)
            rotations = Rotations(store.parts, told, retire_seconds=0)
            row = await rotations.begin("category", {}, tenant=world.tenant, category="secret")
            again = await rotations.begin("category", {}, tenant=world.tenant, category="secret")
            assert again.id == row.id
            await rotations._category.step(row)
            parents = await store.pool.fetch("SELECT parent, count(*) FROM principal_wraps GROUP BY parent")
            assert sorted((item[0], item[1]) for item in parents) == [(1, PEOPLE - 2), (2, 2)]
            (shown,) = await rotations.all(10)
            assert (shown.done, shown.total, shown.phase) == (2, PEOPLE + 1, "rewrapping")
            newcomer = new_id()
            await store.keys.provision_principal(world.tenant, newcomer, queue=False)
            await world.check(store)
            victim = list(world.epochs)[-1]
            await store.keys.shred(world.tenant, victim)
            assert not await rotations.advance()
            del world.epochs[victim]
            await world.check(store)
            assert (await store.keys.principal(newcomer)).live
            with pytest.raises(NotFoundError):
                await store.keys.principal(victim)

    asyncio.run(scenario())


def test_a_tenant_destroyed_in_the_middle_ends_its_rotation(dsn: str, tmp_path: Path) -> None:
    world, told = World(), Told()

    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            await world.make(store)
            rotations = Rotations(store.parts, told, retire_seconds=0)
            await rotations.begin("category", {}, tenant=world.tenant, category="secret")
            await store.keys.shred(world.tenant, b"")
            assert not await rotations.advance()
            assert told.notes[-1] == "category void"
            for call in (
                rotations.begin("tenant", {}, tenant=world.tenant),
                rotations.begin("category", {}, tenant=world.tenant, category="secret"),
            ):
                with pytest.raises(PostkeepError):
                    await call

    asyncio.run(scenario())


def test_an_old_generation_of_a_person_lives_until_writers_have_forgotten_it(
    dsn: str, tmp_path: Path
) -> None:
    """A writer that still seals to the old public key loses nothing: it is retired only after a while."""
    world = World()

    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            await world.make(store)
            principal = next(iter(world.epochs))
            rotations = Rotations(store.parts, Told(), retire_seconds=86_400)
            row, key = await rotations.begin_principal(world.tenant, principal, {})
            assert (row.old, key.generation) == (1, 2)
            assert not await rotations.retire(principal)
            late = world.epochs[principal]
            (sealed,) = await rotations.principals.reseal(principal, [late])
            assert sealed_generation(sealed.sealed) == 2
            assert not await rotations.principals.reseal(principal, [sealed])
            await world.check(store)

    asyncio.run(scenario())
