"""The outbound queue: leases, outcomes, and the administrator's acts."""

import asyncio
from typing import Any, cast

import pytest
from tests.integration.vault.conftest import (
    MX,
    RELAY,
    START_SECONDS,
    STEWARD,
    Person,
    RunVault,
    Vault,
    message,
    queue_item,
)

from postkeep.base.clock import FixedClock
from postkeep.base.errors import InvalidInputError, LimitError, NotFoundError, RefusedError, UnavailableError
from postkeep.base.ids import NOBODY, new_id
from postkeep.services.queue import api as queue_api
from postkeep.services.vault import api

TENANT = new_id()
NOW_MS = START_SECONDS * 1000


def clock(vault: Vault) -> FixedClock:
    return cast("FixedClock", vault.service._clock)


async def enqueue(vault: Vault, person: Person, *items: api.QueueItem) -> api.Deposit:
    deposit = message(TENANT, [person.placement("sent")], queue=items)
    await vault.call("submit", person.grant, api.Submit([deposit], person.epochs))
    return deposit


async def lease(
    vault: Vault, limit: int = 10, seconds: int = 60, busy: tuple[str, ...] = ()
) -> queue_api.LeasedItems:
    leased = await vault.call("queue_lease", RELAY, queue_api.Lease(limit, seconds, list(busy)))
    assert isinstance(leased, queue_api.LeasedItems)
    return leased


async def settle(vault: Vault, item: queue_api.LeasedItem, **outcome: Any) -> None:
    done = queue_api.QueueOutcome(item.id, item.lease, **outcome)
    await vault.call("queue_update", RELAY, queue_api.QueueUpdate([done]))


