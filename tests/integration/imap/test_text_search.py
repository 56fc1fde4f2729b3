"""Substring search over sealed mail, through segments and without them: one answer, whatever the vault does.

Covers: search in Chinese and Latin against plain substrings; messages stored without a search text; a segment
that is made, used, ruined, cut short, replayed, lost; expunge overwrites its keys.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import asyncpg
import msgspec
import pytest
from tests.imap_client import ImapClient, of, signed_in
from tests.imap_mail import NESTED
from tests.imap_world import Person, Scenario, World

from postkeep.faces.imap import texts_of
from postkeep.faces.imap.text_reading import Read, read_texts
from postkeep.protocols.imap.commands import Search
from postkeep.protocols.imap.search import Body, SearchKey, Text
from postkeep.services.vault.api import Deposit

COUNT = 1040
BLOCK = 1023
"""UIDs below 1,024: one less than in the blocks that follow."""
WORDS = ["invoice", "ledger", "发票", "号码", "合同", "Übergröße", "tomorrow"]
NEEDLES = [
    *WORDS,
    "票 号",
    "word7",
    "n7",
    "x9",
    "7",
    "的",
    "发票号码",
    "order 10",
    "R 10",
    "word 103",
    "odd: h3",
]

FEW = NEEDLES[2:9]


def mail(number: int) -> bytes:
    text = f"word{number} {WORDS[number % 7]} {WORDS[number % 5]}\r\norder {number} 的x{number % 13}"
    return (
        f"Subject: n{number}\r\nX-Odd: h{number % 7}\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    ).encode()


def expected(needle: str, *, header: bool = False, without: frozenset[int] = frozenset()) -> list[int]:
    """Look into the corpus as it was written, number by number from 1."""
    found = []
    for number in range(1, COUNT + 1):
        head, _, body = mail(number).decode().casefold().replace("\r\n", "\n").partition("\n\n")
        text = body.replace("\n", " ")
        wanted = needle.casefold()
        if number not in without and (wanted in text or (header and wanted in head)):
            found.append(number)
    return found


async def uids(client: ImapClient, key: SearchKey) -> list[int]:
    found = of(await client.run(Search(key, uid=True)), "SEARCH")[0]
    return [int(str(number)) for number in found.values]


async def check(
    client: ImapClient, without: frozenset[int] = frozenset(), needles: Sequence[str] = NEEDLES
) -> None:
    for needle in needles:
        assert await uids(client, Body(needle)) == expected(needle, without=without), needle
    for needle in ("odd: h3", "n10", "发票"):
        assert await uids(client, Text(needle)) == expected(needle, header=True, without=without), needle


class Rows:
    """The vault's database, as whoever has the disk sees and changes it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def segment(self, other_than: bytes = b"") -> Any:
        """Wait for the segment of the first block to be there, and to be another one."""
        for _ in range(400):
            row = await self.connection.fetchrow("SELECT * FROM segments WHERE block = 0")
            if row is not None and row["body"] != other_than:
                return row
            await asyncio.sleep(0.05)
        raise AssertionError("no segment was made")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The UIDs from which on searches have read texts one by one."""
    lows: list[int] = []

    async def spy(account: Any, place: Any, wanted: Any) -> AsyncIterator[list[Read]]:
        lows.extend(low for low, _ in wanted)
        async for batch in read_texts(account, place, wanted):
            yield batch

    monkeypatch.setattr(texts_of, "read_texts", spy)
    return lows


def flip(path: Any, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        octet = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([octet ^ 1]))


def test_segments_give_the_answers_that_texts_give_and_go_with_their_messages(
    in_world: Callable[[Scenario], None], asked: list[int]
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        for start in range(1, COUNT + 1, 520):
            await world.deliver(alice, *map(mail, range(start, start + 520)))
        connection = await asyncpg.connect(world.vault_dsn)
        try:
            await through_all(world, Rows(connection), asked)
        finally:
            await connection.close()

    in_world(scenario)


async def through_all(world: World, rows: Rows, asked: list[int]) -> None:
    client = await signed_in(world, "INBOX")
    await check(client)
    assert min(asked) == 1
    first = await rows.segment()
    assert first["messages"] == BLOCK
    asked.clear()
    await check(client)
    assert min(asked) == BLOCK + 1, "what has a segment was read text by text"
    await client.close()
    (wraps,) = world.vault._segments._stores.slots.read_many([first["slot"]])
    assert wraps is not None
    await ruined_cut_and_lost(world, rows, asked)
    await expunged_and_replayed(world, rows, (first, wraps))


async def ruined_cut_and_lost(world: World, rows: Rows, asked: list[int]) -> None:
    packs = world.directory / "packs"
    for harm in ("head", "text", "cut", "lost"):
        segment = await rows.segment()
        where = "WHERE body = $1"
        place = await rows.connection.fetchrow(f"SELECT * FROM bodies {where}", segment["body"])
        if harm == "cut":
            await rows.connection.execute(
                f"UPDATE bodies SET length = length - 16400 {where}",
                segment["body"],
            )
        elif harm == "lost":
            await rows.connection.execute("DELETE FROM segments")
            await rows.connection.execute(f"UPDATE bodies SET refs = 0 {where}", segment["body"])
        else:
            at = place["offset"] + (100 if harm == "head" else place["length"] - 100)
            flip(packs / f"{place['pack']:08d}.pack", at)
        client = await signed_in(world, "INBOX")
        await check(client, needles=FEW)
        await rows.segment(other_than=segment["body"])  # made anew
        asked.clear()
        await check(client, needles=FEW)
        assert min(asked) == BLOCK + 1
        await client.close()


async def expunged_and_replayed(world: World, rows: Rows, kept: tuple[Any, bytes]) -> None:
    slots = world.vault._segments._stores.slots
    segment = await rows.segment()
    client = await signed_in(world, "INBOX")
    await client.line("STORE 7 +FLAGS.SILENT (\\Deleted)")
    await client.line("EXPUNGE")
    assert slots.read_many([segment["slot"]]) == [None]
    assert (await rows.connection.fetchrow("SELECT * FROM segments WHERE body = $1", segment["body"])) is None
    old, wraps = kept
    (slot,) = slots.put_many([wraps])
    await rows.connection.execute("DELETE FROM segments")
    await rows.connection.execute(
        "INSERT INTO segments SELECT ($1::segments).*", (*tuple(old)[:4], slot, *tuple(old)[5:])
    )
    await rows.connection.execute("UPDATE bodies SET refs = 1 WHERE body = $1", old["body"])
    other = await signed_in(world, "INBOX")
    for reader in (client, other):
        await check(reader, frozenset({7}), FEW)
        assert await uids(reader, Body("word7 ")) == []
        await reader.close()


def test_what_was_stored_without_a_search_text_is_read_itself(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        vault = world._mx_vault
        deposit = vault.deposit

        async def without_text(request: Any, **named: Any) -> Any:
            old: list[Deposit] = [msgspec.structs.replace(one, text=b"") for one in request.deposits]
            return await deposit(msgspec.structs.replace(request, deposits=old), **named)

        vault.deposit = without_text  # type: ignore[method-assign]
        await world.deliver(alice, mail(1), NESTED, b"", b"no header\r\n")
        vault.deposit = deposit  # type: ignore[method-assign]
        long = b"Subject: long\r\n\r\n" + b"filler " * 200_000 + b"the very end\r\n"
        await world.deliver(alice, mail(1), NESTED, long)
        client = await signed_in(world, "INBOX")
        assert await uids(client, Body("word1 invoice")) == []
        assert await uids(client, Body("WORD1 ledger")) == [1, 5]
        assert await uids(client, Text("n1")) == [1, 5]
        assert await uids(client, Body("照附")) == [2, 6]
        assert await uids(client, Body("subject: inner")) == [2, 6]
        assert await uids(client, Text("no header")) == [4]
        assert await uids(client, Body("the very end")) == [7]
        await client.close()

    in_world(scenario)
