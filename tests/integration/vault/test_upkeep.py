"""Upkeep: orphans are found, packs are compacted beside readers, crashes are finished."""

import asyncio
import os

import pytest
from tests.integration.vault.conftest import (
    MX,
    STEWARD,
    Person,
    RunVault,
    Vault,
    message,
)

from postkeep.base.ids import new_id
from postkeep.services.vault import api
from postkeep.services.vault import upkeep as upkeep_module
from postkeep.stores.packs import HEADER_BYTES, Body

TENANT = new_id()


async def maintain(vault: Vault, dead_share_max: float = 0.3) -> api.Maintained:
    done = await vault.call("maintain", STEWARD, api.Maintain(dead_share_max))
    assert isinstance(done, api.Maintained)
    return done


async def expunge(vault: Vault, person: Person, low: int, high: int) -> None:
    inbox = (await vault.boxes(person))["inbox"].id
    flags = api.StoreFlags(person.principal, inbox, [(low, high)], "add", ("\\Deleted",))
    await vault.call("store_flags", person.grant, flags)
    await vault.call("expunge", person.grant, api.Expunge(person.principal, inbox))


async def fill(vault: Vault, person: Person) -> None:
    """Leave five of fifteen messages in the open pack."""
    await vault.deliver(person, 15)
    await expunge(vault, person, 1, 10)


def test_bytes_and_slots_without_a_row_are_found_and_given_back(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann, 3)
        orphan = os.urandom(96)
        vault.stores.packs.append_many([Body(TENANT, new_id(), b"x" * 500)])
        (slot,) = vault.stores.slots.write_many([orphan])
        await vault.deliver(ann, 3)
        done = await maintain(vault)
        assert (done.orphan_bytes, done.slots_erased) == (500 + HEADER_BYTES, 1)
        assert vault.stores.slots.read_many([slot]) == [None]
        assert orphan not in vault.stores.slots.path.read_bytes()
        assert (await maintain(vault)).slots_erased == 0
        assert (await maintain(vault, 0.0)).bytes_reclaimed == 500 + HEADER_BYTES
        assert (await maintain(vault, 0.0)).bytes_reclaimed == 0
        assert len(list((await vault.sync(ann, (await vault.boxes(ann))["inbox"].id)).rows)) == 6

    run_vault(job)


def test_compaction_keeps_what_lives_and_drops_what_does_not(run_vault: RunVault) -> None:
    ann = Person(TENANT)
    deposits = [message(TENANT, [ann.placement()], size=2000) for _ in range(20)]

    async def job(vault: Vault) -> None:
        await vault.call("deposit", MX, api.DepositBatch(deposits, ann.epochs))
        assert (await maintain(vault)).packs_compacted == 0
        await expunge(vault, ann, 1, 15)
        before = vault.stores.packs.sizes()
        done = await maintain(vault)
        assert done.packs_compacted == 1
        assert done.bytes_reclaimed == 15 * (2072 + HEADER_BYTES)
        after = vault.stores.packs.sizes()
        assert {pack.pack for pack in before}.isdisjoint(pack.pack for pack in after)
        assert sum(pack.size for pack in after) == 5 * (2072 + HEADER_BYTES)

    async def read(vault: Vault) -> None:
        inbox = (await vault.boxes(ann))["inbox"].id
        content = api.FetchContent(ann.principal, inbox, [api.Range(uid) for uid in range(1, 21)])
        parts = (await vault.call("content", ann.grant, content)).parts
        assert [part.data for part in parts] == [deposit.content for deposit in deposits[15:]]

    run_vault(job)
    run_vault(read)


def test_a_pack_long_closed_is_compacted_once_its_mail_goes(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann, 10)
        vault.stores.packs.roll()
        await vault.deliver(ann, 10)
        assert (await maintain(vault)).packs_compacted == 0
        await expunge(vault, ann, 1, 3)
        await expunge(vault, ann, 4, 6)
        done = await maintain(vault, 0.5)
        assert (done.packs_compacted, done.bytes_reclaimed) == (1, 6 * (1072 + HEADER_BYTES))

    run_vault(job)


