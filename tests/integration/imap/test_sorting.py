"""SORT, THREAD, and what the extensions of SEARCH answer, over a socket.

RFC 4731, 5032, 5182, 5256, 5267, 5957, 7162, 8474, 8514, 9394, 9585, 9586.
"""

from collections.abc import Callable

import pytest
from tests.imap_client import ImapClient, of, refused, signed_in
from tests.imap_world import Person, Scenario, World

from postkeep.faces.imap import progress
from postkeep.protocols.imap.client import Response


def mail(number: int, subject: str, day: int, *, sender: str, refers: str = "", to: str = "alice") -> bytes:
    lines = [
        f"From: {sender}",
        f"To: {to}@example.com",
        f"Subject: {subject}",
        f"Date: {day} Nov 2026 10:00:00 +0000",
        f"Message-ID: <m{number}@example.net>",
        *([f"References: {refers}"] if refers else []),
    ]
    return "\r\n".join([*lines, "", f"Text of number {number}.", "x" * (50 * number), ""]).encode()


MAILS = [
    mail(1, "Plans", 5, sender="Zoe <carol@example.org>"),
    mail(2, "Re: Plans", 7, sender="Adam <dave@example.org>", refers="<m1@example.net>"),
    mail(3, "[team] lunch", 3, sender="bob@example.org", to="zed"),
    mail(4, "RE: plans", 6, sender="Bea <alice@example.org>", refers="<m1@example.net> <m2@example.net>"),
    mail(5, "Fwd: Lunch", 9, sender="=?utf-8?b?w4RtaWw=?= <x@example.org>"),
    mail(6, "answers", 1, sender="Carl <bob@example.org>", refers="<gone@example.net>"),
    mail(7, "other answers", 2, sender="Dora <bob@example.org>", refers="<gone@example.net>"),
]


async def line_of(client: ImapClient, text: str, kind: str) -> Response:
    (answer,) = of(await client.line(text), kind)
    return answer


async def numbers(client: ImapClient, text: str, kind: str) -> str:
    return " ".join(str(value) for value in (await line_of(client, text, kind)).values)


async def extended(client: ImapClient, text: str) -> str:
    """What stands behind the correlator of ESEARCH."""
    words = (await line_of(client, text, "ESEARCH")).values[1:]
    return " ".join(
        f"({' '.join(map(str, word))})" if isinstance(word, list) else str(word) for word in words
    )


def test_messages_come_in_the_order_of_the_keys(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *MAILS)
        client = await signed_in(world, "INBOX")
        expected = {
            "(DATE) UTF-8 ALL": "6 7 3 1 4 2 5",
            "(REVERSE DATE) UTF-8 ALL": "5 2 4 1 3 7 6",
            "(SUBJECT) UTF-8 ALL": "6 3 5 7 1 2 4",
            "(SUBJECT REVERSE DATE) UTF-8 ALL": "6 5 3 7 2 4 1",
            "(FROM) UTF-8 ALL": "4 3 6 7 1 2 5",
            "(FROM REVERSE SIZE) UTF-8 ALL": "4 7 6 3 1 2 5",
            "(REVERSE SIZE) UTF-8 ALL": "7 6 5 4 3 2 1",
            "(ARRIVAL) US-ASCII 2:4": "2 3 4",
            "(TO DATE) UTF-8 ALL": "6 7 1 4 2 5 3",
            "(CC) UTF-8 SUBJECT plans": "1 2 4",
            "(DISPLAYFROM) UTF-8 ALL": "2 5 4 3 6 7 1",  # an A with marks is an A and a mark, behind Adam
            "(DISPLAYTO) UTF-8 FROM bob": "6 7 3",
            "(DATE) UTF-8 TEXT nowhere": "",
        }
        for text, order in expected.items():
            assert await numbers(client, f"SORT {text}", "SORT") == order, text
        await client.line("STORE 1 +FLAGS.SILENT (\\Deleted)")
        await client.line("EXPUNGE")
        assert await numbers(client, "SORT (DATE) UTF-8 ALL", "SORT") == "5 6 2 3 1 4"
        assert await numbers(client, "UID SORT (DATE) UTF-8 ALL", "SORT") == "6 7 3 4 2 5"
        response = await refused(client, "SORT (DATE) KOI8-R ALL")
        assert (response.kind, response.code) == ("NO", "BADCHARSET (US-ASCII UTF-8)")
        assert (await refused(client, "SORT (SENDER) UTF-8 ALL")).kind == "BAD"
        assert (await refused(client, "SORT (DATE) UTF-8 99")).kind == "BAD"
        await client.close()

    in_world(scenario)


