"""A legal hold keeps mail from every way of destroying it, and lets it go when it ends (D4, TM-26)."""

from typing import Any

import pytest
from tests.integration.vault.conftest import START_SECONDS, STEWARD, Person, RunVault, Vault, grant
from tests.warrants import category_warrant, mail_warrant, person_warrant, tenant_warrant

from postkeep.base.clock import FixedClock
from postkeep.base.errors import RefusedError
from postkeep.base.ids import new_id
from postkeep.model.ticket import TicketKind
from postkeep.model.warrant import Unit
from postkeep.services.vault import api, destruction_api

MAINTAIN = grant(kind=TicketKind.OPERATION, module="steward")


async def place(vault: Vault, person: Person, **options: Any) -> bytes:
    hold = new_id()
    covered = {"principal": person.principal, **options}
    await vault.call("hold", STEWARD, destruction_api.Hold(person.tenant, hold, "litigation", **covered))
    return hold


async def release(vault: Vault, person: Person, hold: bytes) -> None:
    await vault.call("release_hold", STEWARD, destruction_api.ReleaseHold(person.tenant, hold))
    await vault.call("maintain", MAINTAIN, api.Maintain())


async def expunge(vault: Vault, person: Person, mailbox: bytes, uids: list[tuple[int, int]]) -> api.Expunged:
    flags = api.StoreFlags(person.principal, mailbox, uids, "add", ("\\Deleted",))
    await vault.call("store_flags", person.grant, flags)
    gone = await vault.call("expunge", person.grant, api.Expunge(person.principal, mailbox))
    assert isinstance(gone, api.Expunged)
    return gone


def live_slots(vault: Vault) -> int:
    slots = vault.stores.slots
    return sum(record is not None for record in slots.read_many(range(len(slots))))


def test_what_its_owner_expunges_under_a_hold_goes_out_of_sight_and_stays(run_vault: RunVault) -> None:
    ann = Person(new_id())

    async def job(vault: Vault) -> None:
        await vault.deliver(ann, 5)
        inbox = (await vault.boxes(ann))["inbox"]
        hold = await place(vault, ann)
        assert (await expunge(vault, ann, inbox.id, [(2, 3)])).uids == [2, 3]
        assert [row.uid for row in (await vault.sync(ann, inbox.id)).rows] == [1, 4, 5]
        assert (await vault.boxes(ann))["inbox"].messages == 3
        assert (await vault.call("quota", ann.grant, api.GetQuota(ann.principal))).messages == 3
        assert live_slots(vault) == 5
        await vault.call("maintain", MAINTAIN, api.Maintain())
        assert live_slots(vault) == 5
        assert await vault.problems() == []
        await release(vault, ann, hold)
        assert live_slots(vault) == 3
        assert (await expunge(vault, ann, inbox.id, [(4, 4)])).uids == [4]
        assert live_slots(vault) == 2

    run_vault(job)


@pytest.mark.parametrize("whole_tenant", [False, True])
def test_a_person_or_company_under_a_hold_is_not_removed_and_the_refusal_names_it(
    run_vault: RunVault, *, whole_tenant: bool
) -> None:
    ann = Person(new_id())

    async def job(vault: Vault) -> None:
        await vault.deliver(ann, 3)
        inbox = (await vault.boxes(ann))["inbox"]
        hold = await place(vault, ann, **({"principal": b""} if whole_tenant else {}))
        for method, request in (
            ("remove_principal", api.RemovePrincipal(person_warrant(ann.tenant, ann.principal))),
            ("remove_tenant", api.RemoveTenant(tenant_warrant(ann.tenant))),
            ("destroy", destruction_api.Destroy(mail_warrant(ann.tenant, ann.principal, inbox.id, [(1, 9)]))),
            (
                "destroy",
                destruction_api.Destroy(
                    mail_warrant(ann.tenant, ann.principal, inbox.id, [(1, 9)], Unit.MAILBOX)
                ),
            ),
            *(
                ("destroy_category", destruction_api.DestroyCategory(category_warrant(ann.tenant, category)))
                for category in ("content", "operations")
            ),
        ):
            with pytest.raises(RefusedError) as caught:
                await vault.call(method, STEWARD, request)
            assert caught.value.code == "refused.held"
            assert f"{hold.hex()} (litigation)" in caught.value.public_text
        assert live_slots(vault) == 3
        await release(vault, ann, hold)
        removed = await vault.call(
            "remove_principal", STEWARD, api.RemovePrincipal(person_warrant(ann.tenant, ann.principal))
        )
        assert removed.messages == 3
        assert live_slots(vault) == 0

    run_vault(job)


def test_a_mailbox_deleted_under_a_hold_stays_out_of_sight(run_vault: RunVault) -> None:
    ann = Person(new_id())

    async def job(vault: Vault) -> None:
        await vault.deliver(ann, 4, role="trash")
        trash = (await vault.boxes(ann))["trash"]
        hold = await place(vault, ann, mailbox=trash.id)
        listed = await vault.call("mailboxes", ann.grant, api.ListMailboxes(ann.principal))
        gone = api.ChangeMailboxes(ann.principal, listed.version, [api.MailboxChange(trash.id, delete=True)])
        await vault.call("change_mailboxes", ann.grant, gone)
        assert "trash" not in await vault.boxes(ann)
        await vault.call("maintain", MAINTAIN, api.Maintain())
        assert live_slots(vault) == 4
        assert await vault.problems() == []
        await release(vault, ann, hold)
        assert live_slots(vault) == 0

    run_vault(job)


def test_nothing_leaves_a_mailbox_under_a_hold_by_being_moved(run_vault: RunVault) -> None:
    ann = Person(new_id())

    async def job(vault: Vault) -> None:
        await vault.deliver(ann, 2)
        boxes = await vault.boxes(ann)
        inbox, trash = boxes["inbox"], boxes["trash"]
        hold = await place(vault, ann, mailbox=inbox.id)
        moved = api.CopyMessages(ann.principal, inbox.id, trash.id, [(1, 2)], move=True)
        copied = await vault.call("copy", ann.grant, moved)
        assert len(copied.pairs) == 2
        assert (await vault.sync(ann, inbox.id)).rows == []
        assert live_slots(vault) == 4
        await expunge(vault, ann, trash.id, [(1, 2)])
        assert live_slots(vault) == 2, "what was moved out is free, what was in the mailbox is not"
        assert await vault.problems() == []
        await release(vault, ann, hold)
        assert live_slots(vault) == 0

    run_vault(job)


def test_two_holds_must_both_end_and_one_with_an_end_ends_by_itself(run_vault: RunVault) -> None:
    ann = Person(new_id())

    async def job(vault: Vault) -> None:
        await vault.deliver(ann, 1)
        inbox = (await vault.boxes(ann))["inbox"]
        first = await place(vault, ann)
        await place(vault, ann, principal=b"", until_ms=(START_SECONDS + 60) * 1000)
        await expunge(vault, ann, inbox.id, [(1, 1)])
        await release(vault, ann, first)
        assert live_slots(vault) == 1
        clock = vault.service._clock
        assert isinstance(clock, FixedClock)
        clock.advance(61)
        await vault.call("maintain", MAINTAIN, api.Maintain())
        assert live_slots(vault) == 0

    run_vault(job)
