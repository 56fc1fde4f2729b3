"""The list of mailboxes, epochs, quotas, waking up, and removal."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from tests.integration.vault.conftest import (
    MX,
    RELAY,
    STEWARD,
    Peer,
    Person,
    RunVault,
    Vault,
    grant,
    message,
    queue_item,
)
from tests.warrants import person_warrant, tenant_warrant

from postkeep.base.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from postkeep.base.ids import new_id
from postkeep.services.authority.api import Revocation
from postkeep.services.queue import api as queue_api
from postkeep.services.vault import api
from postkeep.services.vault import mailboxes as mailboxes_module
from postkeep.services.vault import removal as removal_module
from postkeep.stores.postgres import Connection
from postkeep.stores.vault_changes import delete_some

TENANT = new_id()
NAME = api.SealedName(new_id(), 3, b"sealed name")


async def change(vault: Vault, person: Person, *changes: api.MailboxChange) -> api.MailboxList:
    version = (await vault.call("mailboxes", person.grant, api.ListMailboxes(person.principal))).version
    request = api.ChangeMailboxes(person.principal, version, list(changes))
    listed = await vault.call("change_mailboxes", person.grant, request)
    assert isinstance(listed, api.MailboxList)
    return listed


def test_a_mailbox_is_made_renamed_and_deleted_with_its_messages(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        before = await vault.call("mailboxes", ann.grant, api.ListMailboxes(ann.principal))
        box = new_id()
        listed = await change(vault, ann, api.MailboxChange(box, create=True, name=NAME))
        made = next(item for item in listed.mailboxes if item.id == box)
        assert made.name == NAME
        assert made.uid_validity > max(item.uid_validity for item in before.mailboxes)
        assert listed.version > before.version
        await vault.deliver(ann, 3, mailbox=box)
        other = api.SealedName(new_id(), 0, b"another name")
        listed = await change(vault, ann, api.MailboxChange(box, name=other, subscribed=False))
        made = next(item for item in listed.mailboxes if item.id == box)
        assert (made.name, made.subscribed, made.messages) == (other, False, 3)
        listed = await change(vault, ann, api.MailboxChange(box, delete=True))
        assert box not in {item.id for item in listed.mailboxes}
        assert (await vault.call("quota", ann.grant, api.GetQuota(ann.principal))).messages == 0
        assert vault.stores.slots.read_many(range(3)) == [None] * 3
        again = await change(vault, ann, api.MailboxChange(box, create=True, name=NAME))
        remade = next(item for item in again.mailboxes if item.id == box)
        assert remade.uid_validity > made.uid_validity

    run_vault(job)


def test_a_change_to_a_list_that_has_moved_on_is_a_conflict(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        version = (await vault.call("mailboxes", ann.grant, api.ListMailboxes(ann.principal))).version
        boxes = [api.MailboxChange(new_id(), create=True, name=NAME) for _ in range(5)]
        answers = await asyncio.gather(
            *(
                vault.call("change_mailboxes", ann.grant, api.ChangeMailboxes(ann.principal, version, [box]))
                for box in boxes
            ),
            return_exceptions=True,
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["ConflictError"] * 4 + ["MailboxList"]

    run_vault(job)


def test_changes_to_the_list_are_all_or_nothing_and_keep_its_rules(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        boxes, foreign = await vault.boxes(ann), (await vault.boxes(bob))["trash"].id
        good = api.MailboxChange(new_id(), create=True, name=NAME)
        cases: list[tuple[api.MailboxChange, type[Exception]]] = [
            (api.MailboxChange(boxes["inbox"].id, delete=True), RefusedError),
            (api.MailboxChange(boxes["inbox"].id, role=""), ConflictError),
            (api.MailboxChange(new_id(), create=True, role="sent"), ConflictError),
            (api.MailboxChange(new_id(), create=True), InvalidInputError),
            (api.MailboxChange(boxes["junk"].id, role=""), InvalidInputError),
            (api.MailboxChange(boxes["junk"].id, create=True, name=NAME), ConflictError),
            (api.MailboxChange(new_id(), subscribed=True), NotFoundError),
            (api.MailboxChange(foreign, delete=True), NotFoundError),
            (api.MailboxChange(foreign, create=True, name=NAME), ConflictError),
            (api.MailboxChange(boxes["junk"].id, role="attic"), InvalidInputError),
        ]
        for bad, error in cases:
            with pytest.raises(error):
                await change(vault, ann, good, bad)
        assert len(await vault.boxes(ann)) == 6
        assert len((await change(vault, ann, good)).mailboxes) == 7

    run_vault(job)


def test_epochs_are_kept_as_first_sent_and_replaced_on_purpose_only(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        await vault.deliver(ann)
        ann.epochs = [api.NewEpoch(TENANT, ann.principal, ann.epoch, b"somebody's second thought")]
        await vault.deliver(ann)
        ask = api.FetchEpochs(ann.principal)
        assert (await vault.call("epochs", ann.grant, ask)).epochs == [
            api.EpochRow(ann.epoch, b"sealed epoch")
        ]
        cheaper = [api.EpochRow(ann.epoch, b"cheaper"), api.EpochRow(new_id(), b"unknown")]
        await vault.call("replace_epochs", ann.grant, api.ReplaceEpochs(ann.principal, cheaper))
        named = api.FetchEpochs(ann.principal, [ann.epoch, new_id()])
        assert (await vault.call("epochs", ann.grant, named)).epochs == cheaper[:1]
        await vault.call("replace_epochs", bob.grant, api.ReplaceEpochs(bob.principal, cheaper))
        assert (await vault.call("epochs", ann.grant, ask)).epochs == cheaper[:1]
        assert (await vault.call("epochs", bob.grant, api.FetchEpochs(bob.principal))).epochs == []

    run_vault(job)


def test_watchers_hear_of_every_kind_of_change_and_of_nobody_elses(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        boxes = await vault.boxes(ann)
        inbox, trash = boxes["inbox"].id, boxes["trash"].id
        peer = Peer()
        face = grant(peer=peer)
        await vault.call("watch", grant(TENANT, ann.principal, peer=peer), api.Watch(ann.principal))

        async def heard() -> dict[bytes, int]:
            answer = await vault.call("next_changes", face, api.NextChanges(5.0))
            assert {item.principal for item in answer.changes} == {ann.principal}
            return {item.mailbox: item.highest_modseq for item in answer.changes}

        async def nothing() -> None:
            assert (await vault.call("next_changes", face, api.NextChanges(0.02))).changes == []

        waiting = asyncio.create_task(heard())
        await asyncio.sleep(0.02)
        await vault.deliver(ann)
        assert list(await waiting) == [inbox]
        await vault.deliver(bob)
        await nothing()
        await vault.deliver(ann)
        await vault.deliver(ann)
        now = (await vault.sync(ann, inbox)).mailbox.highest_modseq
        assert await heard() == {inbox: now}
        flags = api.StoreFlags(ann.principal, inbox, [(1, 1)], "add", ("\\Deleted",))
        steps: list[tuple[str, object]] = [
            ("store_flags", flags),
            ("expunge", api.Expunge(ann.principal, inbox)),
            ("copy", api.CopyMessages(ann.principal, inbox, trash, [(2, 2)], move=True)),
        ]
        for method, request in steps:
            await vault.call(method, ann.grant, request)  # type: ignore[arg-type]
            assert inbox in await heard()
        await change(vault, ann, api.MailboxChange(trash, subscribed=False))
        assert list(await heard()) == [b""]
        await vault.call("unwatch", face, api.Unwatch(ann.principal))
        await vault.deliver(ann)
        await nothing()
        peer.hang_up()
        await vault.deliver(ann)

    run_vault(job)


@pytest.mark.parametrize("scope", ["user", "tenant"])
def test_a_watch_ends_with_the_revocation_of_whom_it_is_about(run_vault: RunVault, scope: str) -> None:
    async def job(vault: Vault) -> None:
        ann, eve, peer = Person(TENANT), Person(new_id()), Peer()
        for person in (ann, eve):
            watch = api.Watch(person.principal)
            await vault.call("watch", grant(person.tenant, person.principal, peer=peer), watch)
        subject = ann.principal if scope == "user" else ann.tenant
        bob = replace(grant(TENANT, new_id(), peer=peer), root_ticket_id=new_id().hex())
        await vault.call("watch", bob, api.Watch(bob.principal))
        later = int(bob.root_ticket_id[:12], 16)  # a ticket that is not older than the revocation stays good
        who = bob.principal if scope == "user" else TENANT
        vault.service.watching.revoked(Revocation(scope, who.hex(), later))
        assert (TENANT, bob.principal) in vault.service.watching._by_principal
        vault.service.watching.revoked(Revocation(scope, subject.hex(), 1))
        await vault.deliver(ann)
        await vault.deliver(eve)
        answer = await vault.call("next_changes", grant(peer=peer), api.NextChanges(1.0))
        assert {item.principal for item in answer.changes} == {eve.principal}

    run_vault(job)


def test_a_ticket_for_one_mailbox_hears_of_that_one_only(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, peer = Person(TENANT), Peer()
        boxes = await vault.boxes(ann)
        whole = grant(TENANT, ann.principal, peer=peer)
        limited = replace(whole, mailboxes=frozenset({boxes["sent"].id}))
        await vault.call("watch", limited, api.Watch(ann.principal))
        await vault.deliver(ann)
        await vault.deliver(ann, role="sent")
        changes = (await vault.call("next_changes", limited, api.NextChanges(1.0))).changes
        assert [item.mailbox for item in changes] == [boxes["sent"].id]
        listed = await vault.call("mailboxes", limited, api.ListMailboxes(ann.principal))
        assert [box.role for box in listed.mailboxes] == ["sent"]

    run_vault(job)


def test_a_principal_that_is_removed_leaves_nothing_that_opens(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        placements = [ann.placement(), bob.placement()]
        shared = api.DepositBatch([message(TENANT, placements)], ann.epochs + bob.epochs)
        await vault.call("deposit", MX, shared)
        await vault.deliver(ann, 10)
        removed = await vault.call(
            "remove_principal", STEWARD, api.RemovePrincipal(person_warrant(ann.tenant, ann.principal))
        )
        assert removed.messages == 11
        data = vault.stores.slots.path.read_bytes()
        assert [placement.wraps in data for placement in placements] == [False, True]
        for table in ("principals", "mailboxes", "epochs"):
            rows = await vault.stores.pool.fetch(f"SELECT principal FROM {table}")
            assert {row[0] for row in rows} == {bob.principal}
        again = await vault.call(
            "remove_principal", STEWARD, api.RemovePrincipal(person_warrant(ann.tenant, ann.principal))
        )
        assert again.messages == 0
        inbox = (await vault.boxes(bob))["inbox"]
        content = api.FetchContent(bob.principal, inbox.id, [api.Range(1)])
        assert len((await vault.call("content", bob.grant, content)).parts) == 1

    run_vault(job)


@pytest.mark.parametrize("ending", ["same call", "crash, then upkeep", "crash, then removal"])
def test_a_large_mailbox_goes_in_batches_and_a_crash_in_between_is_made_good(
    run_vault: RunVault, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(removal_module, "BATCH_MESSAGES", 4)
    monkeypatch.setattr(mailboxes_module, "BATCH_MESSAGES", 4)
    batches: list[int] = []
    real = delete_some

    async def counted(connection: Connection, tenant: bytes, mailbox: bytes, limit: int) -> Any:
        if ending != "same call" and len(batches) == 1:
            batches.append(0)
            raise UnavailableError("the crash")
        rows = await real(connection, tenant, mailbox, limit)
        batches.append(len(rows))
        return rows

    monkeypatch.setattr(removal_module, "delete_some", counted)

    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann, 3)
        placements = [ann.placement("trash") for _ in range(10)]
        batch = api.DepositBatch([message(TENANT, [one]) for one in placements], ann.epochs)
        await vault.call("deposit", MX, batch)
        version = (await vault.call("mailboxes", ann.grant, api.ListMailboxes(ann.principal))).version
        trash = (await vault.boxes(ann))["trash"]
        gone = api.ChangeMailboxes(ann.principal, version, [api.MailboxChange(trash.id, delete=True)], [])
        if ending == "same call":
            await vault.call("change_mailboxes", ann.grant, gone)
            assert batches == [4, 4, 2, 0]
        else:
            with pytest.raises(UnavailableError):
                await vault.call("change_mailboxes", ann.grant, gone)
            assert "trash" not in await vault.boxes(ann)
            quota = await vault.call("quota", ann.grant, api.GetQuota(ann.principal))
            assert quota.messages == 3
            with pytest.raises(NotFoundError):
                await vault.sync(ann, trash.id)
            lost = api.DepositBatch([message(TENANT, [ann.placement(mailbox=trash.id)])], [])
            (refused,) = (await vault.call("deposit", MX, lost)).results
            assert refused.error == "not_found"
            assert await vault.problems() == []
            if ending.endswith("upkeep"):
                await vault.call("maintain", STEWARD, api.Maintain(0.5))
            else:
                await vault.call(
                    "remove_principal",
                    STEWARD,
                    api.RemovePrincipal(person_warrant(ann.tenant, ann.principal)),
                )
        data = vault.stores.slots.path.read_bytes()
        assert not any(placement.wraps in data for placement in placements)
        left = await vault.stores.pool.fetchval("SELECT count(*) FROM messages")
        assert left == (0 if ending.endswith("removal") else 3)
        assert await vault.stores.pool.fetchval("SELECT count(*) FROM mailboxes WHERE NOT selectable") == 0

    run_vault(job)


def test_a_tenant_that_is_removed_takes_its_queue_with_it_and_no_other_tenant(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, eve = Person(TENANT), Person(new_id())
        for person in (ann, eve):
            deposit = message(person.tenant, [person.placement("sent")], queue=[queue_item(person)])
            await vault.call("deposit", MX, api.DepositBatch([deposit], person.epochs))
        removed = await vault.call("remove_tenant", STEWARD, api.RemoveTenant(tenant_warrant(TENANT)))
        assert removed.messages == 1
        for table in ("principals", "mailboxes", "messages", "bodies", "epochs", "queue"):
            rows = await vault.stores.pool.fetch(f"SELECT DISTINCT tenant FROM {table}")
            assert [row[0] for row in rows] == [eve.tenant]
        leased = await vault.call("queue_lease", RELAY, queue_api.Lease(10, 60))
        assert [item.tenant for item in leased.items] == [eve.tenant]
        assert vault.stores.slots.read_many([0, 1])[:2] == [None, None]

    run_vault(job)
