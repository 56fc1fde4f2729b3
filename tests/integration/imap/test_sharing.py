"""Mailboxes shared over IMAP (RFC 4314, 2342): what is given, what readers see, and how it ends (IM-6)."""

from collections.abc import Callable

import pytest
from tests.imap_client import ImapClient, Refused, fetched, of, refused, signed_in
from tests.imap_mail import PLAIN
from tests.imap_world import PASSWORD, Person, Scenario, World

from postkeep.protocols.imap.client import Response
from postkeep.protocols.imap.commands import Append, NewMessage

BOB = "bob@example.com"
ANNAS = "Other Users/alice@example.com"
ALL = "lrswipkxteacd"
INBOX = f'"{ANNAS}/INBOX"'


def words(responses: list[Response], kind: str) -> list[list[str]]:
    return [
        [value.decode() if isinstance(value, bytes) else str(value) for value in response.values]
        for response in of(responses, kind)
    ]


def names(responses: list[Response]) -> set[str]:
    return {row[2] for row in words(responses, "LIST")}


async def as_bob(world: World) -> ImapClient:
    await world.person(BOB)
    client = await ImapClient.connect(world.tls_port, world.client_tls)
    await client.line(f'LOGIN {BOB} "{PASSWORD}"')
    return client


def test_rights_are_given_shown_changed_and_taken(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN, PLAIN)
        owner, reader = await signed_in(world), await as_bob(world)
        assert words(await owner.line("MYRIGHTS INBOX"), "MYRIGHTS") == [["INBOX", ALL]]
        assert words(await owner.line("GETACL INBOX"), "ACL") == [["INBOX", alice.address, ALL]]
        assert not any(name.startswith("Other") for name in names(await reader.line('LIST "" "*"')))

        await owner.line(f"SETACL INBOX {BOB} lr")
        await owner.line(f"SETACL INBOX {BOB} +sw")
        await owner.line(f"SETACL INBOX {BOB} -w")
        assert words(await owner.line("GETACL INBOX"), "ACL") == [["INBOX", alice.address, ALL, BOB, "lrs"]]
        assert words(await owner.line(f"LISTRIGHTS INBOX {BOB}"), "LISTRIGHTS") == [["INBOX", BOB, "", *ALL]]
        listed = await reader.line('LIST "" "*" RETURN (MYRIGHTS)')
        assert {ANNAS, f"{ANNAS}/INBOX"} <= names(listed)
        assert [f"{ANNAS}/INBOX", "lrs"] in words(listed, "MYRIGHTS")
        assert words(await reader.line(f'MYRIGHTS "{ANNAS}/INBOX"'), "MYRIGHTS") == [
            [f"{ANNAS}/INBOX", "lrs"]
        ]
        status = words(await reader.line(f'STATUS "{ANNAS}/INBOX" (MESSAGES)'), "STATUS")
        assert status[0][1] == "['MESSAGES', '2']" or "2" in status[0][1]
        assert (await refused(reader, f'GETACL "{ANNAS}/INBOX"')).code == "NOPERM"
        assert (await refused(reader, f'SETACL "{ANNAS}/INBOX" {BOB} a')).code == "NOPERM"
        assert (await refused(reader, 'MYRIGHTS "Other Users/nobody@example.com/INBOX"')).code == (
            "NONEXISTENT"
        )

        await owner.line(f"DELETEACL INBOX {BOB}")
        assert not any(name.startswith("Other") for name in names(await reader.line('LIST "" "*"')))

        await owner.close()
        await reader.close()

    in_world(scenario)


