"""Deposits travel together, are sent again once, and epochs go along until the vault knows them."""

import asyncio

import pytest
from tests.delivery_world import Person, World

from postkeep.base.errors import PostkeepError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.crypto.epoch import EPOCH_MESSAGES_MAX, EPOCH_SECONDS_MAX
from postkeep.model.categories import Label
from postkeep.services.delivery.deposit import BATCH_OCTETS_MAX, CALLS_MAX
from postkeep.services.delivery.epochs import EpochBook
from postkeep.services.delivery.seal import SealedDeposit, Target, place, seal_parts
from postkeep.services.vault.api import DepositBatch, DepositResults

ACME = new_id()


def sealed(book: EpochBook, *people: Person, message: bytes = b"Subject: x\r\n\r\n") -> SealedDeposit:
    parts = seal_parts(ACME, message)
    return place(parts, [Target(person.key) for person in people], book, Label.INTERNAL, 1)


def test_messages_that_arrive_together_are_one_call() -> None:
    world = World()
    ann = world.person("ann@acme.example", ACME)
    book = world.book()

    async def scenario() -> None:
        depositor = world.depositor()
        futures = [depositor.put(sealed(book, ann)) for _ in range(50)]
        assert all(not result.error for result in await asyncio.gather(*futures))
        await depositor.close()

    asyncio.run(scenario())
    assert world.calls == [50]
    assert len(world.epochs) == 1


def test_what_comes_while_calls_are_under_way_is_the_next_batch() -> None:
    world = World()
    ann = world.person("ann@acme.example", ACME)
    book = world.book()

    async def scenario() -> None:
        world.gate = asyncio.Event()
        depositor = world.depositor()
        futures = []
        for _ in range(10):
            futures.append(depositor.put(sealed(book, ann)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        world.gate.set()
        await asyncio.gather(*futures)

    asyncio.run(scenario())
    assert len(world.calls) == CALLS_MAX + 1
    assert sum(world.calls) == 10


def test_a_batch_is_limited_by_octets() -> None:
    world = World()
    ann = world.person("ann@acme.example", ACME)
    book = world.book()

    async def scenario() -> None:
        depositor = world.depositor()
        message = b"Subject: x\r\n\r\n" + b"x" * (BATCH_OCTETS_MAX // 2)
        await asyncio.gather(*[depositor.put(sealed(book, ann, message=message)) for _ in range(3)])

    asyncio.run(scenario())
    assert world.calls == [1, 1, 1]


def test_a_broken_call_is_made_once_more_with_the_same_bodies() -> None:
    world = World(failures=1)
    ann = world.person("ann@acme.example", ACME)
    deposit = sealed(world.book(), ann)

    async def scenario() -> None:
        assert not (await world.depositor().put(deposit)).error

    asyncio.run(scenario())
    assert [stored.body for stored in world.deposits] == [deposit.deposit.body]


def test_a_vault_that_stays_away_is_a_temporary_failure() -> None:
    world = World(failures=2)
    ann = world.person("ann@acme.example", ACME)

    async def scenario() -> None:
        with pytest.raises(UnavailableError):
            await world.depositor().put(sealed(world.book(), ann))

    asyncio.run(scenario())


def test_a_fault_in_a_call_reaches_everyone_who_waits() -> None:
    class Broken(World):
        async def deposit(self, request: object, *, ticket: bytes) -> DepositResults:
            raise ZeroDivisionError

    world = Broken()
    ann = world.person("ann@acme.example", ACME)

    async def scenario() -> None:
        with pytest.raises(PostkeepError):
            await world.depositor().put(sealed(world.book(), ann))

    asyncio.run(scenario())


def test_an_epoch_is_announced_until_a_deposit_with_it_stands() -> None:
    announced: list[int] = []

    class Counting(World):
        async def deposit(self, request: object, *, ticket: bytes) -> DepositResults:
            assert isinstance(request, DepositBatch)
            announced.append(len(request.epochs))
            return await super().deposit(request, ticket=ticket)

    world = Counting()
    ann = world.person("ann@acme.example", ACME)
    book = world.book()

    async def scenario() -> None:
        depositor = world.depositor()
        world.refuse[ann.key.principal] = "over_quota"
        assert (await depositor.put(sealed(book, ann))).error == "over_quota"
        del world.refuse[ann.key.principal]
        for _ in range(3):
            await depositor.put(sealed(book, ann))

    asyncio.run(scenario())
    assert announced == [1, 1, 0, 0]


def test_a_new_epoch_begins_when_the_old_is_used_up_or_old_or_forgotten() -> None:
    world = World()
    ann, bob = world.person("a@acme.example", ACME), world.person("b@acme.example", ACME)
    book = world.book(writers_max=1)
    first, step = book.take(ann.key)
    assert step.index == 0
    for _ in range(EPOCH_MESSAGES_MAX - 1):
        assert book.take(ann.key)[0] is first
    second, _ = book.take(ann.key)
    assert second is not first
    world.clock.advance(EPOCH_SECONDS_MAX)
    third, _ = book.take(ann.key)
    assert third is not second
    book.take(bob.key)
    assert len(book) == 1
    assert book.take(ann.key)[0] is not third
