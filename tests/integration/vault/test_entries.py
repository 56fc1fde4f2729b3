"""Sealed annotations at the vault: opaque, compared and set, gone with their mailbox."""

import os

import pytest
from tests.integration.vault.conftest import Person, RunVault, Vault

from postkeep.base.errors import ConflictError, LimitError, NotFoundError, RefusedError
from postkeep.base.ids import NOBODY, new_id
from postkeep.services.vault import api, entries
from postkeep.services.vault.entries_api import EntriesList, FetchEntries, Scope, SetEntries

TENANT = new_id()


def setting(person: Person, mailbox: bytes, version: int, sealed: bytes = b"x") -> SetEntries:
    person.steps += 1
    return SetEntries(
        person.principal, mailbox, Scope.PRIVATE, version, person.epoch, person.steps, sealed, person.epochs
    )


async def read(vault: Vault, person: Person, since: int = 0) -> EntriesList:
    found = await vault.call("entries", person.grant, FetchEntries(person.principal, since))
    assert isinstance(found, EntriesList)
    return found


def test_a_blob_is_replaced_only_by_who_has_seen_it(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        box = (await vault.boxes(ann))["sent"].id
        assert (await read(vault, ann)).blobs == []
        first = (await vault.call("set_entries", ann.grant, setting(ann, box, 0, b"one"))).version
        with pytest.raises(ConflictError):
            await vault.call("set_entries", ann.grant, setting(ann, box, 0, b"late"))
        account = (await vault.call("set_entries", ann.grant, setting(ann, NOBODY, 0, b"mine"))).version
        second = (await vault.call("set_entries", ann.grant, setting(ann, box, first, b"two"))).version
        assert first < account < second
        listed = await read(vault, ann)
        assert listed.version == second
        assert {(blob.mailbox, blob.sealed) for blob in listed.blobs} == {(box, b"two"), (NOBODY, b"mine")}
        assert [blob.sealed for blob in (await read(vault, ann, account)).blobs] == [b"two"]
        assert (await read(vault, ann, second)).blobs == []
        assert len(await vault.events("mail.write")) == 3

    run_vault(job)


def test_annotations_stay_within_their_owner_and_their_limits(
    run_vault: RunVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        box, others = (await vault.boxes(ann))["sent"].id, (await vault.boxes(bob))["sent"].id
        with pytest.raises(NotFoundError):
            await vault.call("set_entries", ann.grant, setting(ann, others, 0))
        foreign = setting(ann, box, 0)
        with pytest.raises(RefusedError):
            await vault.call(
                "set_entries",
                ann.grant,
                SetEntries(
                    ann.principal, box, Scope.PRIVATE, 0, foreign.epoch, foreign.index, b"x", bob.epochs
                ),
            )
        monkeypatch.setattr(entries, "PRINCIPAL_BYTES_MAX", 1000)
        await vault.call("set_entries", ann.grant, setting(ann, NOBODY, 0, os.urandom(900)))
        with pytest.raises(LimitError):
            await vault.call("set_entries", ann.grant, setting(ann, box, 0, os.urandom(101)))
        await vault.call("set_entries", ann.grant, setting(ann, box, 0, os.urandom(100)))
        with pytest.raises(LimitError):
            await vault.call("set_entries", ann.grant, setting(ann, NOBODY, 1, bytes(600_000)))

    run_vault(job)


def test_annotations_go_with_their_mailbox(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        box = (await vault.boxes(ann))["junk"].id
        await vault.call("set_entries", ann.grant, setting(ann, box, 0))
        version = (await vault.call("mailboxes", ann.grant, api.ListMailboxes(ann.principal))).version
        change = api.ChangeMailboxes(ann.principal, version, [api.MailboxChange(box, delete=True)])
        await vault.call("change_mailboxes", ann.grant, change)
        assert (await read(vault, ann)).blobs == []
        assert await vault.stores.pool.fetchval("SELECT count(*) FROM entries") == 0

    run_vault(job)


def test_a_list_that_has_not_changed_is_not_sent_again(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        box = new_id()
        name = api.SealedName(new_id(), 3, b"sealed name")
        whole = await vault.call("mailboxes", ann.grant, api.ListMailboxes(ann.principal))
        made = api.ChangeMailboxes(
            ann.principal, whole.version, [api.MailboxChange(box, create=True, name=name)]
        )
        version = (await vault.call("change_mailboxes", ann.grant, made)).version

        async def ask(**options: object) -> api.MailboxList:
            request = api.ListMailboxes(ann.principal, **options)  # type: ignore[arg-type]
            listed = await vault.call("mailboxes", ann.grant, request)
            assert isinstance(listed, api.MailboxList)
            return listed

        assert (await ask(known=version, mailboxes=[])).mailboxes == []
        await vault.deliver(ann, 2, mailbox=box, flags=("\\Deleted",), size=700)
        some = await ask(known=version, mailboxes=[box, new_id()], deleted_sizes=True)
        assert [(row.id, row.messages, row.name, row.deleted_size) for row in some.mailboxes] == [
            (box, 2, None, 1400)
        ]
        every = await ask(known=version)
        assert len(every.mailboxes) == len(whole.mailboxes) + 1
        assert all(row.name is None for row in every.mailboxes)
        stale = await ask(known=whole.version, mailboxes=[])
        assert len(stale.mailboxes) == len(every.mailboxes)
        assert any(row.name == name for row in stale.mailboxes)
        assert some.version == every.version == stale.version == version

    run_vault(job)
