"""K6: kms does not start from an older key store than the one last used, and is not fooled by a crash."""

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_kms_hierarchy import Store, open_store

from postkeep.base.errors import IntegrityError, UnavailableError
from postkeep.base.ids import new_id

SLOTS, WITNESS = "keys.slots", "key-store.state"
TABLES = (
    "tenant_keys",
    "category_keys",
    "principal_keys",
    "principal_wraps",
    "shredded_keys",
    "store_states",
)
Job = Callable[[Store], Coroutine[Any, Any, None]]


@pytest.fixture
def run(dsn: str, tmp_path: Path) -> Callable[[Job], None]:
    """Open the store, do something, close it: one life of kms."""

    def go(job: Job) -> None:
        async def main() -> None:
            async with open_store(dsn, tmp_path) as store:
                await job(store)

        asyncio.run(main())

    return go


async def nothing(_store: Store) -> None:
    """Only start."""


async def make_tenant(store: Store) -> None:
    await store.keys.provision_tenant(new_id())


async def dump(store: Store) -> None:
    """Copy the rows, as a dump would."""
    for table in TABLES:
        await store.pool.execute(f"CREATE TABLE old_{table} AS TABLE {table}")


async def restore(store: Store) -> None:
    """Put the copy of the rows back, as somebody who has only the database does."""
    for table in reversed(TABLES):
        await store.pool.execute(f"DELETE FROM {table}")
    for table in TABLES:
        await store.pool.execute(f"INSERT INTO {table} SELECT * FROM old_{table}")


def test_a_restored_dump_is_refused_and_the_text_says_what_to_do(
    run: Callable[[Job], None], tmp_path: Path
) -> None:
    tenant = new_id()

    async def first(store: Store) -> None:
        await store.keys.provision_tenant(tenant)
        await dump(store)
        await store.keys.shred(tenant, b"")
        await restore(store)

    run(first)
    with pytest.raises(IntegrityError) as caught:
        run(nothing)
    assert caught.value.code == "key_store"
    for word in ("at change 1", "are at 2", str(tmp_path / SLOTS), f"remove {tmp_path / WITNESS}"):
        assert word in caught.value.public_text


def test_an_older_copy_of_the_slots_is_refused_even_if_only_one_change_older(
    run: Callable[[Job], None], tmp_path: Path
) -> None:
    tenant = new_id()

    async def first(store: Store) -> None:
        await store.keys.provision_tenant(tenant)

    async def second(store: Store) -> None:
        await store.keys.shred(tenant, b"")

    run(first)
    shutil.copy(tmp_path / SLOTS, tmp_path / "copy")
    run(second)
    newest = (tmp_path / SLOTS).read_bytes()
    shutil.copy(tmp_path / "copy", tmp_path / SLOTS)
    with pytest.raises(IntegrityError) as caught:
        run(nothing)
    assert caught.value.code == "key_store"
    (tmp_path / SLOTS).write_bytes(newest)
    run(nothing)


def test_both_restored_together_are_refused_until_the_operator_removes_the_witness(
    run: Callable[[Job], None], tmp_path: Path
) -> None:
    async def first(store: Store) -> None:
        await make_tenant(store)
        await dump(store)
        shutil.copy(tmp_path / SLOTS, tmp_path / "copy")
        await make_tenant(store)
        await make_tenant(store)
        await restore(store)

    run(first)
    shutil.copy(tmp_path / "copy", tmp_path / SLOTS)
    with pytest.raises(IntegrityError):
        run(nothing)
    (tmp_path / WITNESS).unlink()

    async def again(store: Store) -> None:
        assert store.keys.state == 1
        await make_tenant(store)

    run(again)
    assert (tmp_path / WITNESS).read_bytes() == b"done 2\n"


@pytest.mark.parametrize("place", ["slots", "rows", "counts"])
def test_a_crash_at_any_point_of_a_change_is_taken_up(
    run: Callable[[Job], None], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    tenant = new_id()

    async def cut_short(store: Store) -> None:
        await make_tenant(store)

        async def broken(*_arguments: object) -> None:
            raise UnavailableError("the crash")

        def broken_slots(*_arguments: object) -> range:
            raise UnavailableError("the crash")

        if place == "slots":
            monkeypatch.setattr(store.slots, "write_many", broken_slots)
        else:
            monkeypatch.setattr(store.rows, "add_tenant" if place == "rows" else "set_state", broken)
        with pytest.raises(UnavailableError):
            await store.keys.provision_tenant(tenant)

    async def after(store: Store) -> None:
        assert store.keys.state == 2
        await store.keys.provision_tenant(tenant)
        await make_tenant(store)
        assert store.keys.state == await store.rows.state() == store.slots.state

    run(cut_short)
    run(after)
    run(nothing)


def test_a_change_that_failed_does_not_keep_the_next_from_counting(
    run: Callable[[Job], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def job(store: Store) -> None:
        with monkeypatch.context() as patch:

            async def away(*_arguments: object) -> None:
                raise UnavailableError("away")

            patch.setattr(store.rows, "add_tenant", away)
            for _ in range(3):
                with pytest.raises(UnavailableError):
                    await make_tenant(store)
        await make_tenant(store)
        assert store.keys.state == 1

    run(job)
    run(nothing)


def test_a_damaged_witness_is_refused(run: Callable[[Job], None], tmp_path: Path) -> None:
    run(make_tenant)
    (tmp_path / WITNESS).write_bytes(b"done -1\n")
    with pytest.raises(IntegrityError) as caught:
        run(nothing)
    assert caught.value.code == "key_store"


def test_a_change_that_could_not_be_counted_everywhere_is_levelled_before_the_next(
    run: Callable[[Job], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def job(store: Store) -> None:
        async def away(*_arguments: object) -> None:
            raise UnavailableError("away")

        with monkeypatch.context() as patch:
            patch.setattr(store.rows, "set_state", away)
            with pytest.raises(UnavailableError):
                await make_tenant(store)
        monkeypatch.setattr(store.rows, "add_tenant", away)
        with pytest.raises(UnavailableError):
            await make_tenant(store)  # and here kms dies

    async def after(store: Store) -> None:
        assert store.keys.state == 2

    run(job)
    run(after)


def test_a_store_older_than_the_ledger_knows_is_refused_until_the_operator_accepts_that_very_state(
    run: Callable[[Job], None], tmp_path: Path
) -> None:
    """K6: rows, slots and the witness's file all from one older moment: only the ledger knows better."""
    accepted = tmp_path / "key-store.accepted"

    async def compare(store: Store) -> None:
        await make_tenant(store)
        witness = store.parts.witness
        assert not await witness.check_told(1)
        assert not await witness.check_told(0)
        with pytest.raises(IntegrityError) as caught:
            await witness.check_told(7)
        assert caught.value.code == "key_store"
        assert "accept-restored 7" in caught.value.public_text
        accepted.write_text("6\n")
        with pytest.raises(IntegrityError):
            await witness.check_told(7)
        accepted.write_text("7\n")
        assert await witness.check_told(7)
        witness.forget_accepted()
        await make_tenant(store)
        assert store.keys.state == await store.rows.state() == store.slots.state == 8

    run(compare)
    assert not accepted.exists()
    run(nothing)
