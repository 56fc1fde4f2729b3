"""Deposits: durable, visible, once, each by itself."""

import asyncio

import pytest
from tests.integration.vault.conftest import MX, STEWARD, Person, RunVault, Vault, message, queue_item

from postkeep.base.errors import ConflictError, InvalidInputError, NotFoundError, QuotaError, RefusedError
from postkeep.base.ids import new_id
from postkeep.services.vault import api

TENANT = new_id()


def test_a_deposit_is_visible_with_its_uid_when_answered(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        placed = await vault.deliver(ann, 3)
        box = (await vault.boxes(ann))["inbox"]
        assert [item.uid for item in placed] == [1, 2, 3]
        assert {item.mailbox for item in placed} == {box.id}
        assert (box.messages, box.unseen, box.uid_next, box.size) == (3, 3, 4, 3000)
        page = await vault.sync(ann, box.id)
        assert [row.uid for row in page.rows] == [1, 2, 3]
        assert page.mailbox.highest_modseq == placed[-1].modseq

    run_vault(job)


def test_the_six_mailboxes_are_made_on_first_sight_and_never_twice(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        await asyncio.gather(*(vault.deliver(ann) for _ in range(10)), vault.boxes(ann), vault.boxes(bob))
        for person in (ann, bob):
            assert set(await vault.boxes(person)) == {"inbox", "sent", "drafts", "trash", "junk", "archive"}
        validities = [box.uid_validity for box in (await vault.boxes(ann)).values()]
        assert len(set(validities)) == 6

    run_vault(job)


def test_a_body_is_stored_once_and_placed_with_everyone(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        people = [Person(TENANT) for _ in range(5)]
        deposit = message(TENANT, [person.placement() for person in people])
        epochs = [epoch for person in people for epoch in person.epochs]
        answer = await vault.call("deposit", MX, api.DepositBatch([deposit], epochs))
        assert len(answer.results[0].placed) == 5
        assert await vault.stores.pool.fetchval("SELECT count(*) FROM bodies") == 1
        for person in people:
            box = (await vault.boxes(person))["inbox"]
            got = await vault.call(
                "content", person.grant, api.FetchContent(person.principal, box.id, [api.Range(1)])
            )
            assert got.parts[0].data == deposit.content
            assert got.parts[0].head == deposit.content[:56]

    run_vault(job)


def test_a_deposit_tried_again_gets_its_first_answer_and_changes_nothing(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        batch = api.DepositBatch([message(TENANT, [ann.placement(), ann.placement("archive")])], ann.epochs)
        answers = await asyncio.gather(*(vault.call("deposit", MX, batch) for _ in range(5)))
        answers.append(await vault.call("deposit", MX, batch))
        assert all(answer == answers[0] for answer in answers)
        boxes = await vault.boxes(ann)
        assert boxes["inbox"].messages == boxes["archive"].messages == 1
        assert len(await vault.events("mail.deposit")) == 1

    run_vault(job)


def test_a_deposit_tried_again_after_its_message_has_gone_is_still_known(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        batch = api.DepositBatch([message(TENANT, [ann.placement(flags=("\\Deleted",))])], ann.epochs)
        first = await vault.call("deposit", MX, batch)
        box = (await vault.boxes(ann))["inbox"]
        await vault.call("expunge", ann.grant, api.Expunge(ann.principal, box.id))
        assert await vault.call("deposit", MX, batch) == first
        assert (await vault.boxes(ann))["inbox"].messages == 0

    run_vault(job)


def test_what_does_not_fit_fails_whole_and_alone(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        await vault.call("set_quota", STEWARD, api.SetQuota(TENANT, ann.principal, 2500))
        deposits = [
            message(TENANT, [bob.placement(), ann.placement()], size=2000),
            message(TENANT, [bob.placement(), ann.placement()], size=1000),
            message(TENANT, [ann.placement()], size=500),
            message(TENANT, [bob.placement()], size=9000),
        ]
        answer = await vault.call("deposit", MX, api.DepositBatch(deposits, ann.epochs + bob.epochs))
        assert [result.error for result in answer.results] == ["", "over_quota", "", ""]
        assert [result.full for result in answer.results] == [[], [ann.principal], [], []]
        too_much = api.Submit([message(TENANT, [bob.placement(), ann.placement()], size=1000)], [])
        (told,) = (await vault.call("submit", bob.grant, too_much)).results
        assert (told.error, told.full) == ("over_quota", [ann.principal])
        quota = await vault.call("quota", ann.grant, api.GetQuota(ann.principal))
        assert quota == api.Quota(2500, 2, 2500)
        assert (await vault.boxes(bob))["inbox"].messages == 2
        with pytest.raises(QuotaError):
            await vault.call("append", ann.grant, api.Append([message(TENANT, [ann.placement()])], []))

    run_vault(job)


def test_an_append_stands_or_falls_as_a_whole(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        good, bad = ann.placement("drafts"), ann.placement(mailbox=new_id())
        deposits = [message(TENANT, [good]), message(TENANT, [bad])]
        with pytest.raises(NotFoundError):
            await vault.call("append", ann.grant, api.Append(deposits, ann.epochs))
        assert (await vault.boxes(ann))["drafts"].messages == 0
        await vault.call("append", ann.grant, api.Append(deposits[:1], ann.epochs))
        assert (await vault.boxes(ann))["drafts"].messages == 1

    run_vault(job)


def test_a_user_can_place_nothing_into_anothers_mailboxes(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        for placement in (bob.placement(), ann.placement()):
            other = message(new_id() if placement.principal == ann.principal else TENANT, [placement])
            with pytest.raises(RefusedError):
                await vault.call("append", ann.grant, api.Append([other], []))
        stolen = api.Append([message(TENANT, [ann.placement()], queue=[queue_item(ann)])], [])
        with pytest.raises(RefusedError):
            await vault.call("append", ann.grant, stolen)
        for placement in (bob.placement("archive"), bob.placement(flags=("\\Seen",))):
            with pytest.raises(RefusedError):
                await vault.call("submit", ann.grant, api.Submit([message(TENANT, [placement])], []))
        box = (await vault.boxes(bob))["inbox"].id
        with pytest.raises(RefusedError):
            await vault.call(
                "submit", ann.grant, api.Submit([message(TENANT, [bob.placement(mailbox=box)])], [])
            )
        mine = message(TENANT, [bob.placement(), ann.placement("sent", flags=("\\Seen",))])
        await vault.call("submit", ann.grant, api.Submit([mine], ann.epochs + bob.epochs))
        assert (await vault.boxes(bob))["inbox"].messages == (await vault.boxes(ann))["sent"].messages == 1

    run_vault(job)


def test_malformed_deposits_are_refused_before_anything_is_written(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        good = message(TENANT, [ann.placement()])
        step = ann.placement()
        bad_placements = [
            api.Placement(ann.principal, ann.epoch, 1, bytes(96)),
            api.Placement(ann.principal, ann.epoch, 1, b"x" * 95),
            api.Placement(ann.principal, ann.epoch, -1, step.wraps),
            api.Placement(b"short", ann.epoch, 1, step.wraps),
            api.Placement(ann.principal, ann.epoch, 1, step.wraps, role="attic"),
            api.Placement(ann.principal, ann.epoch, 1, step.wraps, flags=("two words",)),
        ]
        batches = [[message(TENANT, [placement])] for placement in bad_placements]
        batches.append([good, good])
        for batch in batches:
            with pytest.raises(InvalidInputError):
                await vault.call("deposit", MX, api.DepositBatch(batch, []))
        assert len(vault.stores.slots) == 0
        assert vault.stores.packs.sizes() == []

    run_vault(job)


def test_mail_is_taken_while_the_ledger_is_away_and_told_later(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        vault.ledger.away = True
        await vault.deliver(ann, 2)
        assert vault.ledger.events == []
        vault.ledger.away = False
        (event,) = await vault.events("mail.deposit")
        assert (event.count, event.tenant, event.principal) == (2, TENANT.hex(), ann.principal.hex())
        assert (event.module, event.instance, event.source) == ("mx", "mx-0.1", "vault-0.1")

    run_vault(job)


def test_what_was_answered_is_there_after_a_restart(run_vault: RunVault) -> None:
    ann = Person(TENANT)

    async def before(vault: Vault) -> None:
        await vault.deliver(ann, 20)

    async def after(vault: Vault) -> None:
        assert (await vault.boxes(ann))["inbox"].messages == 20
        assert [placed.uid for placed in await vault.deliver(ann)] == [21]

    run_vault(before)
    run_vault(after)


def test_a_request_that_can_not_be_stored_harms_nobody_in_its_group(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        people = [Person(TENANT) for _ in range(6)]
        item = queue_item(people[0])
        first = message(TENANT, [people[0].placement("sent")], queue=[item])
        await vault.call("submit", people[0].grant, api.Submit([first], people[0].epochs))
        twice = message(TENANT, [people[0].placement("sent")], queue=[item])
        answers = await asyncio.gather(
            vault.call("submit", people[0].grant, api.Submit([twice], people[0].epochs)),
            *(vault.deliver(person) for person in people),
            return_exceptions=True,
        )
        assert isinstance(answers[0], ConflictError)
        assert all(not isinstance(answer, BaseException) for answer in answers[1:])
        assert (await vault.boxes(people[0]))["sent"].messages == 1

    run_vault(job)


def test_a_user_who_names_anothers_body_or_epoch_gets_nowhere(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, eve = Person(TENANT), Person(TENANT)
        mail = message(TENANT, [ann.placement()])
        await vault.call("deposit", MX, api.DepositBatch([mail], ann.epochs))
        for method, request in (("append", api.Append), ("submit", api.Submit)):
            guess = message(TENANT, [eve.placement("drafts")], body=mail.body)
            with pytest.raises(ConflictError):
                await vault.call(method, eve.grant, request([guess], eve.epochs))
            mine = request([message(TENANT, [eve.placement("drafts")])], eve.epochs)
            first = await vault.call(method, eve.grant, mine)
            assert await vault.call(method, eve.grant, mine) == first
        planted = api.Append([message(TENANT, [eve.placement("drafts")])], ann.epochs)
        with pytest.raises(RefusedError):
            await vault.call("append", eve.grant, planted)
        foreign = api.Submit([message(TENANT, [eve.placement("sent")])], Person(new_id()).epochs)
        with pytest.raises(RefusedError):
            await vault.call("submit", eve.grant, foreign)

    run_vault(job)
