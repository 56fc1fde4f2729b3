"""Mailboxes shared over IMAP (RFC 4314, 2342): what is given, what readers see, and how it ends (IM-6)."""

from collections.abc import Callable

from tests.imap_client import ImapClient, of, refused, signed_in
from tests.imap_mail import PLAIN
from tests.imap_world import PASSWORD, Person, Scenario, World

from postkeep.protocols.imap.client import Response

BOB = "bob@example.com"
ANNAS = "Other Users/alice@example.com"
ALL = "lrswipkxteacd"


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
