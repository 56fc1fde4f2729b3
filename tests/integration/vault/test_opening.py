"""Opening a mailbox without its rows, rows in columns, and what changed since a modseq (J1, J7)."""

import asyncio
from pathlib import Path

import pytest
from tests.integration.vault.conftest import (
    MX,
    Person,
    RunVault,
    Vault,
    message,
    numbers,
    running_vault,
    runs,
)

from postkeep.base.errors import NotFoundError
from postkeep.base.ids import new_id
from postkeep.services.vault import api, opening, rows_api

TENANT = new_id()
ALL = [(1, 2**32 - 1)]


async def opened(vault: Vault, person: Person, mailbox: bytes) -> rows_api.Opened:
    answer = await vault.call("select", person.grant, rows_api.OpenMailbox(person.principal, mailbox))
    assert isinstance(answer, rows_api.Opened)
    return answer


async def rows(
    vault: Vault, person: Person, mailbox: bytes, uids: list[tuple[int, int]] | None = None
) -> rows_api.Rows:
    answer = await vault.call(
        "rows", person.grant, rows_api.FetchRows(person.principal, mailbox, uids or ALL)
    )
    assert isinstance(answer, rows_api.Rows)
    return answer


async def updates(
    vault: Vault, person: Person, mailbox: bytes, since: int, uids: list[tuple[int, int]] | None = None
) -> rows_api.UpdatePage:
    answer = await vault.call(
        "updates", person.grant, rows_api.Updates(person.principal, mailbox, since, uids)
    )
    assert isinstance(answer, rows_api.UpdatePage)
    return answer


async def store(vault: Vault, person: Person, mailbox: bytes, low: int, high: int, *flags: str) -> api.Stored:
    request = api.StoreFlags(person.principal, mailbox, [(low, high)], "add", flags)
    stored = await vault.call("store_flags", person.grant, request)
    assert isinstance(stored, api.Stored)
    return stored


async def expunge(vault: Vault, person: Person, mailbox: bytes, low: int, high: int) -> None:
    await store(vault, person, mailbox, low, high, "\\Deleted")
    await vault.call("expunge", person.grant, api.Expunge(person.principal, mailbox))