def test_a_sort_answers_as_esearch_when_it_is_asked_to(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *MAILS)
        client = await signed_in(world, "INBOX")
        expected = {
            "SORT RETURN () (DATE) UTF-8 ALL": "ALL 6:7,3,1,4,2,5",
            "SORT RETURN (MIN MAX COUNT) (DATE) UTF-8 ALL": "MIN 6 MAX 5 COUNT 7",
            "SORT RETURN (COUNT) (DATE) UTF-8 DELETED": "COUNT 0",
            "SORT RETURN (ALL) (DATE) UTF-8 DELETED": "",
            "UID SORT RETURN (PARTIAL 1:3) (DATE) UTF-8 ALL": "UID PARTIAL (1:3 6:7,3)",
            "SORT RETURN (PARTIAL -1:-2) (DATE) UTF-8 ALL": "PARTIAL (-1:-2 2,5)",
            "SORT RETURN (PARTIAL 8:9 COUNT) (DATE) UTF-8 ALL": "COUNT 7 PARTIAL (8:9 None)",
        }
        for text, answer in expected.items():
            assert await extended(client, text) == answer, text
        for options, saved in {
            "SAVE": "1 2 3 4 5 6 7",
            "SAVE MIN": "6",
            "SAVE MAX PARTIAL 1:2": "5 6 7",
            "SAVE COUNT MIN": "1 2 3 4 5 6 7",
        }.items():
            await client.line(f"SORT RETURN ({options}) (DATE) UTF-8 ALL")
            assert await numbers(client, "SEARCH $", "SEARCH") == saved, options
        await client.close()

    in_world(scenario)


def test_conversations_are_threaded(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *MAILS)
        client = await signed_in(world, "INBOX")
        sent: list[str] = []
        for text in (
            "THREAD REFERENCES UTF-8 ALL",
            "THREAD ORDEREDSUBJECT UTF-8 ALL",
            "UID THREAD REFERENCES UTF-8 UID 2:7",
            "THREAD REFERENCES UTF-8 DELETED",
        ):
            answer = await line_of(client, text, "THREAD")
            sent.append(str(answer.values).replace("'", "").replace(",", ""))
        assert sent == [
            "[[[6] [7]] [3 5] [1 2 4]]",
            "[[6] [7] [3 5] [1 [4] [2]]]",
            "[[[6] [7]] [3 5] [2 4]]",
            "[]",
        ]
        assert (await refused(client, "THREAD REFS UTF-8 ALL")).kind == "BAD"
        await client.close()

    in_world(scenario)


def test_a_search_returns_windows_and_ends(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *MAILS)
        client = await signed_in(world, "INBOX")
        await client.line("STORE 1 +FLAGS.SILENT (\\Deleted)")
        await client.line("EXPUNGE")
        expected = {
            "SEARCH RETURN (PARTIAL 1:2) ALL": "PARTIAL (1:2 1:2)",
            "UID SEARCH RETURN (PARTIAL -1:-2) TEXT number": "UID PARTIAL (-1:-2 6:7)",
            "UID SEARCH RETURN (PARTIAL 2:3 MIN MAX) NOT 2": "UID MIN 2 MAX 7 PARTIAL (2:3 4:5)",
            "SEARCH RETURN (PARTIAL 7:9) ALL": "PARTIAL (7:9 None)",
            "SEARCH RETURN (MIN) SUBJECT lunch": "MIN 2",
            "UID SEARCH RETURN (MAX) SUBJECT lunch": "UID MAX 5",
            "SEARCH RETURN (MIN MAX) SUBJECT nothing": "",
        }
        for text, answer in expected.items():
            assert await extended(client, text) == answer, text
        for options, saved in {
            "SAVE": "2 3 4 5 6 7",
            "SAVE MIN": "2",
            "SAVE MIN MAX": "2 7",
            "SAVE MAX COUNT": "2 3 4 5 6 7",
            "SAVE PARTIAL 2:3": "3 4",
            "SAVE PARTIAL -1:-2 MIN": "2 6 7",
            "SAVE PARTIAL 2:3 COUNT": "2 3 4 5 6 7",
        }.items():
            await client.line(f"SEARCH RETURN ({options}) ALL")
            assert await numbers(client, "UID SEARCH $", "SEARCH") == saved, options
        await client.line("SEARCH RETURN (SAVE) UID 3,5")
        await client.line("SEARCH RETURN (SAVE) $ SMALLER 400")  # names what it replaces
        assert await numbers(client, "UID SEARCH $", "SEARCH") == "3"
        await refused(client, "SEARCH RETURN (SAVE) 99")
        assert await numbers(client, "UID SEARCH $", "SEARCH") == "3"  # BAD leaves it as it was
        await client.close()

    in_world(scenario)