def test_what_makes_no_sense_is_refused(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        owner = await signed_in(world)
        for identifier in ("anyone", "nobody@example.com", "-bob@example.com", "x@elsewhere.example"):
            assert (await refused(owner, f"SETACL INBOX {identifier} lr")).code == "CANNOT"
        assert (await refused(owner, f"SETACL INBOX {alice.address} lr")).code == "CANNOT"
        await world.person(BOB)
        assert (await refused(owner, f"SETACL INBOX {BOB} lq")).kind == "BAD"
        assert (await refused(owner, f"SETACL Nowhere {BOB} lr")).code == "NONEXISTENT"
        for name in ("Other Users", "Other Users/x", "Shared/x@example.com/y"):
            assert (await refused(owner, f'CREATE "{name}"')).code == "CANNOT"
            assert (await refused(owner, f'RENAME Archive "{name}"')).code == "CANNOT"
        namespaces = of(await owner.line("NAMESPACE"), "NAMESPACE")[0].values
        assert namespaces == [[[b"", b"/"]], [[b"Other Users/", b"/"]], [[b"Shared/", b"/"]]]
        await owner.close()

    in_world(scenario)


def test_a_mailbox_is_made_and_removed_below_anothers_with_the_rights_for_it(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        owner, reader = await signed_in(world), await as_bob(world)
        await owner.line("CREATE Plans")
        await owner.line(f"SETACL Plans {BOB} lrix")
        assert f"{ANNAS}/Plans" in names(await reader.line('LIST "" "*"'))
        assert (await refused(reader, f'CREATE "{ANNAS}/Plans/2027"')).code == "NOPERM"
        assert (await refused(reader, f'RENAME "{ANNAS}/Plans" Mine')).code == "CANNOT"
        await reader.line(f'DELETE "{ANNAS}/Plans"')
        assert "Plans" not in names(await owner.line('LIST "" "*"'))

        await owner.close()
        await reader.close()

    in_world(scenario)


def test_subscribing_to_anothers_mailbox_is_the_readers_own_matter(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        owner, reader = await signed_in(world), await as_bob(world)
        await owner.line("CREATE Plans")
        await owner.line(f"SETACL Plans {BOB} lr")
        await reader.line(f'SUBSCRIBE "{ANNAS}/Plans"')
        listed = await reader.line('LIST (SUBSCRIBED) "" "*"')
        assert f"{ANNAS}/Plans" in names(listed)
        assert "Plans" not in names(await owner.line('LIST (SUBSCRIBED) "" "*"'))

        await owner.close()
        await reader.close()

    in_world(scenario)


def test_a_reader_reads_marks_and_puts_in_what_the_rights_allow(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN, PLAIN)
        owner, reader = await signed_in(world, "INBOX"), await as_bob(world)
        await owner.line(f"SETACL INBOX {BOB} lr")
        assert (await reader.line(f"SELECT {INBOX}"))[-1].code == "READ-ONLY"
        body = fetched(await reader.line("FETCH 1 (BODY.PEEK[] ENVELOPE)"))[1]
        assert body["BODY[]"] == PLAIN
        assert (await refused(reader, "STORE 1 +FLAGS (\\Flagged)")).kind == "NO"

        await owner.line(f"SETACL INBOX {BOB} lrsi")
        assert (await reader.line(f"SELECT {INBOX}"))[-1].code == "READ-WRITE"
        await reader.line("STORE 1 +FLAGS (\\Seen)")
        assert (await refused(reader, "STORE 1 +FLAGS (\\Flagged)")).code == "NOPERM"
        assert (await refused(reader, "STORE 1 +FLAGS (\\Deleted)")).code == "NOPERM"
        appended = Append(f"{ANNAS}/INBOX", (NewMessage(("\\Seen", "\\Flagged"), None, (PLAIN,)),))
        await reader.run(appended)
        await owner.line("NOOP")
        flags = fetched(await owner.line("FETCH 1:3 (FLAGS BODY.PEEK[])"))
        assert "\\Seen" in str(flags[1]["FLAGS"])  # the flags are the mailbox's: everybody sees them
        assert "\\Seen" in str(flags[3]["FLAGS"])
        assert "\\Flagged" not in str(flags[3]["FLAGS"])  # left out silently (RFC 4314 section 4)
        assert flags[3]["BODY[]"] == PLAIN

        await owner.line(f"SETACL INBOX {BOB} lrste")
        await reader.line(f"SELECT {INBOX}")
        await reader.line("STORE 1 +FLAGS (\\Deleted)")
        await reader.line("EXPUNGE")
        await owner.line("NOOP")
        assert len(fetched(await owner.line("FETCH 1:* (UID)"))) == 2
        await owner.close()
        await reader.close()

    in_world(scenario)


def test_a_session_that_idles_on_it_is_told_of_mail_and_cut_when_it_is_taken_back(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN)
        owner, reader = await signed_in(world), await as_bob(world)
        await owner.line(f"SETACL INBOX {BOB} lr")
        await reader.line(f"SELECT {INBOX}")
        reader.send(b"i IDLE\r\n")
        assert (await reader.next()).tag == "+"
        await world.deliver(alice, PLAIN)
        heard = await reader.next()
        while heard.kind != "EXISTS":
            heard = await reader.next()
        assert heard.number == 2
        await owner.line(f"DELETEACL INBOX {BOB}")
        said = [await reader.next(wait_seconds=5)]
        while said[-1].kind != "BYE":
            said.append(await reader.next(wait_seconds=5))
        assert not any(response.kind in {"EXISTS", "FETCH"} for response in said)
        await owner.close()
        await reader.close()

    in_world(scenario)


def test_taken_back_means_no_answer_to_the_next_command_either(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN)
        owner, reader = await signed_in(world), await as_bob(world)
        await owner.line(f"SETACL INBOX {BOB} lr")
        await reader.line(f"SELECT {INBOX}")
        await reader.line("FETCH 1 (BODY.PEEK[])")
        await owner.line(f'SETACL INBOX {BOB} ""')
        with pytest.raises((Refused, ConnectionError)):
            await reader.line("FETCH 1 (BODY.PEEK[])")
        await owner.close()
        await reader.close()

    in_world(scenario)


def test_messages_are_copied_and_moved_between_owners(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        other = PLAIN.replace(b"Subject:", b"X-Other: yes\r\nSubject:")
        await world.deliver(alice, PLAIN, other)
        owner, reader = await signed_in(world, "INBOX"), await as_bob(world)
        await owner.line("STORE 1 +FLAGS (\\Seen \\Flagged Later)")
        await owner.line(f"SETACL INBOX {BOB} lrste")
        await reader.line(f"SELECT {INBOX}")
        code = (await reader.line("COPY 1 Archive"))[-1].code
        assert code.startswith("COPYUID ")
        moved = await reader.line("MOVE 2 Archive")
        assert "COPYUID" in str([response.code for response in moved])
        await reader.line("SELECT Archive")
        found = fetched(await reader.line("FETCH 1:* (FLAGS BODY.PEEK[] ENVELOPE)"))
        assert [found[1]["BODY[]"], found[2]["BODY[]"]] == [PLAIN, other]
        assert all(flag in str(found[1]["FLAGS"]) for flag in ("Seen", "Flagged", "Later"))
        await owner.line("NOOP")
        assert len(fetched(await owner.line("FETCH 1:* (UID)"))) == 1

        await owner.line(f"SETACL INBOX {BOB} lri")  # back, without the right to set any flag
        await reader.line(f"COPY 1 {INBOX}")
        await owner.line("NOOP")
        back = fetched(await owner.line("FETCH 2 (FLAGS BODY.PEEK[])"))[2]
        assert back["BODY[]"] == PLAIN
        assert "Seen" not in str(back["FLAGS"])
        assert "Later" not in str(back["FLAGS"])
        await owner.line(f"SETACL INBOX {BOB} lr")
        assert (await refused(reader, f"COPY 1 {INBOX}")).code == "NOPERM"
        await owner.close()
        await reader.close()

    in_world(scenario)
