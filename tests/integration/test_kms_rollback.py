"""K6: kms does not start from an older key store than the one last used, and is not fooled by a crash."""

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from tests.integration.test_kms_hierarchy import Store, open_store

from postkeep.base.errors import IntegrityError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.services.kms.restoration import CODE, Restoration
from postkeep.services.kms.restored_api import RestoredBy
from postkeep.services.ledger.api import KeyState

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


def test_a_store_older_than_the_ledger_knows_is_refused_until_the_operator_says_it_is_meant(
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
        await witness.go_on_from(7)
        witness.forget_accepted()
        await make_tenant(store)
        assert store.keys.state == await store.rows.state() == store.slots.state == 8

    run(compare)
    assert not accepted.exists()
    run(nothing)


class Ledger:
    """The trail of kms, and what the ledger would tell at the next start."""

    def __init__(self) -> None:
        self.known = KeyState(0, -1)
        self.notes: list[str] = []
        self.away = False

    async def record(self, _event: object, **fields: Any) -> None:
        if self.away:
            raise UnavailableError("away")
        state = max(self.known.state, fields.get("state", 0))
        held = fields.get("code") == "held"
        self.known = KeyState(state, 1, self.known.dual_control, fields["digest"], held)
        self.notes.append(fields["note"])


async def start(store: Store, ledger: Ledger, directory: Path) -> Restoration:
    """Begin as the module does, with a store that is open already."""
    restoration = Restoration(directory, store.parts.witness, cast("Any", ledger))
    await restoration.load()
    await restoration.begin(ledger.known)
    return restoration


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


def test_a_store_that_is_meant_is_held_and_neither_a_crash_nor_a_lost_file_frees_it(
    run: Callable[[Job], None], tmp_path: Path
) -> None:
    """K6: the operator's word alone gives no key; file and ledger remember, and one of them suffices."""
    accepted, held_file = tmp_path / "key-store.accepted", tmp_path / "key-store.restored"
    ledger = Ledger()
    ledger.known = KeyState(7, 3)

    async def first(store: Store) -> None:
        await make_tenant(store)
        accepted.write_text("7\n")
        ledger.away = True  # killed before the ledger could be told: it is held, and told later
        with pytest.raises(UnavailableError):
            await start(store, ledger, tmp_path)
        assert accepted.exists()

    async def second(store: Store) -> None:
        assert store.keys.state == 7
        ledger.away = False
        restoration = await start(store, ledger, tmp_path)
        with pytest.raises(UnavailableError) as caught:
            restoration.check()
        assert (caught.value.code, caught.value.temporary) == (CODE, True)
        assert restoration.store is not None
        assert (restoration.store.by, restoration.store.told) == (RestoredBy.OPERATOR, 7)
        assert ledger.notes == ["store was at 1, by operator"]
        assert not accepted.exists()
        held_file.unlink()  # whoever takes the file away has not changed the ledger

    async def third(store: Store) -> None:
        restoration = await start(store, ledger, tmp_path)
        with pytest.raises(UnavailableError):
            restoration.check()
        assert ledger.notes == ["store was at 1, by operator"]
        ledger.known = KeyState(7, 3)  # and a ledger that has forgotten does not free what the file holds
        assert (await start(store, ledger, tmp_path)).store == restoration.store

    for job in (first, second, third):
        run(job)
    assert held_file.exists()


def test_policy_lets_a_held_store_pass_only_where_nobody_says_that_dual_control_is_on(
    run: Callable[[Job], None], tmp_path: Path
) -> None:
    """An authority's database from before dual control was turned on: the ledger has seen the later event."""
    ledger = Ledger()
    ledger.known = KeyState(7, 3, dual_control=True)

    async def job(store: Store) -> None:
        await make_tenant(store)
        (tmp_path / "key-store.accepted").write_text("7\n")
        restoration = await start(store, ledger, tmp_path)
        assert restoration.approvals == 2
        await restoration.pass_by_policy(no)
        with pytest.raises(UnavailableError):
            restoration.check()
        ledger.known = KeyState(7, 3, False, ledger.known.restored, held=True)
        restoration = await start(store, ledger, tmp_path)
        await restoration.pass_by_policy(yes)
        with pytest.raises(UnavailableError):
            restoration.check()
        await restoration.pass_by_policy(no)
        restoration.check()
        assert ledger.notes[-1] == "store was at 1, by-policy"
        assert not (tmp_path / "key-store.restored").exists()

    async def after(store: Store) -> None:
        (await start(store, ledger, tmp_path)).check()

    run(job)
    run(after)


def test_what_was_accepted_and_cut_short_is_free_and_a_damaged_file_is_refused(
    run: Callable[[Job], None], tmp_path: Path
) -> None:
    ledger = Ledger()
    ledger.known = KeyState(7, 3)

    async def job(store: Store) -> None:
        await make_tenant(store)
        (tmp_path / "key-store.accepted").write_text("7\n")
        restoration = await start(store, ledger, tmp_path)
        content = (tmp_path / "key-store.restored").read_bytes()
        await restoration.pass_by_policy(no)
        (tmp_path / "key-store.restored").write_bytes(content)  # killed before the file was gone
        (await start(store, ledger, tmp_path)).check()
        assert not (tmp_path / "key-store.restored").exists()
        (tmp_path / "key-store.restored").write_bytes(content[:-2])
        with pytest.raises(IntegrityError):
            await start(store, ledger, tmp_path)

    run(job)