def test_a_mailbox_is_opened_with_its_runs_its_keywords_and_the_first_unseen(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        inbox = (await vault.deliver(ann, 12, flags=("\\Seen",)))[0].mailbox
        now = await opened(vault, ann, inbox)
        assert (runs(now.runs), now.first_unseen, now.keywords) == ([(1, 12)], 0, ())
        await vault.deliver(ann, 2, mailbox=inbox)
        await expunge(vault, ann, inbox, 12, 13)
        await expunge(vault, ann, inbox, 1, 2)
        await store(vault, ann, inbox, 5, 6, "Work", "later")
        await store(vault, ann, inbox, 5, 6, "WORK", "$Junk")
        now = await opened(vault, ann, inbox)
        assert (runs(now.runs), now.first_unseen) == ([(3, 11), (14, 14)], 14)
        assert now.keywords == ("Work", "later", "$Junk")
        assert now.mailbox == (await vault.boxes(ann))["inbox"]
        await expunge(vault, ann, inbox, 14, 14)
        assert runs((await opened(vault, ann, inbox)).runs) == [(3, 11)]
        await expunge(vault, ann, inbox, 3, 11)
        empty = await opened(vault, ann, inbox)
        assert (empty.runs, empty.mailbox.uid_next, empty.first_unseen) == (b"", 15, 0)
        archive = (await vault.boxes(ann))["archive"].id
        assert (await opened(vault, ann, archive)).runs == b""

    run_vault(job)


def test_keywords_of_a_mailbox_come_with_every_way_that_messages_come(run_vault: RunVault) -> None:
    """By deposits one at a time and in groups, by copies; a name is listed once however it is written."""

    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        inbox = (await vault.deliver(ann, 1, flags=("one",)))[0].mailbox
        await vault.deliver(ann, 1, flags=("two", "ONE"), mailbox=inbox)
        deposits = [message(TENANT, [ann.placement(flags=(word,))]) for word in ("three", "Two", "four")]
        await vault.call("deposit", MX, api.DepositBatch(deposits, ann.epochs))
        listed = (await opened(vault, ann, inbox)).keywords
        assert sorted(listed) == ["four", "one", "three", "two"]
        assert (listed[0], listed[1]) == ("one", "two")
        archive = (await vault.boxes(ann))["archive"].id
        await vault.call("copy", ann.grant, api.CopyMessages(ann.principal, inbox, archive, [(2, 3)]))
        assert sorted((await opened(vault, ann, archive)).keywords) == ["ONE", "three", "two"]

    run_vault(job)


def test_rows_in_columns_are_the_rows_of_the_vault(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        inbox = (await vault.deliver(ann, 9, size=70_000))[0].mailbox
        await store(vault, ann, inbox, 2, 4, "\\Seen", "Work")
        await store(vault, ann, inbox, 4, 5, "\\Flagged", "\\Draft")
        await expunge(vault, ann, inbox, 7, 7)
        plain = (await vault.sync(ann, inbox)).rows
        columns = await rows(vault, ann, inbox)
        assert len(columns) == 8
        assert numbers("I", columns.uids) == [row.uid for row in plain]
        assert numbers("Q", columns.modseqs) == [row.modseq for row in plain]
        flags = [columns.flag_sets[number] for number in numbers("H", columns.flags)]
        assert flags == [row.flags for row in plain]
        assert numbers("q", columns.dates) == [row.internal_date_ms for row in plain]
        assert numbers("I", columns.sizes) == [row.size for row in plain]
        assert columns.bodies == b"".join(row.body for row in plain)
        assert set(numbers("q", columns.saved)) == {1_800_000_000_000}
        some = await rows(vault, ann, inbox, [(8, 100), (2, 3)])
        assert numbers("I", some.uids) == [2, 3, 8, 9]
        assert await rows(vault, ann, inbox, [(7, 7)]) == rows_api.Rows()
        event = (await vault.events("mail.read"))[-1]
        assert (event.count, event.method, event.category) == (4, "vault.test", "metadata")
        stored = await store(vault, ann, inbox, 1, 3, "\\Answered")
        flags = [stored.columns.flag_sets[number] for number in numbers("H", stored.columns.flags)]
        assert flags == [row.flags for row in (await vault.sync(ann, inbox)).rows][:3]
        assert numbers("I", stored.columns.uids) == [1, 2, 3]

    run_vault(job)


def test_updates_tell_what_changed_and_what_went_since_any_modseq(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        inbox = (await vault.deliver(ann, 10))[0].mailbox
        start = (await opened(vault, ann, inbox)).mailbox.highest_modseq
        quiet = await updates(vault, ann, inbox, start)
        assert (len(quiet.rows), quiet.vanished, quiet.more) == (0, b"", False)
        await store(vault, ann, inbox, 3, 4, "\\Seen")
        await expunge(vault, ann, inbox, 2, 3)
        await expunge(vault, ann, inbox, 9, 9)
        page = await updates(vault, ann, inbox, start)
        assert (numbers("I", page.rows.uids), runs(page.vanished)) == ([4], [(2, 3), (9, 9)])
        assert page.mailbox == (await opened(vault, ann, inbox)).mailbox
        limited = await updates(vault, ann, inbox, start, [(3, 3), (5, 9)])
        assert (limited.rows, runs(limited.vanished)) == (rows_api.Rows(), [(3, 3), (9, 9)])
        await vault.deliver(ann, 1)
        assert numbers("I", (await updates(vault, ann, inbox, page.mailbox.highest_modseq)).rows.uids) == [11]

    run_vault(job)


def test_more_rows_than_one_answer_holds_come_with_the_next(
    run_vault: RunVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "ROWS_MAX", 4)

    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        inbox = (await vault.deliver(ann, 10))[0].mailbox
        seen: list[int] = []
        more = True
        while more:
            page = await updates(vault, ann, inbox, 1, [(max(seen, default=0) + 1, 2**32 - 1)])
            seen += numbers("I", page.rows.uids)
            more = page.more
        assert seen == list(range(1, 11))
        assert numbers("I", (await rows(vault, ann, inbox, [(3, 9)])).uids) == [3, 4, 5, 6]

    run_vault(job)


def test_nobody_opens_a_mailbox_of_another(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        inbox = (await vault.deliver(ann, 3))[0].mailbox
        for ask in (opened(vault, bob, inbox), rows(vault, bob, inbox), updates(vault, bob, inbox, 0)):
            with pytest.raises(NotFoundError):
                await ask

    run_vault(job)


def test_who_has_seen_a_modseq_misses_nothing_that_two_vaults_write(dsn: str, tmp_path: Path) -> None:
    """Two vaults change one mailbox at once; a reader that only ever asks for what is new ends up with just
    what is there (J7)."""

    async def job() -> None:
        ann = Person(TENANT)
        async with (
            running_vault(dsn, tmp_path / "one") as one,
            running_vault(dsn, tmp_path / "two") as two,
        ):
            inbox = (await one.deliver(ann, 20))[0].mailbox
            done = asyncio.Event()

            async def write(vault: Vault, start: int) -> None:
                for number in range(start, start + 20):
                    await vault.deliver(ann, 1)
                    await store(vault, ann, inbox, number % 13 + 1, number % 13 + 2, f"k{number % 5}")
                    if number % 4 == 0:
                        await expunge(vault, ann, inbox, number % 40 + 1, number % 40 + 1)

            async def follow(vault: Vault) -> tuple[dict[int, int], int]:
                known = 0
                there: dict[int, int] = {}
                last = False
                while True:
                    page = await updates(vault, ann, inbox, known)
                    assert page.mailbox.highest_modseq >= known
                    there |= dict(
                        zip(numbers("I", page.rows.uids), numbers("Q", page.rows.modseqs), strict=True)
                    )
                    for low, high in runs(page.vanished):
                        for uid in range(low, high + 1):
                            there.pop(uid, None)
                    known = page.mailbox.highest_modseq
                    if last:
                        return there, known
                    last = done.is_set()
                    await asyncio.sleep(0)

            followers = [asyncio.create_task(follow(vault)) for vault in (one, two)]
            await asyncio.gather(write(one, 0), write(two, 7))
            done.set()
            now = await rows(one, ann, inbox)
            expected = dict(zip(numbers("I", now.uids), numbers("Q", now.modseqs), strict=True))
            for follower in followers:
                there, known = await follower
                assert there == expected
                assert known >= max(expected.values())
            left = runs((await opened(two, ann, inbox)).runs)
            assert [uid for low, high in left for uid in range(low, high + 1)] == sorted(expected)

    asyncio.run(job())
