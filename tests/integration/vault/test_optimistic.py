"""Deposits planned on memory: taken where memory is right, and harmless wherever it is wrong."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.vault.conftest import (
    MX,
    START_SECONDS,
    STEWARD,
    Person,
    RunVault,
    Vault,
    message,
    queue_item,
    running_vault,
)

from postkeep.base.clock import FixedClock
from postkeep.base.ids import new_id
from postkeep.model.audit import EventName
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault import api
from postkeep.services.vault.service import VaultService
from postkeep.services.vault.standings import Standings
from postkeep.services.vault.storing import RowStore
from postkeep.stores.vault_optimistic import Standing

TENANT = new_id()


def rows_of(vault: Vault) -> RowStore:
    return vault.service.rows


def counts(vault: Vault) -> tuple[int, int]:
    rows = rows_of(vault)
    return rows.at_once, rows.under_lock


async def mailbox_of(vault: Vault, person: Person) -> Any:
    return await vault.stores.pool.fetchrow(
        "SELECT mailbox, uid_next, highest_modseq, messages, unseen, deleted, size FROM mailboxes"
        " WHERE tenant = $1 AND principal = $2 AND role = 'inbox'",
        person.tenant,
        person.principal,
    )


async def used_by(vault: Vault, person: Person) -> tuple[int, int]:
    quota = await vault.call("quota", person.grant, api.GetQuota(person.principal))
    return quota.used_bytes, quota.messages


def test_only_the_first_deposit_to_a_principal_takes_locks_first(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann)
        assert counts(vault) == (0, 1)
        ann.epochs = []
        for _ in range(5):
            await vault.deliver(ann)
        assert counts(vault) == (5, 1)
        placed = await vault.deliver(ann, 3, flags=("\\Seen", "\\Deleted"))
        assert [item.uid for item in placed] == [7, 8, 9]
        box = await mailbox_of(vault, ann)
        assert tuple(box)[1:] == (10, placed[-1].modseq, 9, 6, 3, 9000)
        assert await used_by(vault, ann) == (9000, 9)
        assert len(await vault.events(EventName.DEPOSIT)) == 7

    run_vault(job)


def test_after_a_restart_a_look_is_enough(run_vault: RunVault) -> None:
    ann = Person(TENANT)

    async def before(vault: Vault) -> None:
        await vault.deliver(ann)

    async def after(vault: Vault) -> None:
        box = await mailbox_of(vault, ann)
        (placed,) = await vault.deliver(ann, mailbox=box["mailbox"])
        assert placed.uid == 2
        assert counts(vault) == (1, 0)

    run_vault(before)
    run_vault(after)


def test_epochs_and_the_queue_are_stored_with_the_rest(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        await vault.deliver(ann)
        await vault.deliver(bob)
        before = counts(vault)
        later = [api.NewEpoch(TENANT, person.principal, new_id(), b"another epoch") for person in (ann, bob)]
        items = [queue_item(ann), queue_item(ann)]
        deposit = message(TENANT, [ann.placement("sent"), bob.placement()], queue=items)
        request = api.Submit([deposit], later + ann.epochs)
        (result,) = (await vault.call("submit", ann.grant, request)).results
        assert [placed.uid for placed in result.placed] == [1, 2]
        assert counts(vault) == (before[0] + 1, before[1])
        assert await vault.stores.pool.fetchval("SELECT count(*) FROM queue") == 2
        for person, epoch in zip((ann, bob), later, strict=True):
            known = await vault.call("epochs", person.grant, api.FetchEpochs(person.principal))
            assert {row.epoch for row in known.epochs} == {person.epoch, epoch.epoch}

    run_vault(job)


def _ahead(standing: Standing) -> Standing:
    return standing._replace(uid_next=standing.uid_next + 100)


def _behind(standing: Standing) -> Standing:
    return standing._replace(uid_next=1, highest_modseq=1)


def _modseq(standing: Standing) -> Standing:
    return standing._replace(highest_modseq=standing.highest_modseq + 1)


def _validity(standing: Standing) -> Standing:
    return standing._replace(uid_validity=standing.uid_validity + 1)


def _another(standing: Standing) -> Standing:
    return standing._replace(mailbox=new_id())


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("corrupt", [_ahead, _behind, _modseq, _validity, _another])
def test_a_wrong_memory_never_gives_a_wrong_answer(
    run_vault: RunVault, corrupt: Callable[[Standing], Standing], count: int
) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        first = await vault.deliver(ann, 2)
        await vault.deliver(bob)
        ann.epochs = []
        standings = rows_of(vault).standings
        box = await mailbox_of(vault, ann)
        right = Standing(TENANT, box[0], ann.principal, "inbox", first[0].uid_validity, box[1], box[2])
        standings.note(corrupt(right))
        # Another's deposit in the same group is stored as well, and once.
        placed, others = await asyncio.gather(vault.deliver(ann, count), vault.deliver(bob))
        assert [item.uid for item in placed] == [3, 4][:count]
        assert {(item.mailbox, item.uid_validity) for item in placed} == {(box[0], first[0].uid_validity)}
        assert [item.modseq for item in placed] == [box[2] + 1, box[2] + 2][:count]
        assert [item.uid for item in others] == [2]
        after = await mailbox_of(vault, ann)
        assert (after["uid_next"], after["messages"], after["size"]) == (
            3 + count,
            2 + count,
            1000 * (2 + count),
        )
        assert await used_by(vault, ann) == (1000 * (2 + count), 2 + count)
        at_once = counts(vault)[0]
        await vault.deliver(ann)
        assert counts(vault)[0] == at_once + 1

    run_vault(job)


@pytest.mark.parametrize("count", [1, 3])
def test_memory_of_anothers_mailbox_puts_nothing_there(run_vault: RunVault, count: int) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        await vault.deliver(ann)
        await vault.deliver(bob)
        ann.epochs = []
        theirs = await mailbox_of(vault, bob)
        validity = (await vault.boxes(bob))["inbox"].uid_validity
        rows_of(vault).standings.note(
            Standing(TENANT, theirs[0], ann.principal, "inbox", validity, theirs[1], theirs[2])
        )
        placed = await vault.deliver(ann, count)
        assert {item.mailbox for item in placed} == {(await mailbox_of(vault, ann))["mailbox"]}
        assert (await mailbox_of(vault, bob))["messages"] == 1

    run_vault(job)


@pytest.mark.parametrize("count", [1, 2])
def test_what_does_not_fit_is_refused_though_memory_knows_no_quota(run_vault: RunVault, count: int) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann, 2)
        ann.epochs = []
        limit = 2000 + 1000 * count
        await vault.call("set_quota", STEWARD, api.SetQuota(TENANT, ann.principal, limit))
        before = counts(vault)
        await vault.deliver(ann, count)
        assert counts(vault) == (before[0] + 1, before[1])
        over = api.DepositBatch([message(TENANT, [ann.placement()]) for _ in range(count)], [])
        for result in (await vault.call("deposit", MX, over)).results:
            assert (result.error, result.full, result.placed) == ("over_quota", [ann.principal], [])
        assert await used_by(vault, ann) == (limit, 2 + count)
        await vault.call("set_quota", STEWARD, api.SetQuota(TENANT, ann.principal, limit + 1000))
        two = api.DepositBatch([message(TENANT, [ann.placement()]) for _ in range(2)], [])
        errors = [result.error for result in (await vault.call("deposit", MX, two)).results]
        assert errors == ["", "over_quota"]
        assert await used_by(vault, ann) == (limit + 1000, 3 + count)

    run_vault(job)


@pytest.mark.parametrize("count", [1, 2])
def test_a_deposit_tried_again_is_recognised_where_memory_is_right(run_vault: RunVault, count: int) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann)
        batch = api.DepositBatch([message(TENANT, [ann.placement()]) for _ in range(count)], [])
        first = await vault.call("deposit", MX, batch)
        again, fresh = await asyncio.gather(vault.call("deposit", MX, batch), vault.deliver(ann))
        assert again == first
        assert [item.uid for item in fresh] == [2 + count]
        assert (await mailbox_of(vault, ann))["messages"] == 2 + count

    run_vault(job)


def test_two_vaults_on_one_database_give_every_message_a_uid_of_its_own(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        clock = FixedClock(START_SECONDS)
        trail = Trail("vault-1.1", vault.ledger, clock)
        other = Vault(vault.stores, VaultService(vault.stores, trail, clock), vault.ledger)
        ann = Person(TENANT)
        await vault.deliver(ann)
        ann.epochs = []
        jobs = [side.deliver(ann, count) for _ in range(20) for side in (vault, other) for count in (1, 2)]
        uids = [placed.uid for answer in await asyncio.gather(*jobs) for placed in answer]
        for side in (vault, other, vault, other):
            uids += [placed.uid for placed in await side.deliver(ann)]
        assert sorted(uids) == list(range(2, 126))
        assert counts(vault)[0] + counts(other)[0] > 0
        await trail.close()

    run_vault(job)


def test_changes_by_the_owner_are_followed(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        (first,) = await vault.deliver(ann)
        ann.epochs = []
        names = {role: box.id for role, box in (await vault.boxes(ann)).items()}
        everything = [(1, 1000)]
        flags = api.StoreFlags(ann.principal, names["inbox"], everything, "add", ("\\Deleted",))
        copy = api.CopyMessages(ann.principal, names["inbox"], names["trash"], everything)
        expunge = api.Expunge(ann.principal, names["inbox"])
        highest = first.modseq
        for method, request in (("store_flags", flags), ("copy", copy), ("expunge", expunge)):
            await vault.call(method, ann.grant, request)
            under_lock = counts(vault)[1]
            (placed,) = await vault.deliver(ann)
            assert placed.modseq > highest
            highest = placed.modseq
            (trashed,) = await vault.deliver(ann, role="trash")
            assert counts(vault)[1] == under_lock
        assert (placed.uid, trashed.uid) == (4, 5)
        await vault.stores.pool.execute("UPDATE mailboxes SET role = '' WHERE mailbox = $1", names["inbox"])
        (elsewhere,) = await vault.deliver(ann)
        assert elsewhere.mailbox != names["inbox"]

    run_vault(job)


def test_groups_side_by_side_to_the_same_people_stay_in_one_statement(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        people = [Person(TENANT) for _ in range(4)]
        for person in people:
            await vault.deliver(person)
            person.epochs = []
        before = counts(vault)
        answers = await asyncio.gather(*(vault.deliver(people[n % 4]) for n in range(400)))
        for number in range(4):
            uids = [placed.uid for answer in answers[number::4] for placed in answer]
            assert sorted(uids) == list(range(2, 102))
        assert counts(vault)[0] - before[0] > 1
        assert counts(vault)[1] == before[1]

    run_vault(job)


def test_a_database_that_breaks_off_in_between_leaves_all_or_nothing(dsn: str, tmp_path: Any) -> None:
    async def main() -> None:
        async with running_vault(dsn, tmp_path) as vault:
            ann = Person(TENANT)
            await vault.deliver(ann)
            stored = set()
            sent = [message(TENANT, [ann.placement()], size=200) for _ in range(60)]

            async def cut() -> None:
                while True:
                    await asyncio.sleep(int.from_bytes(os.urandom(1)) / 20_000)
                    await vault.stores.pool.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )

            cutting = asyncio.create_task(cut())
            for deposit in sent:
                for _ in range(100):
                    try:
                        answer = await vault.call("deposit", MX, api.DepositBatch([deposit], []))
                    except Exception:  # noqa: BLE001 - whatever the cut did, it is tried again
                        continue
                    stored.add(answer.results[0].placed[0].uid)
                    break
            cutting.cancel()
            await asyncio.gather(cutting, return_exceptions=True)
            assert stored == set(range(2, 62))
            assert await vault.problems() == []
            assert (await mailbox_of(vault, ann))["messages"] == 61

    asyncio.run(main())


def _standing(number: int, role: str = "inbox") -> Standing:
    return Standing(TENANT, number.to_bytes(16), number.to_bytes(16), role, 1, 1, 1)


def test_memory_is_bounded_and_forgets_what_was_used_least() -> None:
    standings = Standings(remembered_max=3)
    for number in (1, 2, 3):
        standings.note(_standing(number))
    used = (TENANT, (1).to_bytes(16), "inbox")
    assert standings.expected([], [used], []).by_role.keys() == {used}
    standings.note(_standing(4))
    assert len(standings) == 3
    keys = [(TENANT, number.to_bytes(16), "inbox") for number in (1, 2, 3, 4)]
    assert standings.unknown(keys, []) == ([keys[1]], [])


def test_a_mailbox_that_lost_its_role_is_no_longer_found_by_it() -> None:
    standings = Standings()
    standings.note(_standing(1))
    standings.note(_standing(1, ""))
    key = (TENANT, (1).to_bytes(16), "inbox")
    assert standings.unknown([key], [key[:2]]) == ([key], [])
    standings.changed((TENANT, key[1], key[1], 1))
    assert len(standings) == 1
    standings.changed((TENANT, key[1], key[1], 2))
    assert len(standings) == 0
