"""Pages: what readers made of many summaries is kept for the next, and goes with its messages (J1, D2)."""

import asyncio
import os
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.integration.vault.conftest import STEWARD, Person, RunVault, Vault, grant, running_vault
from tests.warrants import category_warrant, mail_warrant, person_warrant

from postkeep.base.errors import (
    IntegrityError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from postkeep.base.ids import new_id
from postkeep.crypto.epoch import EpochStep
from postkeep.crypto.message import (
    MessageKeys,
    new_message_keys,
    open_page,
    seal_page,
    unwrap_key,
    wrap_keys,
)
from postkeep.model.ticket import TicketKind
from postkeep.services.vault import api, destruction_api, paging
from postkeep.services.vault.pages_api import FetchPages, NewPage, PageKind, PageList, PutPages, SealedPage

TENANT = new_id()
MAINTAIN = grant(kind=TicketKind.OPERATION, module="steward")
DATA = b"what a reader has made of the summaries"
EVERYTHING = [(0, 1000)]


class Keys:
    """A page's keys as a face has them."""

    def __init__(self, person: Person) -> None:
        person.steps += 1
        self.step = EpochStep(person.steps, os.urandom(32), os.urandom(32))
        self.keys: MessageKeys = new_message_keys()

    def page(self, person: Person, mailbox: bytes, kind: PageKind, block: int, uids: list[int]) -> NewPage:
        page = new_id()
        wraps = wrap_keys(self.keys, self.step, TENANT, page, person.principal, person.epoch)
        sealed = seal_page(self.keys, TENANT, page, kind, mailbox, DATA)
        packed = struct.pack(f"<{len(uids)}I", *uids)
        return NewPage(kind, block, packed, page, person.epoch, self.step.index, wraps, sealed)

    def open(self, person: Person, mailbox: bytes, kind: PageKind, page: SealedPage) -> bytes:
        path = TENANT, page.page, person.principal, page.epoch, page.index
        key = unwrap_key("metadata", page.wraps, self.step.metadata, *path)
        return open_page(key, TENANT, page.page, kind, mailbox, page.sealed)


def page_of(person: Person, mailbox: bytes, block: int, uids: list[int] | None = None) -> NewPage:
    numbers = uids or list(range(max(1, block * 128), block * 128 + 128))
    return Keys(person).page(person, mailbox, PageKind.FETCH, block, numbers)


async def put(vault: Vault, person: Person, mailbox: bytes, *pages: NewPage) -> None:
    await vault.call(
        "put_pages", person.grant, PutPages(person.principal, mailbox, list(pages), person.epochs)
    )


async def pages(
    vault: Vault, person: Person, mailbox: bytes, blocks: list[tuple[int, int]] | None = None
) -> PageList:
    wanted = FetchPages(person.principal, mailbox, PageKind.FETCH, blocks or EVERYTHING)
    found = await vault.call("pages", person.grant, wanted)
    assert isinstance(found, PageList)
    return found


async def blocks(vault: Vault, person: Person, mailbox: bytes) -> list[int]:
    return [page.block for page in (await pages(vault, person, mailbox)).pages]


async def full(vault: Vault, person: Person, count: int = 260) -> bytes:
    """An inbox in which blocks 0 and 1 are full, if there are so many."""
    return (await vault.deliver(person, count, size=40))[0].mailbox


async def expunge(vault: Vault, person: Person, mailbox: bytes, low: int, high: int) -> None:
    flags = api.StoreFlags(person.principal, mailbox, [(low, high)], "add", ("\\Deleted",))
    await vault.call("store_flags", person.grant, flags)
    await vault.call("expunge", person.grant, api.Expunge(person.principal, mailbox))


def on_disk(vault: Vault, *found: NewPage) -> list[bool]:
    data = vault.stores.slots.path.read_bytes()
    return [page.wraps in data for page in found]


def test_a_page_comes_back_to_whoever_holds_the_epoch_and_the_ledger_knows(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        inbox = await full(vault, ann)
        keys = Keys(ann)
        first = keys.page(ann, inbox, PageKind.FETCH, 0, list(range(1, 128)))
        facts = Keys(ann).page(ann, inbox, PageKind.FACTS, 0, list(range(1, 128)))
        await put(vault, ann, inbox, first, facts, page_of(ann, inbox, 1))
        found = await pages(vault, ann, inbox)
        assert ([page.block for page in found.pages], found.more) == ([0, 1], False)
        assert keys.open(ann, inbox, PageKind.FETCH, found.pages[0]) == DATA
        with pytest.raises(IntegrityError):
            keys.open(ann, inbox, PageKind.FACTS, found.pages[0])
        assert [page.block for page in (await pages(vault, ann, inbox, [(1, 5)])).pages] == [1]
        event = (await vault.events("mail.read"))[0]
        assert (event.count, event.category, event.mailbox) == (255, "metadata", inbox.hex())
        vault.ledger.away = True
        with pytest.raises(UnavailableError):
            await pages(vault, ann, inbox)

    run_vault(job)


def test_only_exact_pages_of_full_blocks_are_kept_and_the_first_one_stays(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        inbox = await full(vault, ann)
        await expunge(vault, ann, inbox, 130, 131)
        stale = page_of(ann, inbox, 1)  # made before the expunge
        short = page_of(ann, inbox, 0, list(range(1, 127)))
        growing = page_of(ann, inbox, 2, [256, 257, 258, 259, 260])
        await put(vault, ann, inbox, stale, short, growing)
        assert await blocks(vault, ann, inbox) == []
        exact = page_of(ann, inbox, 1, [128, 129, *range(132, 256)])
        await put(vault, ann, inbox, exact)
        again = page_of(ann, inbox, 1, [128, 129, *range(132, 256)])
        await put(vault, ann, inbox, again)
        assert [page.page for page in (await pages(vault, ann, inbox)).pages] == [exact.page]
        assert on_disk(vault, stale, short, growing, exact, again) == [False, False, False, True, False]
        await expunge(vault, ann, inbox, 256, 260)
        await vault.deliver(ann, 130, size=40)  # block 2 is full now, with 261 to 383
        await put(vault, ann, inbox, page_of(ann, inbox, 2, list(range(261, 384))))
        assert await blocks(vault, ann, inbox) == [1, 2]

    run_vault(job)


Way = Callable[[Vault, Person, bytes], Awaitable[None]]


async def by_expunge(vault: Vault, person: Person, inbox: bytes) -> None:
    await expunge(vault, person, inbox, 200, 200)


async def by_move(vault: Vault, person: Person, inbox: bytes) -> None:
    archive = (await vault.boxes(person))["archive"].id
    request = api.CopyMessages(person.principal, inbox, archive, [(200, 201)], move=True)
    await vault.call("copy", person.grant, request)


async def under_hold(vault: Vault, person: Person) -> None:
    hold = destruction_api.Hold(TENANT, new_id(), "litigation", principal=person.principal)
    await vault.call("hold", STEWARD, hold)


async def by_expunge_under_hold(vault: Vault, person: Person, inbox: bytes) -> None:
    await under_hold(vault, person)
    await by_expunge(vault, person, inbox)


async def by_order(vault: Vault, person: Person, inbox: bytes) -> None:
    order = destruction_api.Destroy(mail_warrant(TENANT, person.principal, inbox, [(200, 200)]))
    await vault.call("destroy", STEWARD, order)


@pytest.mark.parametrize("way", [by_expunge, by_move, by_expunge_under_hold, by_order])
def test_a_page_goes_with_the_first_of_its_messages_and_can_not_be_opened_any_more(
    run_vault: RunVault, way: Way
) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        inbox = await full(vault, ann)
        kept, gone, facts = (
            page_of(ann, inbox, 0),
            page_of(ann, inbox, 1),
            Keys(ann).page(ann, inbox, PageKind.FACTS, 1, list(range(128, 256))),
        )
        await put(vault, ann, inbox, kept, gone, facts)
        assert on_disk(vault, kept, gone, facts) == [True, True, True]
        await way(vault, ann, inbox)
        assert await blocks(vault, ann, inbox) == [0]
        assert on_disk(vault, kept, gone, facts) == [True, False, False]
        assert await vault.stores.pool.fetchval("SELECT count(*) FROM slot_erasures") == 0

    run_vault(job)


async def by_removal(vault: Vault, person: Person, _mailbox: bytes) -> None:
    await vault.call(
        "remove_principal", STEWARD, api.RemovePrincipal(person_warrant(TENANT, person.principal))
    )


async def by_category(vault: Vault, _person: Person, _mailbox: bytes) -> None:
    await vault.call(
        "destroy_category", STEWARD, destruction_api.DestroyCategory(category_warrant(TENANT, "content"))
    )


async def by_deletion(vault: Vault, person: Person, mailbox: bytes) -> None:
    listed = await vault.call("mailboxes", person.grant, api.ListMailboxes(person.principal))
    gone = api.MailboxChange(mailbox, delete=True)
    await vault.call(
        "change_mailboxes", person.grant, api.ChangeMailboxes(person.principal, listed.version, [gone])
    )


async def by_deletion_under_hold(vault: Vault, person: Person, mailbox: bytes) -> None:
    await under_hold(vault, person)
    await by_deletion(vault, person, mailbox)


@pytest.mark.parametrize("way", [by_removal, by_category, by_deletion, by_deletion_under_hold])
def test_all_pages_go_with_a_mailbox_a_person_or_a_category(run_vault: RunVault, way: Way) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        await vault.deliver(ann, 1)
        archive = (await vault.boxes(ann))["archive"].id
        await vault.deliver(ann, 260, mailbox=archive, size=40)
        made = [page_of(ann, archive, block) for block in (0, 1)]
        await put(vault, ann, archive, *made)
        await way(vault, ann, archive)
        assert on_disk(vault, *made) == [False, False]
        assert await vault.stores.pool.fetchval("SELECT count(*) FROM pages") == 0

    run_vault(job)


def test_a_crash_between_the_rows_and_the_wraps_is_finished_at_the_next_start(run_vault: RunVault) -> None:
    ann = Person(TENANT)
    made: list[NewPage] = []

    async def crash(vault: Vault) -> None:
        inbox = await full(vault, ann, 130)
        made.append(page_of(ann, inbox, 0))
        await put(vault, ann, inbox, *made)

        def power_cut(_slots: object) -> None:
            raise RuntimeError("power cut")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vault.stores.slots, "erase_many", power_cut)
            with pytest.raises(RuntimeError):
                await by_expunge_one(vault, inbox)
        assert on_disk(vault, *made) == [True]

    async def by_expunge_one(vault: Vault, inbox: bytes) -> None:
        await expunge(vault, ann, inbox, 5, 5)

    async def restart(vault: Vault) -> None:
        assert on_disk(vault, *made) == [False]
        assert await vault.stores.pool.fetchval("SELECT count(*) FROM slot_erasures") == 0

    run_vault(crash)
    run_vault(restart)


def test_wraps_of_a_put_that_a_crash_cut_off_are_overwritten_and_those_of_pages_never(
    run_vault: RunVault,
) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        inbox = await full(vault, ann)
        kept, lost = page_of(ann, inbox, 0), page_of(ann, inbox, 1)
        await put(vault, ann, inbox, kept)
        with pytest.MonkeyPatch.context() as patch:

            async def power_cut(*_arguments: object) -> set[int]:
                raise RuntimeError("power cut")

            patch.setattr(paging, "put_pages", power_cut)
            with pytest.raises(RuntimeError):
                await put(vault, ann, inbox, lost)
        assert on_disk(vault, kept, lost) == [True, True]
        await vault.call("maintain", MAINTAIN, api.Maintain())
        assert on_disk(vault, kept, lost) == [True, False]
        assert await blocks(vault, ann, inbox) == [0]

    run_vault(job)


def test_a_put_and_an_expunge_at_once_leave_no_page_that_shows_what_went(dsn: str, tmp_path: Path) -> None:
    """From two vaults on one database: whoever is first, no page outlives its message."""

    async def job() -> None:
        ann = Person(TENANT)
        async with (
            running_vault(dsn, tmp_path / "one") as one,
            running_vault(dsn, tmp_path / "two") as two,
        ):
            inbox = await full(one, ann, 130)
            there = list(range(1, 128))
            for uid in range(1, 25):
                page = page_of(ann, inbox, 0, list(there))
                # One vault's slots are not the other's: each erases what it has written.
                writer, remover = (one, one) if uid % 2 else (two, one)
                await asyncio.gather(put(writer, ann, inbox, page), expunge(remover, ann, inbox, uid, uid))
                there.remove(uid)
                left = await one.stores.pool.fetch("SELECT messages FROM pages")
                assert not left, f"a page with UID {uid} is still there"

    asyncio.run(job())


def test_an_answer_ends_where_it_is_full_and_goes_on_from_the_next_block(
    run_vault: RunVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def job(vault: Vault) -> None:
        ann = Person(TENANT)
        inbox = await full(vault, ann, 400)
        made = [page_of(ann, inbox, block) for block in range(3)]
        await put(vault, ann, inbox, *made)
        for limit, value in (("ANSWER_BYTES_MAX", 2 * len(made[0].sealed)), ("ANSWER_PAGES_MAX", 2)):
            with monkeypatch.context() as patch:
                patch.setattr(paging, limit, value)
                first = await pages(vault, ann, inbox)
                rest = await pages(vault, ann, inbox, [(2, 1000)])
            assert ([page.block for page in first.pages], first.more) == ([0, 1], True)
            assert ([page.block for page in rest.pages], rest.more) == ([2], False)
        with monkeypatch.context() as patch:
            patch.setattr(paging, "ANSWER_BYTES_MAX", 1)
            assert [page.block for page in (await pages(vault, ann, inbox)).pages] == [0]

    run_vault(job)


def test_pages_that_can_not_be_what_they_say_are_refused(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        inbox = await full(vault, ann, 130)
        good = page_of(ann, inbox, 0)
        parts = {name: getattr(good, name) for name in good.__struct_fields__}

        def bad(**changed: object) -> NewPage:
            return NewPage(**{**parts, **changed})

        for page in (
            bad(block=-1),
            bad(block=2**25),
            bad(uids=b""),
            bad(uids=b"123"),
            bad(uids=bytes(4 * 129)),
            bad(sealed=b""),
            bad(page=bytes(16)),
            bad(epoch=b"short"),
            bad(index=-1),
            bad(wraps=bytes(96)),
        ):
            with pytest.raises(InvalidInputError):
                await put(vault, ann, inbox, page)
        with pytest.raises(LimitError):
            await put(vault, ann, inbox, *[good] * 257)
        with pytest.raises(LimitError):
            await put(vault, ann, inbox, bad(sealed=bytes(16 * 1024 * 1024 + 1)))
        with pytest.raises(RefusedError):
            await vault.call(
                "put_pages", ann.grant, PutPages(ann.principal, inbox, [good], [*ann.epochs, *bob.epochs])
            )
        with pytest.raises(NotFoundError):
            await put(vault, bob, inbox, good)
        with pytest.raises(NotFoundError):
            await pages(vault, bob, inbox)
        with pytest.raises(InvalidInputError):
            await pages(vault, ann, inbox, [(3, 2)])
        assert await blocks(vault, ann, inbox) == []

    run_vault(job)
