"""What orders ask of the vault: outline, marks, removal of messages and mailboxes, the end of content."""

import os

from tests.integration.vault.conftest import STEWARD, Person, RunVault, Vault, grant, message, queue_item

from postkeep.base.ids import new_id
from postkeep.crypto.fingerprint import Search
from postkeep.model.ticket import TicketKind
from postkeep.services.vault import api, destruction_api

MAINTAIN = grant(kind=TicketKind.OPERATION, module="steward")
SALT = os.urandom(16)


def test_chosen_messages_go_with_their_wraps_and_the_marks_find_them_before_only(run_vault: RunVault) -> None:
    ann = Person(new_id())

    async def job(vault: Vault) -> None:
        await vault.deliver(ann, 6)
        inbox = (await vault.boxes(ann))["inbox"]
        seen = await vault.call(
            "outline", STEWARD, destruction_api.LookOver(ann.tenant, ann.principal, inbox.id)
        )
        assert [row.uid for row in seen.messages] == [1, 2, 3, 4, 5, 6]
        uids = [(2, 3), (6, 6)]
        marked = await vault.call(
            "mark",
            STEWARD,
            destruction_api.Mark(ann.tenant, ann.principal, SALT, mailbox=inbox.id, uids=uids),
        )
        assert (marked.total, len(marked.prints)) == (3, 3)
        search = Search(marked.prints, SALT)
        assert set(search.hits(vault.stores.slots.path.read_bytes())) == {0, 1, 2}
        order = destruction_api.Destroy(ann.tenant, ann.principal, inbox.id, uids)
        assert (await vault.call("destroy", STEWARD, order)).messages == 3
        assert (await vault.call("destroy", STEWARD, order)).messages == 0, "repeated, nothing is left"
        assert set(search.hits(vault.stores.slots.path.read_bytes())) == set()
        page = await vault.sync(ann, inbox.id)
        assert [row.uid for row in page.rows] == [1, 4, 5]
        assert len(await vault.events("mail.shred")) == 1

    run_vault(job)


def test_a_mailbox_goes_but_one_with_a_role_is_only_emptied(run_vault: RunVault) -> None:
    ann = Person(new_id())

    async def job(vault: Vault) -> None:
        await vault.deliver(ann, 2)
        listed = await vault.call("mailboxes", ann.grant, api.ListMailboxes(ann.principal))
        made = api.MailboxChange(new_id(), create=True, name=api.SealedName(ann.epoch, 5, b"sealed"))
        await vault.call(
            "change_mailboxes", ann.grant, api.ChangeMailboxes(ann.principal, listed.version, [made])
        )
        await vault.deliver(ann, 3, mailbox=made.id, role="")
        boxes = await vault.boxes(ann)
        for mailbox, count in ((made.id, 3), (boxes["inbox"].id, 2)):
            order = destruction_api.Destroy(ann.tenant, ann.principal, mailbox, [(1, 100)], whole=True)
            assert (await vault.call("destroy", STEWARD, order)).messages == count
        left = (await vault.call("mailboxes", ann.grant, api.ListMailboxes(ann.principal))).mailboxes
        assert made.id not in {box.id for box in left}
        assert "inbox" in {box.role for box in left}

    run_vault(job)


def test_a_tenants_content_dies_and_what_it_was_about_stays(run_vault: RunVault) -> None:
    ann, other = Person(new_id()), Person(new_id())

    async def job(vault: Vault) -> None:
        await vault.deliver(ann, 2)
        await vault.deliver(other, 1)
        before = [record for record in vault.stores.slots.read_many(range(3)) if record]
        assert (
            await vault.call("destroy_content", STEWARD, destruction_api.DestroyContent(ann.tenant))
        ).messages == 2
        after = [record for record in vault.stores.slots.read_many(range(3)) if record]
        changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        assert len(changed) == 2
        assert all(new == bytes(48) + old[48:] for old, new in changed)

    run_vault(job)


def test_a_person_leaves_nothing_waiting_to_go_out_when_that_is_asked(run_vault: RunVault) -> None:
    ann, bob = Person(new_id()), Person(new_id())
    bob.tenant = ann.tenant

    async def job(vault: Vault) -> None:
        tenant = ann.tenant
        for person in (ann, bob):
            item = queue_item(person)
            sent = message(tenant, [person.placement("sent")], queue=[item])
            epochs = [api.NewEpoch(tenant, person.principal, person.epoch, b"sealed")]
            whole = api.Submit([sent], epochs)
            await vault.call("submit", grant(tenant, person.principal, module="submission"), whole)
        gone = api.RemovePrincipal(tenant, ann.principal, queued=True)
        assert (await vault.call("remove_principal", STEWARD, gone)).messages == 1
        left = await vault.stores.pool.fetchval("SELECT count(*) FROM queue")
        assert left == 1
        purged = await vault.call("purge", MAINTAIN, destruction_api.Purge())
        assert isinstance(purged, api.Maintained)
        assert await vault.stores.pool.fetchval("SELECT count(*) FROM bodies WHERE refs > 0") == 1

    run_vault(job)
