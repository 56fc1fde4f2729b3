"""SEARCH over sealed mail: rows, summaries and decoded text, each only where it is needed."""

from collections.abc import Callable

from tests.imap_client import ImapClient, of, refused, signed_in
from tests.imap_mail import NESTED, PLAIN
from tests.imap_world import Person, Scenario, World

from postkeep.protocols.imap.commands import Search
from postkeep.protocols.imap.search import Body, HasFlag, Header, Not, Or, SearchKey, Text

QUOTED = (
    "From: Zoë Straße <zoe@example.org>\r\nTo: alice@example.com\r\nCc: dan@example.org\r\n"
    "Subject: =?iso-8859-1?q?Gr=FC=DFe?=\r\nDate: Tue, 8 Feb 1994 01:10:00 +0900\r\nX-Tag: Green\r\n"
    "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    "<p>Der lange S=C3=A4tz wird hier um=\r\ngebrochen, =E5=8D=88=E9=A4=90.</p>\r\n"
).encode()


async def found(client: ImapClient, keys: str, *, uid: bool = False) -> list[str]:
    answers = await client.line(f"{'UID ' if uid else ''}SEARCH {keys}")
    return [str(number) for number in of(answers, "SEARCH")[0].values]


async def found_by(client: ImapClient, key: SearchKey) -> list[str]:
    return [str(number) for number in of(await client.run(Search(key)), "SEARCH")[0].values]


def test_every_key_finds_just_its_messages(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN, NESTED, QUOTED)
        client = await signed_in(world, "INBOX")
        await client.line("STORE 1 +FLAGS (\\Seen \\Answered $Work)")
        await client.line("STORE 2 +FLAGS (\\Flagged)")
        expected = {
            "ALL": "1 2 3",
            "SEEN": "1",
            "UNSEEN": "2 3",
            "ANSWERED FLAGGED": "",
            "OR ANSWERED FLAGGED": "1 2",
            "KEYWORD $work": "1",
            "UNKEYWORD $Work": "2 3",
            "NOT 1": "2 3",
            "UID 2:*": "2 3",
            "2:* NOT (UID 3)": "2",
            "LARGER 200": "2 3",
            f"SMALLER {len(PLAIN) + 1}": "1",
            "FROM BOB": "1",
            "FROM example.org": "2 3",
            "TO alice@example.com": "1 2 3",
            "CC dan": "3",
            "BCC dan": "",
            "SUBJECT lunch": "1",
            "HEADER Message-ID <m1@example.net>": "1",
            "HEADER X-Tag green": "3",
            'HEADER X-Tag ""': "3",
            "HEADER X-Tag red": "",
            "SENTON 7-Feb-1994": "1",
            "SENTON 8-Feb-1994": "3",
            "SENTBEFORE 8-Feb-1994": "1",
            "SENTSINCE 8-Feb-1994": "3",
            "BEFORE 1-Jan-2000": "",
            "SINCE 1-Jan-2000": "1 2 3",
            "BODY noon": "1",
            "TEXT noon": "1",
            "BODY lunch": "",
            "TEXT lunch": "1",
            "BODY umgebrochen": "3",
            "BODY inner": "2",
            "OR BODY noon SUBJECT noon": "1",
            "DELETED": "",
            "RECENT": "",
        }
        for keys, numbers in expected.items():
            assert " ".join(await found(client, keys)) == numbers, keys
        await client.close()

    in_world(scenario)


def test_texts_are_found_in_any_script_and_charset(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN, NESTED, QUOTED)
        client = await signed_in(world, "INBOX")
        assert await found_by(client, Header("SUBJECT", "午餐")) == ["2"]
        assert await found_by(client, Text("午餐")) == ["2", "3"]
        assert await found_by(client, Body("照附")) == ["2"]
        assert await found_by(client, Header("SUBJECT", "GRÜSSE")) == ["3"]
        assert await found_by(client, Header("FROM", "zoë STRASSE")) == ["3"]
        assert await found_by(client, Body("SÄTZ WIRD")) == ["3"]
        assert await found_by(client, Not(Or(Text("午餐"), HasFlag("\\Seen")))) == ["1"]
        response = await refused(client, "SEARCH CHARSET KOI8-R TEXT x")
        assert (response.kind, response.code) == ("NO", "BADCHARSET (US-ASCII UTF-8)")
        assert await found(client, "CHARSET US-ASCII TEXT noon") == ["1"]
        await client.close()

    in_world(scenario)


def test_the_extended_answer_holds_what_was_asked_for(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *[PLAIN] * 6)
        client = await signed_in(world, "INBOX")
        await client.line("STORE 2 +FLAGS.SILENT (\\Deleted)")
        await client.line("EXPUNGE")
        answers = await client.line("UID SEARCH RETURN (MIN MAX COUNT ALL) ALL")
        (answer,) = of(answers, "ESEARCH")
        assert answer.values[1:] == ["UID", "MIN", "1", "MAX", "6", "COUNT", "5", "ALL", "1,3:6"]
        answers = await client.line("SEARCH RETURN () FLAGGED")
        assert len(of(answers, "ESEARCH")[0].values) == 1
        assert of(await client.line("SEARCH RETURN (SAVE) UID 3:4"), "ESEARCH") == []
        answers = await client.line("STORE $ +FLAGS (\\Flagged)")
        assert [answer.number for answer in of(answers, "FETCH")] == [2, 3]
        assert await found(client, "FLAGGED", uid=True) == ["3", "4"]
        assert await found(client, "$", uid=True) == ["3", "4"]
        await client.close()

    in_world(scenario)