def test_upkeep_beside_readers_writers_and_removals_loses_nothing(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        contents: dict[bytes, bytes] = {}
        running = True

        async def write() -> None:
            for _ in range(25):
                deposits = [message(TENANT, [ann.placement()], size=3000) for _ in range(4)]
                contents.update({deposit.body: deposit.content for deposit in deposits})
                answer = await vault.call("deposit", MX, api.DepositBatch(deposits, ann.epochs))
                uids = [result.placed[0].uid for result in answer.results]
                await expunge(vault, ann, uids[0], uids[1])

        async def read() -> None:
            inbox = (await vault.boxes(ann))["inbox"].id
            while running:
                rows = (await vault.sync(ann, inbox)).rows
                ranges = [api.Range(row.uid) for row in rows]
                got = await vault.call("content", ann.grant, api.FetchContent(ann.principal, inbox, ranges))
                assert all(part.data == contents[part.body] for part in got.parts)
                await asyncio.sleep(0.005)

        async def tidy() -> int:
            count = 0
            while running:
                count += (await maintain(vault, 0.1)).packs_compacted
            return count

        await vault.boxes(ann)
        others = asyncio.gather(read(), tidy())
        await write()
        running = False
        _, compacted = await others
        assert compacted > 0
        assert (await vault.boxes(ann))["inbox"].messages == 50

    run_vault(job)


def test_a_compaction_cut_off_before_the_rows_switch_is_harmless(
    run_vault: RunVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut_off(*_: object) -> None:
        raise RuntimeError("power cut")

    ann = Person(TENANT)
    run_vault(lambda vault: fill(vault, ann))

    async def interrupted(vault: Vault) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(upkeep_module, "move_bodies", cut_off)
            with pytest.raises(RuntimeError):
                await maintain(vault, 0.1)
        assert await vault.problems() == []

    async def resumed(vault: Vault) -> None:
        assert (await maintain(vault, 0.1)).packs_compacted >= 1
        assert (await vault.boxes(ann))["inbox"].messages == 5

    run_vault(interrupted)
    run_vault(resumed)


def test_a_pack_cut_off_before_it_was_unlinked_goes_with_the_next_round(
    run_vault: RunVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Person(TENANT)
    run_vault(lambda vault: fill(vault, ann))

    async def interrupted(vault: Vault) -> None:
        def cut_off(_pack: int) -> None:
            raise RuntimeError("power cut")

        with monkeypatch.context() as patch:
            patch.setattr(vault.stores.packs, "remove", cut_off)
            with pytest.raises(RuntimeError):
                await maintain(vault, 0.1)
        assert len(vault.stores.packs.sizes()) == 2

    async def resumed(vault: Vault) -> None:
        await maintain(vault, 0.1)
        assert sum(pack.size for pack in vault.stores.packs.sizes()) == 5 * (1072 + HEADER_BYTES)

    run_vault(interrupted)
    run_vault(resumed)


def test_erasures_that_a_crash_left_are_finished_at_the_next_start(run_vault: RunVault) -> None:
    ann = Person(TENANT)
    placement = ann.placement(flags=("\\Deleted",))

    async def crash(vault: Vault) -> None:
        await vault.call("deposit", MX, api.DepositBatch([message(TENANT, [placement])], ann.epochs))
        inbox = (await vault.boxes(ann))["inbox"].id

        def power_cut(_slots: object) -> None:
            raise RuntimeError("power cut")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vault.stores.slots, "erase_many", power_cut)
            with pytest.raises(RuntimeError):
                await vault.call("expunge", ann.grant, api.Expunge(ann.principal, inbox))
        assert placement.wraps in vault.stores.slots.path.read_bytes()

    async def restart(vault: Vault) -> None:
        assert placement.wraps not in vault.stores.slots.path.read_bytes()
        assert await vault.stores.pool.fetchval("SELECT count(*) FROM slot_erasures") == 0

    run_vault(crash)
    run_vault(restart)


def test_old_expunges_become_one_and_none_is_forgotten(
    run_vault: RunVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep_module, "HISTORY_KEPT", 2)
    monkeypatch.setattr(upkeep_module, "HISTORY_MAX", 3)

    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann, 9)
        inbox = (await vault.boxes(ann))["inbox"].id
        for uid in (4, 1, 8, 2, 7):
            await expunge(vault, ann, uid, uid)
        modseqs = "SELECT modseq FROM expunged ORDER BY modseq"
        before = [row[0] for row in await vault.stores.pool.fetch(modseqs)]
        for _ in range(2):
            await maintain(vault)
            assert [row[0] for row in await vault.stores.pool.fetch(modseqs)] == before[2:]
            newest = await vault.sync(ann, inbox, before[3])
            assert newest.vanished == [(7, 7)]
            assert (await vault.sync(ann, inbox, before[2])).vanished == [(2, 2), (7, 7)]
            # Of what lies further back all is told, also what a reader has heard of already.
            assert (await vault.sync(ann, inbox, before[1])).vanished == [(1, 2), (4, 4), (7, 8)]
            assert [row.uid for row in (await vault.sync(ann, inbox)).rows] == [3, 5, 6, 9]

    run_vault(job)


_EXPUNGED_WRONG = r"""
INSERT INTO expunged (tenant, mailbox, modseq, borders)
SELECT tenant, mailbox, 9, '\x0000000100000003' FROM mailboxes WHERE role = 'inbox'
"""
_PAGE_WRONG = """
INSERT INTO pages (tenant, mailbox, block, kind, epoch_index, slot, messages, page, epoch, sealed)
SELECT tenant, mailbox, 0, 1, 1, 900, 127, mailbox, mailbox, '' FROM mailboxes WHERE role = 'inbox'
"""


def test_check_names_every_kind_of_damage(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann, 4)
        pool, slots = vault.stores.pool, vault.stores.slots
        assert await vault.problems() == []
        damages = [
            ("mailbox counts wrong", "UPDATE mailboxes SET unseen = 3 WHERE role = 'inbox'"),
            ("mailbox counts wrong", "UPDATE mailboxes SET unseen = 4, uid_next = 4 WHERE role = 'inbox'"),
            ("quota use wrong", "UPDATE principals SET used_bytes = used_bytes + 1"),
            ("body references wrong", "UPDATE bodies SET refs = 2"),
            ("epoch missing", "DELETE FROM epochs"),
            ("keyword not listed", "UPDATE messages SET keywords = '{lost}' WHERE uid = 1"),
            ("expunged messages wrong", _EXPUNGED_WRONG),
            ("page not exact", _PAGE_WRONG),
            ("slot used twice", "UPDATE messages SET slot = 0 WHERE slot = 1"),
            ("body not in its pack", 'UPDATE bodies SET "offset" = "offset" + 1'),
            ("messages without a mailbox", "DELETE FROM mailboxes WHERE role = 'inbox'"),
        ]
        for name, statement in damages:
            async with pool.acquire() as connection:
                await connection.execute(statement)
            assert any(problem.startswith(name) for problem in await vault.problems()), name
        record = slots.read(2)
        slots.erase_many([2])
        assert "slot empty: 2" in await vault.problems()
        assert record
        async with pool.acquire() as connection:
            await connection.execute(
                "TRUNCATE principals, mailboxes, messages, bodies, epochs, expunged, pages CASCADE"
            )

    run_vault(job)