def test_sent_and_queue_are_one_transaction_and_the_item_is_whole(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        item = queue_item(ann)
        deposit = await enqueue(vault, ann, item)
        assert (await vault.boxes(ann))["sent"].messages == 1
        (leased,) = (await lease(vault)).items
        assert (leased.id, leased.wraps, leased.envelope) == (item.id, item.wraps, item.envelope)
        assert (leased.tenant, leased.body, leased.sealed_epoch) == (TENANT, deposit.body, b"sealed epoch")
        assert (leased.size, leased.content_length) == (deposit.size, len(deposit.content))
        got = await vault.call("queue_content", RELAY, queue_api.QueueContent(item.id, leased.lease))
        assert got.data == deposit.content
        part = queue_api.QueueContent(item.id, leased.lease, 56, 100)
        assert (await vault.call("queue_content", RELAY, part)).data == deposit.content[56:156]

    run_vault(job)


def test_the_installations_queue_holds_items_but_no_mailbox_and_no_users_mail(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        nobody = Person(NOBODY)
        nobody.principal = NOBODY
        epochs = [api.NewEpoch(NOBODY, NOBODY, nobody.epoch, b"sealed epoch")]
        item = queue_item(nobody)
        deposit = message(NOBODY, [], queue=[item])
        answer = await vault.call("deposit", MX, api.DepositBatch([deposit], epochs))
        assert [result.error for result in answer.results] == [""]
        (leased,) = (await lease(vault)).items
        assert (leased.tenant, leased.principal, leased.sealed_epoch) == (NOBODY, NOBODY, b"sealed epoch")
        await settle(vault, leased, done=True)
        for tenant, placements, queue in (
            (NOBODY, [nobody.placement()], []),
            (TENANT, [], [queue_item(nobody)]),
        ):
            wrong = api.DepositBatch([message(tenant, placements, queue=queue)], [])
            with pytest.raises(InvalidInputError):
                await vault.call("deposit", MX, wrong)
        ann = Person(TENANT)
        stolen = api.Submit([message(NOBODY, [], queue=[queue_item(nobody)])], [])
        with pytest.raises(RefusedError):
            await vault.call("submit", ann.grant, stolen)

    run_vault(job)


def test_an_item_is_leased_once_at_a_time_however_many_ask(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        items = [queue_item(ann) for _ in range(30)]
        await enqueue(vault, ann, *items)
        batches = await asyncio.gather(*(lease(vault, 4) for _ in range(10)))
        got = [item.id for batch in batches for item in batch.items]
        assert sorted(got) == sorted(item.id for item in items)
        assert (await lease(vault)).items == []

    run_vault(job)


def test_an_item_that_somebody_holds_locked_does_not_hold_up_the_others(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        items = [queue_item(ann) for _ in range(3)]
        await enqueue(vault, ann, *items)
        async with vault.stores.pool.acquire() as other, other.transaction():
            await other.execute("SELECT 1 FROM queue WHERE item = $1 FOR UPDATE", items[0].id)
            got = await asyncio.wait_for(lease(vault), 10)
        assert {item.id for item in got.items} == {items[1].id, items[2].id}

    run_vault(job)


def test_a_claim_is_renewed_until_somebody_else_has_the_item_or_it_is_gone(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        items = [queue_item(ann) for _ in range(3)]
        await enqueue(vault, ann, *items)
        mine = {item.id: queue_api.Claim(item.id, item.lease) for item in (await lease(vault)).items}

        async def renew() -> set[bytes]:
            request = queue_api.Renew(list(mine.values()), 60)
            return set((await vault.call("queue_renew", RELAY, request)).lost)

        for _ in range(3):
            clock(vault).advance(50)
            assert await renew() == set()
            assert (await lease(vault)).items == []
        clock(vault).advance(61)
        (other,) = (await lease(vault, limit=1)).items
        assert await renew() == {other.id}
        gone = next(item.id for item in items if item.id != other.id)
        await vault.call("queue_act", STEWARD, queue_api.QueueAct("delete", [gone]))
        assert await renew() == {other.id, gone}
        (last,) = set(mine) - {other.id, gone}
        clock(vault).advance(61)
        late = queue_api.QueueOutcome(last, mine[last].lease, done=True)
        await vault.call("queue_update", RELAY, queue_api.QueueUpdate([late]))
        left = await vault.stores.pool.fetch("SELECT item FROM queue")
        assert [row[0] for row in left] == [other.id]
        with pytest.raises(LimitError):
            await vault.call("queue_renew", RELAY, queue_api.Renew([], 10**6))

    run_vault(job)


def test_a_lease_that_ran_out_gives_the_item_to_the_next_and_counts_no_more(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await enqueue(vault, ann, queue_item(ann))
        (first,) = (await lease(vault, seconds=30)).items
        assert (await lease(vault)).next_due_ms == NOW_MS + 30_000
        clock(vault).advance(31)
        (second,) = (await lease(vault)).items
        assert (second.id, second.lease != first.lease) == (first.id, True)
        await settle(vault, first, done=True)
        with pytest.raises(NotFoundError):
            await vault.call("queue_content", RELAY, queue_api.QueueContent(first.id, first.lease))
        assert await vault.stores.pool.fetchval("SELECT count(*) FROM queue") == 1
        await settle(vault, second, done=True)
        assert await vault.stores.pool.fetchval("SELECT count(*) FROM queue") == 0

    run_vault(job)


def test_an_item_that_is_done_goes_with_its_wraps_and_the_sent_copy_stays(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        item = queue_item(ann)
        deposit = await enqueue(vault, ann, item)
        (leased,) = (await lease(vault)).items
        await settle(vault, leased, done=True)
        data = vault.stores.slots.path.read_bytes()
        assert item.wraps not in data
        assert deposit.placements[0].wraps in data
        sent = (await vault.boxes(ann))["sent"].id
        content = api.FetchContent(ann.principal, sent, [api.Range(1)])
        assert (await vault.call("content", ann.grant, content)).parts[0].data == deposit.content

    run_vault(job)


def test_an_item_that_failed_for_now_comes_back_when_it_is_due(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await enqueue(vault, ann, queue_item(ann))
        (leased,) = (await lease(vault)).items
        reason = "451 4.7.1 mx.example.net"
        again = {"not_before_ms": NOW_MS + 60_000, "reason": reason, "delay_notified": True}
        await settle(vault, leased, done=False, envelope=b"fewer recipients", recipients=2, **again)
        nothing = await lease(vault)
        assert (nothing.items, nothing.next_due_ms) == ([], NOW_MS + 60_000)
        (row,) = (await vault.call("queue_list", STEWARD, queue_api.QueueList())).rows
        assert (row.attempts, row.recipients, row.reason) == (1, 2, reason)
        clock(vault).advance(61)
        (second,) = (await lease(vault)).items
        assert (second.attempts, second.envelope, second.delay_notified) == (1, b"fewer recipients", True)
        await settle(vault, second, done=False, not_before_ms=NOW_MS)
        (third,) = (await lease(vault)).items
        assert (third.attempts, third.envelope, third.delay_notified) == (2, b"fewer recipients", True)

    run_vault(job)


def test_busy_destinations_and_items_for_later_are_left_out(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        later = queue_item(ann, "later.example", NOW_MS + 5000)
        await enqueue(vault, ann, queue_item(ann, "a.example"), queue_item(ann, "b.example"), later)
        leased = await lease(vault, busy=("a.example",))
        assert [item.destination for item in leased.items] == ["b.example"]
        assert [item.destination for item in (await lease(vault)).items] == ["a.example"]

    run_vault(job)


def test_waiting_for_the_queue_ends_when_something_is_due(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        wait = queue_api.QueueWait(30.0)
        waiting = asyncio.create_task(vault.call("queue_wait", RELAY, wait))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await enqueue(vault, ann, queue_item(ann))
        await asyncio.wait_for(waiting, 5)
        await asyncio.wait_for(vault.call("queue_wait", RELAY, wait), 5)

    run_vault(job)


def test_the_administrator_lists_holds_releases_retries_and_deletes(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        items = [queue_item(ann, not_before_ms=NOW_MS + 1000 * n) for n in range(3)]
        await enqueue(vault, ann, *items)

        async def act(name: str, *ids: bytes) -> int:
            acted = await vault.call("queue_act", STEWARD, queue_api.QueueAct(name, list(ids)))
            assert isinstance(acted, queue_api.QueueActed)
            return acted.count

        rows = (await vault.call("queue_list", STEWARD, queue_api.QueueList(TENANT, 2))).rows
        assert len(rows) == 2
        assert (await vault.call("queue_list", STEWARD, queue_api.QueueList(new_id()))).rows == []
        assert await act("hold", items[0].id) == 1
        assert (await lease(vault)).items == []
        assert await act("release") == 1
        assert [item.id for item in (await lease(vault)).items] == [items[0].id]
        assert await act("retry", items[1].id, items[0].id) == 1
        assert [item.id for item in (await lease(vault)).items] == [items[1].id]
        wraps = items[2].wraps
        assert wraps in vault.stores.slots.path.read_bytes()
        assert await act("delete", items[2].id, new_id()) == 1
        assert wraps not in vault.stores.slots.path.read_bytes()
        with pytest.raises(InvalidInputError):
            await act("burn")
        assert await act("delete") == 2
        acts = [event for event in await vault.events("queue") if event.note]
        assert [(event.note, event.count) for event in acts] == [
            ("hold", 1), ("release", 1), ("retry", 1), ("delete", 1), ("delete", 2),
        ]  # fmt: skip
        assert {(event.tenant, event.session, event.module) for event in acts} == {
            (TENANT.hex(), STEWARD.session.hex(), "steward")
        }

    run_vault(job)


def test_nothing_is_leased_while_the_ledger_is_away(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await enqueue(vault, ann, queue_item(ann))
        vault.ledger.away = True
        with pytest.raises(UnavailableError):
            await lease(vault)
        vault.ledger.away = False
        clock(vault).advance(61)
        assert len((await lease(vault)).items) == 1

    run_vault(job)
