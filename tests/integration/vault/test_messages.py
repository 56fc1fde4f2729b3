"""Reading and changing messages: sync, flags, expunge, copy and move, and what the ledger hears of it."""

import asyncio
import hashlib
from itertools import pairwise

import pytest
from tests.integration.vault.conftest import (
    MX,
    STEWARD,
    Person,
    RunVault,
    Vault,
    grant,
    message,
    runs,
    seen,
)

from postkeep.base.errors import InvalidInputError, NotFoundError, QuotaError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.services.vault import api, rows_api

TENANT = new_id()
ALL = [(1, 2**32 - 1)]


async def store(
    vault: Vault, person: Person, mailbox: bytes, uids: list[tuple[int, int]], **how: object
) -> api.Stored:
    change = {"mode": "add", "flags": (), **how}
    request = api.StoreFlags(person.principal, mailbox, uids, **change)  # type: ignore[arg-type]
    stored = await vault.call("store_flags", person.grant, request)
    assert isinstance(stored, api.Stored)
    return stored


async def flagged_for_removal(
    vault: Vault, person: Person, mailbox: bytes, *uids: tuple[int, int]
) -> api.Expunged:
    await store(vault, person, mailbox, list(uids), flags=("\\Deleted",))
    gone = await vault.call("expunge", person.grant, api.Expunge(person.principal, mailbox))
    assert isinstance(gone, api.Expunged)
    return gone


def test_sync_gives_only_what_changed_and_what_vanished(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann, 10)
        inbox = (await vault.boxes(ann))["inbox"].id
        start = await vault.sync(ann, inbox)
        assert (await vault.sync(ann, inbox, start.mailbox.highest_modseq)).rows == []
        await store(vault, ann, inbox, [(3, 4)], flags=("\\Seen", "Work"))
        page = await vault.sync(ann, inbox, start.mailbox.highest_modseq)
        assert [(row.uid, row.flags) for row in page.rows] == [
            (3, ("\\Seen", "Work")),
            (4, ("\\Seen", "Work")),
        ]
        assert page.mailbox.unseen == 8
        await flagged_for_removal(vault, ann, inbox, (2, 4), (9, 9))
        page = await vault.sync(ann, inbox, start.mailbox.highest_modseq)
        assert (page.rows, page.vanished) == ([], [(2, 4), (9, 9)])
        limited = rows_api.Updates(ann.principal, inbox, start.mailbox.highest_modseq, [(3, 9)])
        assert runs((await vault.call("updates", ann.grant, limited)).vanished) == [(3, 4), (9, 9)]
        assert [row.uid for row in (await vault.sync(ann, inbox)).rows] == [1, 5, 6, 7, 8, 10]

    run_vault(job)


def test_flags_change_only_where_nobody_was_faster(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann, 3)
        inbox = (await vault.boxes(ann))["inbox"].id
        before = (await vault.sync(ann, inbox)).mailbox.highest_modseq
        first = await store(vault, ann, inbox, [(2, 2)], flags=("\\Flagged",), unchanged_since=before)
        assert (first.modified, [row.flags for row in seen(first.columns)]) == ([], [("\\Flagged",)])
        second = await store(vault, ann, inbox, ALL, flags=("\\Seen",), unchanged_since=before)
        assert second.modified == [2]
        assert [row.uid for row in seen(second.columns)] == [1, 3]
        again = await store(vault, ann, inbox, ALL, flags=("\\Seen",))
        same = await store(vault, ann, inbox, ALL, flags=("\\Seen",))
        assert same.highest_modseq == again.highest_modseq
        replaced = await store(vault, ann, inbox, [(2, 2)], mode="replace", flags=("\\Draft", "A", "b"))
        assert seen(replaced.columns)[0].flags == ("\\Draft", "A", "b")
        removed = await store(vault, ann, inbox, [(2, 2)], mode="remove", flags=("a", "\\Draft"))
        assert seen(removed.columns)[0].flags == ("b",)
        assert (await vault.boxes(ann))["inbox"].unseen == 1

    run_vault(job)