def test_changes_ages_and_identifiers_are_searched(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *MAILS)
        client = await signed_in(world, "INBOX")
        await client.line("SELECT INBOX (CONDSTORE)")
        (changed,) = of(await client.line("STORE 3 +FLAGS (\\Flagged)"), "FETCH")
        modseq = dict(changed.items())["MODSEQ"]
        assert isinstance(modseq, list)
        last = str(modseq[0])
        answer = await line_of(client, f"SEARCH MODSEQ {last}", "SEARCH")
        assert answer.values == ["3", ["MODSEQ", last]]
        answer = await line_of(client, f"SORT (DATE) UTF-8 MODSEQ {last}", "SORT")
        assert answer.values == ["3", ["MODSEQ", last]]
        assert await extended(client, "SEARCH RETURN (MAX) MODSEQ 1") != f"MAX 7 MODSEQ {last}"
        assert await extended(client, "SEARCH RETURN (COUNT) MODSEQ 1") == f"COUNT 7 MODSEQ {last}"
        assert await extended(client, f"SEARCH RETURN (COUNT) MODSEQ {int(last) + 1}") == "COUNT 0"
        expected = {
            "YOUNGER 3600": "1 2 3 4 5 6 7",
            "OLDER 3600": "",
            "SAVEDSINCE 1-Jan-2020": "1 2 3 4 5 6 7",
            "SAVEDBEFORE 1-Jan-2020": "",
            "SAVEDATESUPPORTED": "1 2 3 4 5 6 7",
            "EMAILID M0123": "",
            "THREADID T0123": "",
            "1:99999 UNSEEN": None,
        }
        for keys, found in expected.items():
            if found is None:
                assert (await refused(client, f"SEARCH {keys}")).kind == "BAD"
            else:
                assert await numbers(client, f"SEARCH {keys}", "SEARCH") == found, keys
        await client.line("CREATE Empty")
        await client.line("SELECT Empty")
        for keys in ("ALL", "1:* DELETED", "UID 1:*", "TEXT x"):
            assert await numbers(client, f"SEARCH {keys}", "SEARCH") == "", keys
        await client.close()

    in_world(scenario)


def test_after_uidonly_messages_are_searched_by_uids_alone(in_world: Callable[[Scenario], None]) -> None:
    """RFC 9586; and the identifiers that FETCH gives are those that SEARCH finds (RFC 8474)."""

    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *MAILS)
        client = await signed_in(world, "INBOX")
        for item, expected in {"EMAILID": "4", "THREADID": "1 2 4"}.items():
            (fetched,) = of(await client.line(f"FETCH 4 ({item})"), "FETCH")
            identifier = fetched.items()[item]
            assert isinstance(identifier, list)
            wanted = str(identifier[0])
            assert await numbers(client, f"SEARCH {item} {wanted}", "SEARCH") == expected
        await client.line("UNSELECT")
        await client.line("ENABLE UIDONLY")
        await client.line("SELECT INBOX")
        for text in (
            "SEARCH ALL",
            "UID SEARCH 1:2",
            "UID SEARCH OR SEEN NOT 2",
            "SORT (DATE) UTF-8 ALL",
            "THREAD REFERENCES UTF-8 UID 1",
        ):
            response = await refused(client, text)
            assert (response.kind, response.code) == ("BAD", "UIDREQUIRED"), text
        assert await numbers(client, "UID SEARCH UID 2:3", "SEARCH") == "2 3"
        await client.line("UID SEARCH RETURN (SAVE) UID 2")
        assert await numbers(client, "UID SORT (DATE) UTF-8 $", "SORT") == "2"
        await client.close()

    in_world(scenario)


def test_messages_expunged_by_another_meanwhile_are_left_out(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *MAILS)
        client, other = await signed_in(world, "INBOX"), await signed_in(world, "INBOX")
        await other.line("STORE 1,4 +FLAGS.SILENT (\\Deleted)")
        await other.line("EXPUNGE")
        assert await numbers(client, "SEARCH SUBJECT plans", "SEARCH") in {"2", "1 2 4"}
        assert await numbers(client, "SEARCH NOT SUBJECT lunch", "SEARCH") in {"2 6 7", "1 2 4 6 7"}
        assert "2" in await numbers(client, "SORT (SUBJECT) UTF-8 HEADER Message-ID m", "SORT")
        assert of(await client.line("THREAD REFERENCES UTF-8 TEXT number"), "THREAD") != []
        await client.line("NOOP")
        assert await numbers(client, "SEARCH SUBJECT plans", "SEARCH") == "1"
        await client.close()
        await other.close()

    in_world(scenario)


def test_a_long_command_says_how_far_it_is(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9585; an interval of nothing makes any command a long one."""
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.0)

    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *MAILS)
        client = await signed_in(world, "INBOX")
        told = [answer.code for answer in of(await client.line("SEARCH TEXT number"), "OK")]
        assert [code for code in told if code.startswith("INPROGRESS")] == ['INPROGRESS ("t3" 7 7)']
        client.send(b"a]b SEARCH SUBJECT x\r\n")
        told = [answer.code for answer in await client.until(b"a]b", [])]
        assert "INPROGRESS (NIL 7 7)" in told
        await client.close()

    in_world(scenario)
