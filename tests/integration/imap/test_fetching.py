"""FETCH in columns, from summaries and from pages, and its newer items (RFC 8474, 8514, 8970, 3516)."""

import re
from collections.abc import Callable

import pytest
from tests.imap_client import fetched, of, refused, signed_in
from tests.imap_mail import NESTED, PLAIN
from tests.imap_world import Person, Scenario, World

from postkeep.faces.imap import fetch, pages
from postkeep.services.vault.client import VaultClient
from postkeep.services.vault.pages_api import PageKind

WHOLE = "(UID FLAGS ENVELOPE INTERNALDATE RFC822.SIZE BODYSTRUCTURE BODY THREADID)"


def numbered(count: int) -> list[bytes]:
    return [PLAIN.replace(b"Lunch", b"Lunch %d" % number) for number in range(count)]


def test_pages_are_made_by_who_reads_a_whole_block_and_say_what_the_summaries_say(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("summaries", "pages", "put_pages"):
        call = getattr(VaultClient, name)

        async def counted(
            self: object, *args: object, _name: str = name, _call: object = call, **more: object
        ) -> object:
            calls.append(_name)
            return await _call(self, *args, **more)  # type: ignore[operator]

        monkeypatch.setattr(VaultClient, name, counted)

    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *numbered(150))
        await world.deliver(alice, *numbered(150))
        client = await signed_in(world, "INBOX")
        first = fetched(await client.line(f"FETCH 1:* {WHOLE}"))
        assert len(first) == 300
        assert calls.count("summaries") == 1
        assert calls.count("put_pages") == 1
        # The blocks of UIDs 0-127 and 128-255 have pages now; the last one is not full.
        calls.clear()
        assert fetched(await client.line(f"FETCH 1:* {WHOLE}")) == first
        assert calls == ["pages", "summaries"]
        calls.clear()
        some = fetched(await client.line(f"FETCH 3,50:70,140 {WHOLE}"))
        assert some == {at: first[at] for at in (3, *range(50, 71), 140)}
        # A removed message leaves no page behind, and the next reader makes a new one.
        await client.line("STORE 60 +FLAGS.SILENT (\\Deleted)")
        await client.line("EXPUNGE")
        calls.clear()
        again = fetched(await client.line(f"FETCH 1:* {WHOLE}"))
        assert sorted(calls) == ["pages", "put_pages", "summaries", "summaries"]  # before and behind a page
        assert [items["UID"] for items in again.values()] == [
            items["UID"] for at, items in first.items() if at != 60
        ]
        assert again[60]["ENVELOPE"] == first[61]["ENVELOPE"]
        calls.clear()
        await client.line(f"FETCH 1:* {WHOLE}")
        assert calls == ["pages", "summaries"]
        await client.close()

    in_world(scenario)


def test_who_searches_first_makes_the_pages_that_fetch_reads(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *numbered(140))
        client = await signed_in(world, "INBOX")
        answers = await client.line('SEARCH SUBJECT "Lunch 77"')
        assert of(answers, "SEARCH")[0].values == ["78"]
        items = fetched(await client.line("FETCH 78 (ENVELOPE)"))[78]
        envelope = items["ENVELOPE"]
        assert isinstance(envelope, list)
        assert envelope[1] == b"Lunch 77"
        assert pages.FETCH.kind is PageKind.FETCH
        await client.close()

    in_world(scenario)


def test_newer_items_name_message_thread_and_date_and_show_the_first_words(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        answer = (
            b"References: <root@example.org> <other@example.org>\r\nMessage-ID: <2@x>\r\nSubject: b\r\n"
            b"\r\nYes.\r\n> No?\r\n"
        )
        root = b"Message-ID: <root@example.org>\r\nSubject: a\r\n\r\nQuestion\r\n  in two lines\r\n"
        html = (
            b"Content-Type: text/html; charset=utf-8\r\n\r\n"
            b"<html><head><title>T</title><style>p {}</style></head>"
            b"<body><p>Gr&uuml;&szlig;e</p><script>x()</script> " + b"wort " * 100
        )
        await world.deliver(alice, root, answer, NESTED, html, b"no header\r\n")
        client = await signed_in(world, "INBOX")
        items = fetched(await client.line("FETCH 1:5 (EMAILID THREADID SAVEDATE PREVIEW)"))
        threads = [items[at]["THREADID"] for at in range(1, 6)]
        assert threads[0] == threads[1]
        assert isinstance(threads[0], list)
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,255}", str(threads[0][0]))
        assert threads[4] is None or threads[4] == "NIL"
        assert len({str(items[at]["EMAILID"]) for at in range(1, 6)}) == 5
        assert all(re.search("-20[0-9]{2} ", str(items[at]["SAVEDATE"])) for at in range(1, 6))
        assert items[1]["PREVIEW"] == b"Question in two lines"
        assert items[2]["PREVIEW"] == b"Yes."
        assert items[3]["PREVIEW"] == "请查照附件".encode()
        preview = items[4]["PREVIEW"]
        assert isinstance(preview, bytes)
        assert preview.decode().startswith("Grüße wort wort")
        assert len(preview.decode()) <= 200
        assert fetched(await client.line("FETCH 1 (PREVIEW (LAZY) UID)"))[1] == {
            "PREVIEW": b"Question in two lines",
            "UID": "1",
        }
        assert fetched(await client.line("FETCH 1 FLAGS"))[1]["FLAGS"] == []  # nothing was read
        answers = await client.line("COPY 1 Archive")
        answers = await client.line("SELECT Archive")
        assert any(answer.code.startswith("MAILBOXID (") for answer in answers)
        copy = fetched(await client.line("FETCH 1 (EMAILID THREADID)"))[1]
        assert copy == {"EMAILID": items[1]["EMAILID"], "THREADID": items[1]["THREADID"]}
        await client.close()

    in_world(scenario)


def test_a_transfer_encoding_that_is_not_known_is_said_to_be(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(
            alice, b"Content-Transfer-Encoding: x-uuencode\r\nSubject: x\r\n\r\nbegin 644 a\r\n"
        )
        client = await signed_in(world, "INBOX")
        for item in ("BINARY[1]", "BINARY.PEEK[1]", "BINARY.SIZE[1]"):
            answer = await refused(client, f"FETCH 1 {item}")
            assert (answer.kind, answer.code) == ("NO", "UNKNOWN-CTE")
        assert fetched(await client.line("FETCH 1 BODY.PEEK[1]"))[1] == {"BODY[1]": b"begin 644 a\r\n"}
        await client.close()

    in_world(scenario)


def test_many_rows_are_answered_in_batches_whatever_their_size(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "ROWS_PER_WRITE", 7)
    monkeypatch.setattr(fetch, "BYTES_PER_WRITE", 900)

    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *numbered(30))
        client = await signed_in(world, "INBOX")
        await client.line("UID STORE 3:5 +FLAGS (\\Deleted $K)")
        await client.line("EXPUNGE")
        items = fetched(await client.line("FETCH 1:* (UID FLAGS RFC822.SIZE ENVELOPE)"))
        assert [int(str(each["UID"])) for each in items.values()] == [1, 2, *range(6, 31)]
        assert list(items) == list(range(1, 28))
        assert [each["UID"] for each in fetched(await client.line("UID FETCH 4:9,20 (UID)")).values()] == [
            "6", "7", "8", "9", "20",
        ]  # fmt: skip
        await client.close()

    in_world(scenario)
