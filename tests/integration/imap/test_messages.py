"""Messages over IMAP, with real keepers: reading, storing, several clients at once."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.imap_client import Refused, fetched, of, refused, signed_in
from tests.imap_mail import INNER, NESTED, PLAIN
from tests.imap_world import Person, Scenario, World

from postkeep.crypto.chunked import CHUNK_BYTES, HEAD_BYTES, SEALED_CHUNK_BYTES
from postkeep.crypto.message import open_content_span
from postkeep.faces.imap import opening
from postkeep.faces.imap.connection import ImapConnection
from postkeep.faces.imap.limits import CONTENT_BYTES_PER_CALL
from postkeep.protocols.imap.commands import Append, NewMessage


def test_a_message_is_delivered_listed_and_read(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN)
        client = await signed_in(world)
        listed = of(await client.line('LIST "" "*"'), "LIST")
        assert {answer.values[2] for answer in listed} >= {b"INBOX"}
        answers = await client.line("SELECT inbox")
        assert of(answers, "EXISTS")[0].number == 1
        assert answers[-1].code == "READ-WRITE"
        answers = await client.line("FETCH 1 (FLAGS UID RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY[])")
        items = fetched(answers)[1]
        assert items["BODY[]"] == PLAIN
        assert items["RFC822.SIZE"] == str(len(PLAIN))
        assert items["FLAGS"] == ["\\Seen"]
        envelope = items["ENVELOPE"]
        assert isinstance(envelope, list)
        assert envelope[1] == b"Lunch"
        await client.close()

    in_world(scenario)


def test_every_section_is_the_octets_it_names(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, NESTED)
        client = await signed_in(world, "INBOX")
        head, _, text = NESTED.partition(b"\r\n\r\n")
        head += b"\r\n\r\n"
        expected = {
            "BODY[HEADER]": head,
            "BODY[TEXT]": text,
            "BODY[1]": b"x+uy6dXVuL28/g==",
            "BODY[1.MIME]": b"Content-Type: text/plain; charset=gb2312\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n",
            "BODY[2]": INNER,
            "BODY[2.HEADER]": b"Subject: Inner\r\n\r\n",
            "BODY[2.TEXT]": b"inner text",
            "BODY[2.1]": b"inner text",
            "BODY[2.MIME]": b"Content-Type: message/rfc822\r\nX-Part: two\r\n\r\n",
            "BODY[9]": None,
            "BODY[1.HEADER]": None,
        }
        for name, octets in expected.items():
            ask = name.replace("BODY[", "BODY.PEEK[")
            assert fetched(await client.line(f"FETCH 1 {ask}"))[1] == {name: octets}, name
        everything = " ".join(name.replace("BODY[", "BODY.PEEK[") for name in expected)
        assert fetched(await client.line(f"FETCH 1 ({everything})"))[1] == expected
        items = fetched(
            await client.line(
                "FETCH 1 (BODY.PEEK[HEADER.FIELDS (subject FROM)] BODY.PEEK[]<5.7> BODY.PEEK[TEXT]<99999.5>"
                " BINARY.PEEK[1] BINARY.SIZE[3] RFC822.HEADER BODY.PEEK[2.HEADER.FIELDS.NOT (Subject)])",
            ),
        )[1]
        assert items == {
            "BODY[HEADER.FIELDS (subject FROM)]": b"From: carol@example.org\r\n"
            b"Subject: =?utf-8?b?5Y2I6aSQ?=\r\n\r\n",
            "BODY[]<5>": NESTED[5:12],
            "BODY[TEXT]<99999>": b"",
            "BINARY[1]": "请查照附件".encode("gb2312"),
            "BINARY.SIZE[3]": "3",
            "RFC822.HEADER": head,
            "BODY[2.HEADER.FIELDS.NOT (Subject)]": b"\r\n",
        }
        assert fetched(await client.line("FETCH 1 FLAGS"))[1] == {"FLAGS": []}
        assert fetched(await client.line("FETCH 1 RFC822.TEXT"))[1] == {
            "RFC822.TEXT": text,
            "FLAGS": ["\\Seen"],
        }
        await client.close()

    in_world(scenario)


def test_a_large_message_streams_and_a_range_of_it_reads_only_its_chunks(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        body = b"".join(b"line %07d of a large message\r\n" % number for number in range(250_000))
        message = b"Subject: large\r\n\r\n" + body
        await world.deliver(alice, message)
        client = await signed_in(world, "INBOX")
        assert fetched(await client.line("FETCH 1 (UID BODY.PEEK[])"))[1]["BODY[]"] == message
        both = fetched(await client.line("FETCH 1 (BODY.PEEK[HEADER] BODY.PEEK[TEXT] BODY.PEEK[]<3.9>)"))[1]
        assert both == {
            "BODY[HEADER]": b"Subject: large\r\n\r\n",
            "BODY[TEXT]": body,
            "BODY[]<3>": message[3:12],
        }
        at = 5_000_000
        items = fetched(await client.line(f"UID FETCH 1 BODY.PEEK[]<{at}.100000>"))[1]
        assert items == {"UID": "1", f"BODY[]<{at}>": message[at : at + 100_000]}
        await client.close()

    in_world(scenario)


def test_k3_a_range_fetches_and_opens_just_the_chunks_that_hold_it(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """K3: counted at the face, and proved by damage to every other chunk where the message lies."""
    heads: set[bytes] = set()
    fetched_octets: list[int] = []
    opened_octets: list[int] = []

    def spy(*arguments: Any) -> bytes:
        plain = open_content_span(*arguments)
        heads.add(bytes(arguments[3]))
        fetched_octets.append(len(arguments[6]))
        opened_octets.append(len(plain))
        return plain

    monkeypatch.setattr(opening, "open_content_span", spy)

    async def scenario(world: World, alice: Person) -> None:
        message = b"Subject: x\r\n\r\n" + bytes(range(1, 256)) * 8000
        await world.deliver(alice, message)
        client = await signed_in(world, "INBOX")
        at = 5 * CHUNK_BYTES - 10
        ask = f"FETCH 1 BODY.PEEK[]<{at}.20>"
        expected = {f"BODY[]<{at}>": message[at : at + 20]}
        assert fetched(await client.line(ask))[1] == expected
        assert (fetched_octets, opened_octets) == ([2 * SEALED_CHUNK_BYTES], [2 * CHUNK_BYTES])
        opened_octets.clear()
        await client.line("FETCH 1 (BODY.PEEK[HEADER.FIELDS (Subject)] ENVELOPE)")
        assert opened_octets == [CHUNK_BYTES]
        opened_octets.clear()
        await client.line("FETCH 1 (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)")
        assert opened_octets == []

        damage_chunks(world.directory / "packs", heads.pop(), len(message), but=(4, 5))
        assert fetched(await client.line(ask))[1] == expected
        for elsewhere in (at - CHUNK_BYTES, at + CHUNK_BYTES, 0):
            answer = await refused(client, f"FETCH 1 BODY.PEEK[]<{elsewhere}.20>")
            assert answer.code == "CORRUPTION"
        await client.close()

    in_world(scenario)


def damage_chunks(packs: Path, head: bytes, size: int, but: tuple[int, ...]) -> None:
    """Flip a bit in each chunk of the message that begins with this head, but for some."""
    (pack,) = [path for path in packs.rglob("*") if path.is_file() and head in path.read_bytes()]
    octets = bytearray(pack.read_bytes())
    start = octets.index(head) + HEAD_BYTES
    for number in range(size // CHUNK_BYTES + 1):
        if number not in but:
            octets[start + number * SEALED_CHUNK_BYTES] ^= 1
    pack.write_bytes(octets)


def test_a_client_that_does_not_read_holds_little_memory(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        message = b"Subject: x\r\n\r\n" + b"0123456789abcdef" * 500_000
        await world.deliver(alice, message)
        client = await signed_in(world, "INBOX")
        client.pause()
        for number in range(6):
            client.send(b"f%d FETCH 1 BODY.PEEK[]\r\n" % number)
        await asyncio.sleep(2)
        (member,) = world.imap._registry.members()
        assert isinstance(member, ImapConnection)
        waiting = member._need_transport().get_write_buffer_size()
        assert 0 < waiting < 3 * CONTENT_BYTES_PER_CALL
        client.resume()
        for number in range(6):
            assert (await client.next()).items()["BODY[]"] == message
            assert (await client.next()).tag == f"f{number}"
        await client.close()

    in_world(scenario)


def test_flags_are_set_seen_by_others_and_expunged_in_order(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *(PLAIN.replace(b"Lunch", b"Lunch %d" % n) for n in range(5)))
        one, two = await signed_in(world, "INBOX"), await signed_in(world, "INBOX")
        answers = await one.line("STORE 2,4 +FLAGS (\\Deleted $Later)")
        assert fetched(answers) == {
            2: {"UID": "2", "FLAGS": ["\\Deleted", "$Later"]},
            4: {"UID": "4", "FLAGS": ["\\Deleted", "$Later"]},
        }
        assert fetched(await two.line("NOOP")) == fetched(answers)
        assert fetched(await one.line("STORE 1 FLAGS.SILENT (\\Flagged)")) == {}
        assert [answer.number for answer in of(await one.line("EXPUNGE"), "EXPUNGE")] == [2, 3]
        # The other client still counts five, and is told only when numbers may change.
        answers = await two.line("FETCH 5 UID")
        assert fetched(answers)[5] == {"UID": "5"}
        assert of(answers, "EXPUNGE") == []
        response = await refused(two, "FETCH 2 BODY.PEEK[]")
        assert response.code == "EXPUNGEISSUED"
        answers = await two.line("NOOP")
        assert [answer.number for answer in of(answers, "EXPUNGE")] == [2, 3]
        assert fetched(await two.line("FETCH 1:* (UID FLAGS)")) == {
            1: {"UID": "1", "FLAGS": ["\\Flagged"]},
            2: {"UID": "3", "FLAGS": []},
            3: {"UID": "5", "FLAGS": []},
        }
        assert (await refused(two, "FETCH 4 FLAGS")).kind == "BAD"
        await one.line("UID STORE 1:5 +FLAGS.SILENT \\Deleted")
        assert [answer.number for answer in of(await one.line("UID EXPUNGE 3:4"), "EXPUNGE")] == [2]
        await one.line("CLOSE")
        answers = await two.line("NOOP")
        assert sorted(answer.number for answer in of(answers, "EXPUNGE")) == [1, 1, 1]
        await one.close()
        await two.close()

    in_world(scenario)


def test_an_idling_client_hears_at_once(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        idle, other = await signed_in(world, "INBOX"), await signed_in(world)
        idle.send(b"i IDLE\r\n")
        assert (await idle.next()).tag == "+"
        begun = asyncio.get_running_loop().time()
        await world.deliver(alice, PLAIN)
        assert (await idle.next()).kind == "EXISTS"
        assert (await idle.next()).kind == "RECENT"
        assert asyncio.get_running_loop().time() - begun < 1
        await other.line("SELECT INBOX")
        await other.line("STORE 1 +FLAGS (\\Deleted)")
        assert (await idle.next()).items()["FLAGS"] == ["\\Deleted", "\\Recent"]
        await other.line("EXPUNGE")
        assert (await idle.next()).kind == "EXPUNGE"
        idle.send(b"DONE\r\nn NOOP\r\n")
        assert [(await idle.next()).tag, (await idle.next()).tag] == ["i", "n"]
        await idle.close()
        await other.close()

    in_world(scenario)


def test_messages_are_copied_and_moved_with_their_new_uids(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN, NESTED, PLAIN)
        client = await signed_in(world, "INBOX")
        answers = await client.line("COPY 1:2 Archive")
        assert answers[-1].code.split()[0::2] == ["COPYUID", "1:2"]
        assert answers[-1].code.split()[3] == "1:2"
        answers = await client.line("UID MOVE 2:3 Archive")
        assert [answer.number for answer in of(answers, "EXPUNGE")] == [2, 2]
        assert of(answers, "OK")[0].code.split()[2:] == ["2:3", "3:4"]
        response = await refused(client, "COPY 1 Nowhere")
        assert (response.kind, response.code) == ("NO", "TRYCREATE")
        await client.line("SELECT Archive")
        items = fetched(await client.line("FETCH 1:* (UID BODY.PEEK[])"))
        assert [items[number]["BODY[]"] for number in (1, 2, 3, 4)] == [PLAIN, NESTED, NESTED, PLAIN]
        await client.close()

    in_world(scenario)


def test_append_stores_exactly_the_octets_with_flags_and_date(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world, "Drafts")
        large = b"Subject: big\r\n\r\n" + bytes(range(1, 256)) * 4000
        for number, message in enumerate((PLAIN, large, b"no header at all", b"Subject: nul\r\n\r\n\0")):
            answers = await client.run(
                Append("Drafts", (NewMessage(("\\Seen", "$X"), 760_686_745_000, (message,)),))
            )
            assert answers[-1].code.split()[0::2] == ["APPENDUID", str(number + 1)]
        items = fetched(await client.line("FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])"))
        assert items[1] == {
            "FLAGS": ["\\Seen", "$X", "\\Recent"],
            "INTERNALDATE": b"08-Feb-1994 05:52:25 +0000",
            "BODY[]": PLAIN,
        }
        assert items[2]["BODY[]"] == large
        assert items[3]["BODY[]"] == b"no header at all"
        assert items[4]["BODY[]"] == b"Subject: nul\r\n\r\n\0"
        with pytest.raises(Refused) as caught:
            await client.run(Append("Nowhere", (NewMessage((), None, (PLAIN,)),)))
        assert caught.value.response.code == "TRYCREATE"
        response = await refused(client, "APPEND Drafts {60000000}")
        assert (response.kind, response.code) == ("NO", "TOOBIG")
        await client.line("NOOP")
        await client.close()

    in_world(scenario)


def test_changes_since_a_modseq_and_conditional_stores(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN, PLAIN, PLAIN)
        client, other = await signed_in(world), await signed_in(world, "INBOX")
        answers = await client.line("SELECT INBOX (CONDSTORE)")
        (code,) = [answer.code for answer in of(answers, "OK") if "HIGHESTMODSEQ" in answer.code]
        highest = int(code.split()[1])
        answers = await other.line("STORE 2 +FLAGS (\\Flagged)")
        assert "MODSEQ" not in fetched(answers)[2]
        answers = await client.line(f"FETCH 1:* (UID) (CHANGEDSINCE {highest})")
        await client.line("NOOP")
        answers = await client.line(f"FETCH 1:* (FLAGS) (CHANGEDSINCE {highest})")
        items = fetched(answers)
        assert list(items) == [2]
        assert items[2]["FLAGS"] == ["\\Flagged"]
        modseq = items[2]["MODSEQ"]
        assert isinstance(modseq, list)
        now = int(str(modseq[0]))
        assert now > highest
        answers = await client.line(f"UID STORE 1:3 (UNCHANGEDSINCE {highest}) +FLAGS.SILENT (\\Seen)")
        assert answers[-1].code == "MODIFIED 2"
        assert sorted(fetched(answers)) == [1, 3]
        assert "MODSEQ" in fetched(answers)[1]
        answers = await client.line(f"SEARCH MODSEQ {now + 1}")
        assert of(answers, "SEARCH")[0].values[:2] == ["1", "3"]
        answers = await client.line("STATUS INBOX (HIGHESTMODSEQ MESSAGES UNSEEN)")
        status = of(answers, "STATUS")[0].items()
        assert int(str(status["HIGHESTMODSEQ"])) > now
        assert (status["MESSAGES"], status["UNSEEN"]) == ("3", "1")
        await client.close()
        await other.close()

    in_world(scenario)


def test_pipelined_commands_run_in_order_however_many(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN)
        client = await signed_in(world, "INBOX")
        client.send(b"".join(b"p%d FETCH 1 (FLAGS INTERNALDATE)\r\n" % number for number in range(8000)))
        for number in range(8000):
            assert (await client.next()).kind == "FETCH"
            assert (await client.next()).tag == f"p{number}"
        await client.close()

    in_world(scenario)


def test_examine_changes_nothing(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN)
        client = await signed_in(world)
        answers = await client.line("EXAMINE INBOX")
        assert answers[-1].code == "READ-ONLY"
        assert fetched(await client.line("FETCH 1 BODY[]"))[1] == {"BODY[]": PLAIN}
        for command in ("STORE 1 +FLAGS (\\Seen)", "EXPUNGE", "MOVE 1 Trash"):
            assert (await refused(client, command)).code == "READ-ONLY"
        await client.line("UNSELECT")
        status = of(await client.line("STATUS INBOX (UNSEEN)"), "STATUS")[0].items()
        assert status == {"UNSEEN": "1"}
        assert (await refused(client, "FETCH 1 FLAGS")).kind == "BAD"
        await client.close()

    in_world(scenario)


def test_an_enabled_rev2_client_gets_utf8_names_and_no_recent(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN)
        client = await signed_in(world)
        answers = await client.line("ENABLE IMAP4rev2 CONDSTORE NONSENSE")
        assert of(answers, "ENABLED")[0].values == ["IMAP4rev2", "CONDSTORE"]
        await client.line('CREATE "日&本"')
        names = [answer.values[2] for answer in of(await client.line('LIST "" "*"'), "LIST")]
        assert "日&本".encode() in names
        answers = await client.line("SELECT INBOX")
        assert of(answers, "RECENT") == []
        assert of(answers, "LIST")[0].values[2] == b"INBOX"
        assert of(await client.line("UID SEARCH ALL"), "ESEARCH")[0].values[1:] == ["UID", "ALL", "1"]
        assert of(await client.line("FETCH 1 FLAGS"), "FETCH")[0].items()["FLAGS"] == []
        answers = await client.line("SEARCH RETURN (SAVE COUNT) SUBJECT lunch")
        assert of(answers, "ESEARCH")[0].values == [["TAG", b"t8"], "COUNT", "1"]
        assert fetched(await client.line("FETCH $ UID")) == {1: {"UID": "1"}}
        await client.close()

    in_world(scenario)
