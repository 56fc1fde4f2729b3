"""The APPEND family over a socket with real keepers: MULTIAPPEND, CATENATE, BINARY, UTF8, limits."""

from collections.abc import Callable

import pytest
from tests.imap_client import Refused, fetched, of, refused, signed_in
from tests.imap_mail import NESTED, PLAIN
from tests.imap_world import Person, Scenario, World

from postkeep.faces.imap import appending
from postkeep.protocols.imap.commands import Append, MessageUrl, NewMessage


def test_several_messages_come_in_together_or_not_at_all(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        client = await signed_in(world, "Drafts")
        new = [
            NewMessage(("\\Seen", "$X"), 760_686_745_000, (PLAIN,)),
            NewMessage((), None, (b"Subject: nul\r\n\r\n\0",)),
            NewMessage(("\\Draft",), None, (NESTED,)),
        ]
        answers = await client.run(Append("Drafts", tuple(new)))
        assert answers[-1].code.split()[0::2] == ["APPENDUID", "1:3"]
        assert of(answers, "EXISTS")[-1].number == 3
        items = fetched(await client.line("FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])"))
        assert [items[n]["BODY[]"] for n in (1, 2, 3)] == [PLAIN, b"Subject: nul\r\n\r\n\0", NESTED]
        assert items[1]["FLAGS"] == ["\\Seen", "$X", "\\Recent"]
        assert items[1]["INTERNALDATE"] == b"08-Feb-1994 05:52:25 +0000"
        with pytest.raises(Refused) as caught:  # a message without an octet: nothing is stored (RFC 3502)
            await client.run(Append("Drafts", (new[0], NewMessage((), None, (b"",)))))
        assert (caught.value.response.kind, caught.value.response.code) == ("NO", "CANNOT")
        await world.set_quota(alice, 2 * len(PLAIN) + len(NESTED) + 30)  # the first would fit
        with pytest.raises(Refused) as caught:
            await client.run(Append("Drafts", tuple(new)))
        assert (caught.value.response.kind, caught.value.response.code) == ("NO", "OVERQUOTA")
        assert of(await client.line("STATUS Drafts (MESSAGES APPENDLIMIT)"), "STATUS")[0].items() == {
            "MESSAGES": "3",
            "APPENDLIMIT": "52428800",
        }
        await client.close()

    in_world(scenario)


def test_a_message_is_made_of_others(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN, NESTED)
        client = await signed_in(world)
        status = of(await client.line("STATUS INBOX (UIDVALIDITY)"), "STATUS")[0].items()
        valid = f"/INBOX;UIDVALIDITY={status['UIDVALIDITY']!s}/;UID="
        head, _, text = NESTED.partition(b"\r\n\r\n")
        recipe: dict[bytes | MessageUrl, bytes] = {
            MessageUrl(valid + "2/;SECTION=HEADER"): head + b"\r\n\r\n",
            b"--x\r\n": b"--x\r\n",
            MessageUrl(valid + "2/;section=1"): b"x+uy6dXVuL28/g==",
            MessageUrl(valid + "2/;SECTION=TEXT/;PARTIAL=2.5"): text[2:7],
            MessageUrl("/inbox/;UID=1"): PLAIN,
            MessageUrl(valid + "2/;SECTION=HEADER.FIELDS%20(From)/;PARTIAL=0.4"): b"From",
        }
        answers = await client.run(Append("Drafts", (NewMessage(("\\Draft",), None, tuple(recipe)),)))
        assert answers[-1].code.split()[0::2] == ["APPENDUID", "1"]
        await client.line("SELECT Drafts")
        (item,) = fetched(await client.line("FETCH 1 (FLAGS BODY.PEEK[])")).values()
        assert item["BODY[]"] == b"".join(recipe.values())
        assert "\\Seen" not in fetched(await client.line("FETCH 1 FLAGS"))[1]["FLAGS"]  # type: ignore[operator]
        short = NewMessage((), None, (MessageUrl(";UID=1/;SECTION=HEADER"), b"more"))
        await client.run(Append("Drafts", (short,)))  # of the selected mailbox
        assert fetched(await client.line("FETCH 2 BODY.PEEK[]"))[2]["BODY[]"] == head + b"\r\n\r\nmore"
        for url in (
            valid + "3",
            valid + "2/;SECTION=9",
            "/INBOX;UIDVALIDITY=1/;UID=1",
            "/Nowhere/;UID=1",
            "imap://elsewhere.example/INBOX/;UID=1",
            '/INBOX/;UID=1]"\\',
        ):
            with pytest.raises(Refused) as caught:
                await client.run(Append("Drafts", (NewMessage((), None, (b"a", MessageUrl(url))),)))
            assert caught.value.response.kind == "NO"
            assert caught.value.response.code.startswith("BADURL ")
        assert of(await client.line("STATUS Drafts (MESSAGES)"), "STATUS")[0].items() == {"MESSAGES": "2"}
        await client.close()

    in_world(scenario)


def test_what_is_put_together_is_no_larger_than_what_may_be_stored(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postkeep.faces.imap.catenating.APPEND_BYTES_MAX", 2 * len(PLAIN) - 1)

    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN)
        client = await signed_in(world)
        twice = (MessageUrl("/INBOX/;UID=1"),) * 2
        with pytest.raises(Refused) as caught:
            await client.run(Append("Drafts", (NewMessage((), None, twice),)))
        assert (caught.value.response.kind, caught.value.response.code) == ("NO", "TOOBIG")
        await client.run(Append("Drafts", (NewMessage((), None, (*twice[:1], b"x")),)))
        await client.close()

    in_world(scenario)


def test_literals_that_are_not_waited_for_and_utf8_are_taken(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world, "Drafts")
        utf8 = "Subject: 会议\r\nFrom: 李@例子.公司\r\n\r\nx".encode()
        line = b"APPEND Drafts (\\Seen) {%d+}\r\n%b UTF8 (~{%d+}\r\n%b)" % (
            len(PLAIN),
            PLAIN,
            len(utf8),
            utf8,
        )
        answers = await client.line(line)
        assert answers[-1].code.split()[0::2] == ["APPENDUID", "1:2"]
        assert fetched(await client.line("FETCH 2 BODY.PEEK[]"))[2]["BODY[]"] == utf8
        for text, code in (
            ("APPEND Drafts {60000000}", "TOOBIG"),
            ("APPEND Drafts {30+}\r\n" + "x" * 30 + " {52428780}", "LIMIT"),
            ("APPEND Drafts " + "{1+}\r\nx " * 512 + "{1}", "LIMIT"),
            ("APPEND Nowhere {1+}\r\nx", "TRYCREATE"),
        ):
            response = await refused(client, text)
            assert (response.kind, response.code) == ("NO", code)
        await client.line("NOOP")
        await client.close()

    in_world(scenario)


def test_a_large_message_is_let_go_of_once_it_is_taken(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[int, int]] = []
    seal = appending._seal

    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world, "Drafts")
        literal = bytearray(b"Subject: large\r\n\r\n" + bytes(range(1, 256)) * 2000)
        octets = bytes(literal)

        async def watched(account: object, message: bytes) -> object:
            taken.append((len(message), sum(map(len, held))))
            return await seal(account, message)  # type: ignore[arg-type]

        held: list[bytearray] = []
        original = appending._octets

        async def noted(session: object, parts: object) -> bytes:
            held.extend(part for part in parts if isinstance(part, bytearray))  # type: ignore[attr-defined]
            return await original(session, parts)  # type: ignore[arg-type]

        monkeypatch.setattr(appending, "_seal", watched)
        monkeypatch.setattr(appending, "_octets", noted)
        await client.run(Append("Drafts", (NewMessage((), None, (octets,)),)))
        assert len(held) == 1
        assert taken == [(len(octets), 0)]
        assert fetched(await client.line("FETCH 1 BODY.PEEK[]"))[1]["BODY[]"] == octets
        await client.close()

    in_world(scenario)
