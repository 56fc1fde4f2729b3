"""What orders ask of the vault: outline, marks, removal of messages and mailboxes, the end of content."""

import os

import pytest
from tests.integration.vault.conftest import (
    STEWARD,
    Person,
    RunVault,
    Vault,
    grant,
    message,
    queue_item,
)
from tests.warrants import category_warrant, mail_warrant, person_warrant

from postkeep.base.errors import InvalidInputError
from postkeep.base.ids import new_id
from postkeep.crypto.fingerprint import Search
from postkeep.model.ticket import TicketKind
from postkeep.model.warrant import Unit
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
            destruction_api.Mark(mail_warrant(ann.tenant, ann.principal, inbox.id, uids), SALT),
        )
        assert (marked.total, len(marked.prints)) == (3, 3)
        search = Search(marked.prints, SALT)
        assert set(search.hits(vault.stores.slots.path.read_bytes())) == {0, 1, 2}
        order = destruction_api.Destroy(mail_warrant(ann.tenant, ann.principal, inbox.id, uids))
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
            order = destruction_api.Destroy(
                mail_warrant(ann.tenant, ann.principal, mailbox, [(1, 100)], Unit.MAILBOX)
            )
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
        content = category_warrant(ann.tenant, "content")
        gone = await vault.call("destroy_category", STEWARD, destruction_api.DestroyCategory(content))
        assert gone.messages == 2
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
        gone = api.RemovePrincipal(person_warrant(ann.tenant, ann.principal), queued=True)
        assert (await vault.call("remove_principal", STEWARD, gone)).messages == 1
        left = await vault.stores.pool.fetchval("SELECT count(*) FROM queue")
        assert left == 1
        purged = await vault.call("purge", MAINTAIN, destruction_api.Purge())
        assert isinstance(purged, api.Maintained)
        assert await vault.stores.pool.fetchval("SELECT count(*) FROM bodies WHERE refs > 0") == 1

    run_vault(job)


def test_what_waits_to_go_out_is_destroyed_alone_and_its_copy_stays(run_vault: RunVault) -> None:
    """The category `operations` of a company; a category that is none of its own is refused."""
    ann, other = Person(new_id()), Person(new_id())

    async def job(vault: Vault) -> None:
        for person in (ann, other):
            sent = message(person.tenant, [person.placement("sent")], queue=[queue_item(person)])
            epochs = [api.NewEpoch(person.tenant, person.principal, person.epoch, b"sealed")]
            submitter = grant(person.tenant, person.principal, module="submission")
            await vault.call("submit", submitter, api.Submit([sent], epochs))
        queued = category_warrant(ann.tenant, "operations")
        marked = await vault.call("mark", STEWARD, destruction_api.Mark(queued, SALT))
        slots = vault.stores.slots.path
        search = Search(marked.prints, SALT)
        assert (marked.total, set(search.hits(slots.read_bytes()))) == (1, {0})
        for left in (1, 0):
            request = destruction_api.DestroyCategory(queued)
            assert (await vault.call("destroy_category", STEWARD, request)).messages == left
        assert set(search.hits(slots.read_bytes())) == set()
        waiting = await vault.stores.pool.fetch("SELECT tenant FROM queue")
        assert [row["tenant"] for row in waiting] == [other.tenant]
        assert await vault.stores.pool.fetchval("SELECT count(*) FROM messages") == 2
        nothing = category_warrant(ann.tenant, "metadata")
        with pytest.raises(InvalidInputError):
            await vault.call("destroy_category", STEWARD, destruction_api.DestroyCategory(nothing))

    run_vault(job)