def test_expunge_takes_what_is_flagged_in_the_ranges_and_overwrites_the_wraps(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        placements = [ann.placement(flags=("\\Deleted",) if n % 2 else ()) for n in range(6)]
        deposits = [message(TENANT, [placement]) for placement in placements]
        await vault.call("deposit", MX, api.DepositBatch(deposits, ann.epochs))
        inbox = (await vault.boxes(ann))["inbox"]
        assert inbox.deleted == 3
        request = api.Expunge(ann.principal, inbox.id, [(1, 4)])
        gone = await vault.call("expunge", ann.grant, request)
        assert gone.uids == [2, 4]
        data = vault.stores.slots.path.read_bytes()
        assert [placement.wraps in data for placement in placements] == [True, False, True, False, True, True]
        assert await vault.stores.pool.fetchval("SELECT count(*) FROM slot_erasures") == 0
        (event,) = await vault.events("mail.shred")
        bodies = deposits[1].body + deposits[3].body
        assert (event.count, event.digest) == (2, hashlib.sha256(bodies).hexdigest())
        assert (event.principal, event.mailbox) == (ann.principal.hex(), inbox.id.hex())
        quota = await vault.call("quota", ann.grant, api.GetQuota(ann.principal))
        assert (quota.messages, quota.used_bytes) == (4, 4000)

    run_vault(job)


def test_a_copy_outlives_its_original_and_a_move_keeps_nothing_behind(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann, 4, flags=("\\Seen", "Tag"))
        boxes = await vault.boxes(ann)
        inbox, archive = boxes["inbox"].id, boxes["archive"].id
        copy = api.CopyMessages(ann.principal, inbox, archive, [(1, 2)])
        copied = await vault.call("copy", ann.grant, copy)
        assert copied.pairs == [(1, 1), (2, 2)]
        await flagged_for_removal(vault, ann, inbox, (1, 2))
        summaries = await vault.call("summaries", ann.grant, api.FetchSummaries(ann.principal, archive, ALL))
        assert [item.uid for item in summaries.summaries] == [1, 2]
        before = (await vault.sync(ann, inbox)).mailbox.highest_modseq
        moved = await vault.call(
            "copy", ann.grant, api.CopyMessages(ann.principal, inbox, archive, [(3, 9)], move=True)
        )
        assert moved.pairs == [(3, 3), (4, 4)]
        page = await vault.sync(ann, inbox, before)
        assert (page.rows, page.vanished, page.mailbox.messages) == ([], [(3, 4)], 0)
        rows = (await vault.sync(ann, archive)).rows
        assert [(row.uid, row.flags) for row in rows] == [(n, ("\\Seen", "Tag")) for n in (1, 2, 3, 4)]
        content = api.FetchContent(ann.principal, archive, [api.Range(n) for n in (1, 2, 3, 4)])
        assert len((await vault.call("content", ann.grant, content)).parts) == 4
        itself = await vault.call(
            "copy", ann.grant, api.CopyMessages(ann.principal, archive, archive, [(2, 2)], move=True)
        )
        assert itself.pairs == [(2, 5)]
        assert (await vault.call("quota", ann.grant, api.GetQuota(ann.principal))).messages == 4

    run_vault(job)


def test_a_copy_that_does_not_fit_is_refused_and_a_move_never_is(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann, 2)
        await vault.call("set_quota", STEWARD, api.SetQuota(TENANT, ann.principal, 2500))
        boxes = await vault.boxes(ann)
        copy = api.CopyMessages(ann.principal, boxes["inbox"].id, boxes["archive"].id, ALL)
        with pytest.raises(QuotaError):
            await vault.call("copy", ann.grant, copy)
        assert (await vault.boxes(ann))["archive"].messages == 0
        move = api.CopyMessages(ann.principal, boxes["inbox"].id, boxes["archive"].id, ALL, move=True)
        assert len((await vault.call("copy", ann.grant, move)).pairs) == 2

    run_vault(job)


def test_content_comes_in_ranges_always_with_the_head(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        deposits = [message(TENANT, [ann.placement()], size=size) for size in (100, 50_000)]
        await vault.call("deposit", MX, api.DepositBatch(deposits, ann.epochs))
        inbox = (await vault.boxes(ann))["inbox"].id
        ranges = [
            api.Range(2, 1000, 2000),
            api.Range(1),
            api.Range(7),
            api.Range(2, 50_000, 9999),
            api.Range(2, 10**9),
        ]
        answer = await vault.call("content", ann.grant, api.FetchContent(ann.principal, inbox, ranges))
        small, large = deposits[0].content, deposits[1].content
        assert [part.data for part in answer.parts] == [large[1000:3000], small, large[50_000:], b""]
        assert [part.uid for part in answer.parts] == [2, 1, 2, 2]
        assert {part.head for part in answer.parts} == {small[:56], large[:56]}
        assert [part.total for part in answer.parts] == [len(large), len(small), len(large), len(large)]
        assert answer.parts[0].wraps == deposits[1].placements[0].wraps
        for bad in (api.Range(1, -1), api.Range(1, 0, -5)):
            with pytest.raises(InvalidInputError):
                await vault.call("content", ann.grant, api.FetchContent(ann.principal, inbox, [bad]))

    run_vault(job)


def test_a_body_larger_than_an_answer_comes_in_pieces(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        deposit = message(TENANT, [ann.placement()], size=17 * 1024 * 1024)
        await vault.call("deposit", MX, api.DepositBatch([deposit], ann.epochs))
        inbox = (await vault.boxes(ann))["inbox"].id
        data = b""
        while len(data) < len(deposit.content):
            ranges = [api.Range(1, len(data)), api.Range(1)]
            answer = await vault.call("content", ann.grant, api.FetchContent(ann.principal, inbox, ranges))
            data += answer.parts[0].data
            assert sum(len(part.data) for part in answer.parts) <= 16 * 1024 * 1024
        assert data == deposit.content

    run_vault(job)


def test_a_read_stands_in_the_ledger_or_does_not_happen(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann, 3)
        inbox = (await vault.boxes(ann))["inbox"].id
        bodies = b"".join(row.body for row in (await vault.sync(ann, inbox)).rows)
        summaries = api.FetchSummaries(ann.principal, inbox, ALL)
        content = api.FetchContent(ann.principal, inbox, [api.Range(1), api.Range(2), api.Range(3)])
        await vault.call("summaries", ann.grant, summaries)
        await vault.call("content", ann.grant, content)
        reads = [event for event in vault.ledger.events if event.event == "mail.read"]
        assert [event.category for event in reads] == ["metadata", "metadata", "content"]
        for event in reads:
            assert event.digest == hashlib.sha256(bodies).hexdigest()
            assert (event.count, event.session) == (3, ann.grant.session.hex())
        vault.ledger.away = True
        rows = rows_api.FetchRows(ann.principal, inbox, ALL)
        for method, request in (("rows", rows), ("summaries", summaries), ("content", content)):
            with pytest.raises(UnavailableError):
                await vault.call(method, ann.grant, request)
        vault.ledger.away = False

    run_vault(job)


def test_another_principals_mailbox_is_as_good_as_none(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, bob, eve = Person(TENANT), Person(TENANT), Person(new_id())
        await vault.deliver(ann, 2)
        inbox = (await vault.boxes(ann))["inbox"].id
        archive = (await vault.boxes(bob))["archive"].id
        eve_as_ann = grant(eve.tenant, ann.principal)
        for who, name in ((bob.grant, bob.principal), (eve_as_ann, ann.principal)):
            for method, request in (
                ("select", rows_api.OpenMailbox(name, inbox)),
                ("rows", rows_api.FetchRows(name, inbox, ALL)),
                ("updates", rows_api.Updates(name, inbox, 0)),
                ("summaries", api.FetchSummaries(name, inbox, ALL)),
                ("content", api.FetchContent(name, inbox, [api.Range(1)])),
                ("store_flags", api.StoreFlags(name, inbox, ALL, "add", ("\\Deleted",))),
                ("expunge", api.Expunge(name, inbox)),
                ("copy", api.CopyMessages(name, inbox, archive, ALL)),
                ("copy", api.CopyMessages(name, archive, inbox, ALL)),
            ):
                with pytest.raises(NotFoundError):
                    await vault.call(method, who, request)
        assert (await vault.boxes(ann))["inbox"].messages == 2

    run_vault(job)


def test_changes_from_all_sides_at_once_keep_every_count_right(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        boxes = {person: await vault.boxes(person) for person in (ann, bob)}

        async def deliver() -> None:
            for _ in range(15):
                deposit = message(TENANT, [ann.placement(), bob.placement()])
                await vault.call("deposit", MX, api.DepositBatch([deposit], ann.epochs + bob.epochs))

        async def tidy(person: Person, source: str, target: str) -> None:
            mine = boxes[person]
            for _ in range(15):
                request = api.CopyMessages(person.principal, mine[source].id, mine[target].id, [(1, 9999)])
                await vault.call("copy", person.grant, request)
                await flagged_for_removal(vault, person, mine[source].id, (1, 9999))

        await asyncio.gather(
            deliver(),
            deliver(),
            *(tidy(p, "inbox", "archive") for p in (ann, bob)),
            tidy(ann, "archive", "inbox"),
        )

    run_vault(job)


def test_modseqs_of_a_mailbox_only_go_up(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        inbox = (await vault.boxes(ann))["inbox"].id
        seen = []
        for _ in range(3):
            await vault.deliver(ann, 2)
            seen.append((await vault.sync(ann, inbox)).mailbox.highest_modseq)
            seen.append((await store(vault, ann, inbox, ALL, flags=("\\Seen",))).highest_modseq)
            seen.append((await flagged_for_removal(vault, ann, inbox, (1, 1000))).highest_modseq)
        assert all(before < after for before, after in pairwise(seen))

    run_vault(job)
