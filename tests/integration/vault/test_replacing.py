"""A message takes the place of another: both happen, or neither (RFC 8508); what goes is destroyed as by an
expunge."""

import asyncio

import msgspec
import pytest
from tests.integration.vault.conftest import Person, RunVault, Vault, message

from postkeep.base.errors import NotFoundError, QuotaError
from postkeep.base.ids import new_id
from postkeep.services.vault import api

TENANT = new_id()


async def _draft(vault: Vault, ann: Person, role: str = "drafts") -> bytes:
    deposit = message(TENANT, [ann.placement(role)])
    await vault.call("append", ann.grant, api.Append([deposit], ann.epochs))
    return (await vault.boxes(ann))[role].id


def _replacement(ann: Person, mailbox: bytes, uid: int, *, into: bytes, size: int = 1000) -> api.Append:
    deposit = message(TENANT, [ann.placement("", into)], size=size)
    return api.Append([deposit], [], api.Replaced(ann.principal, mailbox, uid))


def test_the_new_message_is_there_and_the_old_one_is_destroyed(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        drafts = await _draft(vault, ann)
        slot = await vault.stores.pool.fetchval("SELECT slot FROM messages")
        before = (await vault.boxes(ann))["drafts"]
        request = _replacement(ann, drafts, 1, into=drafts, size=300)
        first = await vault.call("append", ann.grant, request)
        box = (await vault.boxes(ann))["drafts"]
        assert first.results[0].placed[0].uid == 2
        assert (box.messages, box.unseen, box.size, box.uid_next) == (1, 1, 300, 3)
        assert box.highest_modseq == before.highest_modseq + 2
        assert vault.stores.slots.read_many([slot]) == [None]
        assert (await vault.call("quota", ann.grant, api.GetQuota(ann.principal))).used_bytes == 300
        assert len(await vault.events("mail.shred")) == 1
        # The answer was lost: the same request again changes nothing.
        assert await vault.call("append", ann.grant, request) == first
        assert (await vault.boxes(ann))["drafts"] == box
        assert (await vault.call("check", ann.grant, api.CheckStore())).problems == []

    run_vault(job)


def test_it_may_lie_in_another_mailbox_than_the_one_it_replaces(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        drafts = await _draft(vault, ann)
        sent = (await vault.boxes(ann))["sent"].id
        await vault.call("append", ann.grant, _replacement(ann, drafts, 1, into=sent))
        boxes = await vault.boxes(ann)
        assert (boxes["drafts"].messages, boxes["sent"].messages) == (0, 1)

    run_vault(job)


def test_where_one_half_can_not_be_done_nothing_is(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        drafts = await _draft(vault, ann)
        before = await vault.boxes(ann)
        for request, code in (
            (_replacement(ann, drafts, 7, into=drafts), "not_found.message"),
            (_replacement(ann, new_id(), 1, into=drafts), "not_found.message"),
            (_replacement(ann, drafts, 1, into=new_id()), "not_found"),
        ):
            with pytest.raises(NotFoundError) as caught:
                await vault.call("append", ann.grant, request)
            assert caught.value.code == code
        limit = api.SetQuota(TENANT, ann.principal, 1200)
        await vault.call("set_quota", ann.grant, limit)
        with pytest.raises(QuotaError):
            await vault.call("append", ann.grant, _replacement(ann, drafts, 1, into=drafts, size=1201))
        assert await vault.boxes(ann) == before
        # What goes makes room for what comes.
        await vault.call("append", ann.grant, _replacement(ann, drafts, 1, into=drafts, size=1200))

    run_vault(job)


def test_of_many_that_replace_one_message_one_does(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        drafts = await _draft(vault, ann)
        requests = [_replacement(ann, drafts, 1, into=drafts) for _ in range(5)]
        outcomes = await asyncio.gather(
            *(vault.call("append", ann.grant, request) for request in requests), return_exceptions=True
        )
        stored = [one for one in outcomes if isinstance(one, api.DepositResults)]
        assert len(stored) == 1
        assert all(isinstance(one, NotFoundError) for one in outcomes if one is not stored[0])
        assert (await vault.boxes(ann))["drafts"].messages == 1
        plain = msgspec.structs.replace(
            requests[0], replaces=None, deposits=[message(TENANT, [ann.placement("drafts")])]
        )
        await vault.call("append", ann.grant, plain)  # what is remembered of the mailbox is right
        assert (await vault.boxes(ann))["drafts"].messages == 2

    run_vault(job)
