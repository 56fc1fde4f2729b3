"""What the vault keeps for searches: texts behind their bodies, segments as bodies of their own, both through
compaction, and neither longer than its messages."""

import os
import struct

import msgspec
import pytest
from tests.integration.vault.conftest import MX, STEWARD, Person, RunVault, Vault, grant, message

from postkeep.base.errors import InvalidInputError, NotFoundError, RefusedError
from postkeep.base.ids import new_id
from postkeep.services.vault import api, search_api

FULL = 1030


async def deposit(vault: Vault, person: Person, texts: list[bytes]) -> bytes:
    """Deposit messages with these search texts; return the mailbox."""
    deposits = []
    for text in texts:
        one = message(person.tenant, [person.placement()], size=50)
        deposits.append(
            api.Deposit(one.tenant, one.body, one.content, one.summary, 50, one.placements, text=text)
        )
    for start in range(0, len(deposits), 500):
        some = api.DepositBatch(deposits[start : start + 500], person.epochs)
        await vault.call("deposit", MX, some)
    return (await vault.boxes(person))["inbox"].id


async def texts_of(vault: Vault, person: Person, mailbox: bytes, low: int, high: int) -> dict[int, bytes]:
    request = search_api.FetchTexts(person.principal, mailbox, [(low, high)])
    answer = await vault.call("texts", person.grant, request)
    return {item.uid: item.text for item in answer.texts}


def segment(person: Person, mailbox: bytes, uids: range, **changes: object) -> search_api.NewSegment:
    person.steps += 1
    values = {
        "principal": person.principal,
        "mailbox": mailbox,
        "block": 0,
        "uids": struct.pack(f"<{len(uids)}I", *uids),
        "segment": new_id(),
        "epoch": person.epoch,
        "index": person.steps,
        "wraps": os.urandom(96),
        "sealed": os.urandom(40_000),
        "epochs": [],
        **changes,
    }
    return search_api.NewSegment(**values)  # type: ignore[arg-type]


async def listed(vault: Vault, person: Person, mailbox: bytes) -> list[search_api.SealedSegment]:
    request = search_api.FetchSegments(person.principal, mailbox, [(0, 2**22)], 1000)
    answer: search_api.SegmentList = await vault.call("segments", person.grant, request)
    return answer.segments


def test_texts_come_with_their_messages_and_stay_through_compaction(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        person = Person(new_id())
        texts = [os.urandom(100 + number) if number % 3 else b"" for number in range(12)]
        mailbox = await deposit(vault, person, texts)
        assert await texts_of(vault, person, mailbox, 2, 100) == dict(enumerate(texts[1:], 2))
        flags = api.StoreFlags(person.principal, mailbox, [(1, 5)], "add", ("\\Deleted",))
        await vault.call("store_flags", person.grant, flags)
        await vault.call("expunge", person.grant, api.Expunge(person.principal, mailbox))
        done = await vault.call("maintain", STEWARD, api.Maintain(0.1))
        assert (done.packs_compacted, done.orphan_bytes) == (1, 0)
        assert done.bytes_reclaimed == sum(48 + 122 + len(text) for text in texts[:5])
        assert await texts_of(vault, person, mailbox, 1, 100) == dict(enumerate(texts[5:], 6))
        stranger = Person(person.tenant)
        with pytest.raises(NotFoundError):
            await texts_of(vault, stranger, mailbox, 1, 100)
        read = (await vault.events("mail.read"))[-1]
        assert (read.count, read.category) == (7, "content")

    run_vault(job)


def test_a_segment_is_kept_while_it_is_exact_and_goes_with_a_message(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        person, slots = Person(new_id()), vault.stores.slots
        mailbox = await deposit(vault, person, [b""] * FULL)
        for wrong in (
            segment(person, mailbox, range(1, 1023)),  # one message is missing
            segment(person, mailbox, range(1024, FULL + 1), block=1),  # its block is not full
            segment(person, mailbox, range(1, 1024), replaces=new_id()),  # nothing stands there
        ):
            before = len(slots)
            await vault.call("put_segment", person.grant, wrong)
            assert slots.read_many([before]) == [None]
        assert await listed(vault, person, mailbox) == []
        first, second = (segment(person, mailbox, range(1, 1024)) for _ in range(2))
        await vault.call("put_segment", person.grant, first)
        await vault.call("put_segment", person.grant, second)  # there is one already
        (found,) = await listed(vault, person, mailbox)
        assert (found.body, found.wraps, found.total, found.first) == (
            first.segment,
            first.wraps,
            40_000,
            first.sealed[:1000],
        )
        third = segment(person, mailbox, range(1, 1024), replaces=first.segment)
        await vault.call("put_segment", person.grant, third)
        ranges = [
            search_api.SegmentRange(0, third.segment, 30_000, 20_000),
            search_api.SegmentRange(0, first.segment, 0, 10),
            search_api.SegmentRange(0, third.segment, 5, 10),
        ]
        request = search_api.FetchSegmentParts(person.principal, mailbox, ranges)
        parts = await vault.call("segment_parts", person.grant, request)
        assert parts.parts == [third.sealed[30_000:], b"", third.sealed[5:15]]
        assert await vault.problems() == []
        flags = api.StoreFlags(person.principal, mailbox, [(500, 500)], "add", ("\\Deleted",))
        await vault.call("store_flags", person.grant, flags)
        await vault.call("expunge", person.grant, api.Expunge(person.principal, mailbox))
        assert await listed(vault, person, mailbox) == []
        records = slots.read_many(range(len(slots)))
        assert not {first.wraps, second.wraps, third.wraps} & set(records)

    run_vault(job)


def test_only_the_owner_puts_segments_and_only_what_may_be_one(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        person = Person(new_id())
        mailbox = await deposit(vault, person, [b""])
        with pytest.raises(RefusedError):
            await vault.call(
                "put_segment", grant(person.tenant, new_id()), segment(person, mailbox, range(1, 2))
            )
        right = segment(person, mailbox, range(1, 2))
        for changes in (
            {"wraps": bytes(96)},
            {"uids": b"123"},
            {"block": -1},
            {"segment": b"x"},
            {"index": -1},
        ):
            with pytest.raises(InvalidInputError):
                await vault.call("put_segment", person.grant, msgspec.structs.replace(right, **changes))

    run_vault(job)
