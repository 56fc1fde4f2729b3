"""REPLACE over a socket with real keepers (RFC 8508)."""

from collections.abc import Callable

import pytest
from tests.imap_client import Refused, fetched, of, refused, signed_in
from tests.imap_mail import NESTED, PLAIN
from tests.imap_world import Person, Scenario, World

from postkeep.protocols.imap.commands import Append, MessageUrl, NewMessage, Replace


def _draft(*parts: bytes | MessageUrl) -> NewMessage:
    return NewMessage(("\\Draft",), None, parts)


def test_a_draft_is_replaced_and_others_see_it_go_and_come(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        client = await signed_in(world, "Drafts")
        await client.run(Append("Drafts", (_draft(PLAIN), _draft(NESTED))))
        other = await signed_in(world, "Drafts")
        answers = await client.run(Replace(1, "Drafts", _draft(b"Subject: second\r\n\r\n", b"x")))
        assert answers[-1].kind == "OK"
        (placed,) = [answer for answer in of(answers, "OK") if answer.code.startswith("APPENDUID")]
        assert placed.tag == "*"
        assert placed.code.split()[2] == "3"
        assert [answer.number for answer in of(answers, "EXPUNGE")] == [1]
        assert of(answers, "EXISTS")[-1].number in {2, 3}
        items = fetched(await client.line("FETCH 1:* (UID BODY.PEEK[])"))
        assert [(items[n]["UID"], items[n]["BODY[]"]) for n in (1, 2)] == [
            ("2", NESTED),
            ("3", b"Subject: second\r\n\r\nx"),
        ]
        told = await other.line("NOOP")
        assert [answer.number for answer in of(told, "EXPUNGE")] == [1]
        # By UID, the last one, and made of what it replaces.
        again = _draft(MessageUrl(";UID=3/;SECTION=HEADER"), b"third")
        await client.run(Replace(3, "Drafts", again, uid=True))
        assert fetched(await client.line("FETCH * BODY.PEEK[]"))[2]["BODY[]"] == (
            b"Subject: second\r\n\r\nthird"
        )
        answers = await client.run(Replace(None, "Sent", _draft(PLAIN)))
        assert [answer.number for answer in of(answers, "EXPUNGE")] == [2]
        assert of(await client.line("STATUS Sent (MESSAGES)"), "STATUS")[0].items() == {"MESSAGES": "1"}
        # What is not there can't be replaced, and nothing comes in its place.
        for command, code in (
            (Replace(99, "Drafts", _draft(PLAIN), uid=True), ""),
            (Replace(1, "Nowhere", _draft(PLAIN)), "TRYCREATE"),
        ):
            with pytest.raises(Refused) as caught:
                await client.run(command)
            assert (caught.value.response.kind, caught.value.response.code) == ("NO", code)
        assert (await refused(client, "REPLACE 9 Drafts {1+}\r\nx")).kind == "BAD"
        await world.set_quota(alice, 1024)
        with pytest.raises(Refused) as caught:
            await client.run(Replace(1, "Drafts", _draft(b"x" * 2000)))
        assert caught.value.response.code == "OVERQUOTA"
        assert of(await client.line("STATUS Drafts (MESSAGES)"), "STATUS")[0].items() == {"MESSAGES": "1"}
        await client.line("EXAMINE Drafts")
        assert (await refused(client, "REPLACE 1 Drafts {1+}\r\nx")).code == "READ-ONLY"
        await client.close()
        await other.close()

    in_world(scenario)


def test_who_replaces_what_another_has_removed_is_told(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world, "Drafts")
        await client.run(Append("Drafts", (_draft(PLAIN),)))
        other = await signed_in(world, "Drafts")
        await other.run(Replace(1, "Drafts", _draft(NESTED)))
        with pytest.raises(Refused) as caught:
            await client.run(Replace(1, "Drafts", _draft(PLAIN), uid=True))
        assert caught.value.response.kind == "NO"
        assert of(await client.line("STATUS Drafts (MESSAGES)"), "STATUS")[0].items() == {"MESSAGES": "1"}
        await client.close()
        await other.close()

    in_world(scenario)
