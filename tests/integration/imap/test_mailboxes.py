"""The tree of mailboxes over IMAP: names sealed in the vault, and in the clear only here."""

import asyncio
import imaplib
from collections.abc import Callable

import asyncpg
from tests.imap_client import ImapClient, fetched, of, refused, signed_in
from tests.imap_mail import PLAIN
from tests.imap_world import ALICE, PASSWORD, Person, Scenario, World

from postkeep.protocols.imap.client import Response
from postkeep.protocols.imap.commands import (
    Append,
    Create,
    Delete,
    ListMailboxes,
    NewMessage,
    Rename,
    Status,
    StatusItem,
)


def names(responses: list[Response], kind: str = "LIST") -> dict[str, set[str]]:
    found = {}
    for response in of(responses, kind):
        attributes, _, name, *_ = response.values
        assert isinstance(attributes, list)
        assert isinstance(name, bytes)
        found[name.decode()] = {str(attribute) for attribute in attributes}
    return found


ROLES = {"INBOX", "Sent", "Drafts", "Trash", "Junk", "Archive"}


def test_mailboxes_are_made_renamed_and_deleted_under_any_name(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world)
        listed = names(await client.line('LIST "" "*"'))
        assert set(listed) == ROLES
        assert listed["Sent"] == {"\\HasNoChildren", "\\Sent"}
        await client.run(Create("项目/计划 & Ä/2026"))
        listed = names(await client.line('LIST "" "*"'))
        assert set(listed) - ROLES == {
            "&mHl27g-",
            "&mHl27g-/&i6FSEg- &- &AMQ-",
            "&mHl27g-/&i6FSEg- &- &AMQ-/2026",
        }
        assert listed["&mHl27g-"] == {"\\HasChildren"}
        assert set(names(await client.line('LIST "" "&mHl27g-/%"'))) == {"&mHl27g-/&i6FSEg- &- &AMQ-"}
        assert (await refused(client, "CREATE &mHl27g-")).code == "ALREADYEXISTS"
        await client.run(Append("项目", (NewMessage((), None, (PLAIN,)),)))
        await client.run(Rename("项目", "Projects/CN"))
        listed = names(await client.line('LIST "" "*"'))
        assert set(listed) - ROLES == {
            "Projects",
            "Projects/CN",
            "Projects/CN/&i6FSEg- &- &AMQ-",
            "Projects/CN/&i6FSEg- &- &AMQ-/2026",
        }
        await client.line("SELECT Projects/CN")
        assert fetched(await client.line("FETCH 1 UID")) == {1: {"UID": "1"}}
        assert (await refused(client, "RENAME Projects Projects/CN/x")).code == "CANNOT"
        await client.line("DELETE Projects/CN")
        assert (await refused(client, "FETCH 1 UID")).kind == "BAD"
        listed = names(await client.line('LIST "" "Projects/%"'))
        assert listed["Projects/CN"] == {"\\NonExistent", "\\Noselect", "\\HasChildren"}
        await client.run(Delete("Projects/CN/计划 & Ä"))
        await client.run(Delete("Projects/CN/计划 & Ä/2026"))
        assert set(names(await client.line('LIST "" "Projects/*"'))) == set()
        for name, code in (("INBOX", "CANNOT"), ("Nowhere", "NONEXISTENT")):
            assert (await refused(client, f"DELETE {name}")).code == code
        for name in ("a//b", "a/%/b", '""'):
            assert (await refused(client, f"CREATE {name}")).kind in {"NO", "BAD"}
        await client.close()
        again = await signed_in(world)
        assert set(names(await again.line('LIST "" "*"'))) - ROLES == {"Projects"}
        await again.close()

    in_world(scenario)


def test_the_vault_knows_no_name_of_a_mailbox(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world)
        await client.run(Create("Zephyranthes"))
        connection = await asyncpg.connect(world.vault_dsn)
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
        )
        assert tables
        for table in tables:
            rows = await connection.fetch(f"SELECT t::text AS line FROM {table['name']} t")
            assert not any("ephyranthes" in row["line"].lower() for row in rows)
            assert not any(b"ephyranthes".hex() in row["line"] for row in rows)
        await connection.close()
        await client.close()

    in_world(scenario)


def test_renaming_inbox_gives_its_messages_away(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN, PLAIN)
        client = await signed_in(world)
        await client.line("CREATE inbox/sub")
        await client.line("RENAME InBoX Old")
        listed = names(await client.line('LIST "" *'))
        assert {"INBOX", "INBOX/sub", "Old"} <= set(listed)
        for name, count in (("INBOX", "0"), ("Old", "2")):
            status = of(await client.line(f"STATUS {name} (MESSAGES)"), "STATUS")[0].items()
            assert status == {"MESSAGES": count}
        assert set(names(await client.line('LIST "" "inb*"'))) == {"INBOX", "INBOX/sub"}
        assert set(names(await client.line("LIST inbox/ %"))) == {"INBOX/sub"}
        await client.close()

    in_world(scenario)


def test_subscriptions_and_the_extended_list(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN)
        client = await signed_in(world)
        await client.line("CREATE a/b/c")
        await client.line("SUBSCRIBE a/b/c")
        before = names(await client.line('LSUB "" "*"'), "LSUB")
        assert set(before) == ROLES | {"a/b/c"}
        assert names(await client.line('LSUB "" "a/%"'), "LSUB") == {"a/b": {"\\Noselect"}}
        answers = await client.line('LIST (SUBSCRIBED RECURSIVEMATCH) "" "a"')
        assert of(answers, "LIST")[0].values[3] == [b"CHILDINFO", [b"SUBSCRIBED"]]
        listed = names(await client.line('LIST "" ("a/*" INBOX) RETURN (SUBSCRIBED CHILDREN)'))
        assert listed["a/b/c"] == {"\\Subscribed", "\\HasNoChildren"}
        assert set(listed) == {"INBOX", "a/b", "a/b/c"}
        special = names(await client.line('LIST (SPECIAL-USE) "" "*"'))
        assert set(special) == ROLES - {"INBOX"}
        await client.line("UNSUBSCRIBE a/b/c")
        assert "a/b/c" not in names(await client.line('LSUB "" "*"'), "LSUB")
        answers = await client.run(
            ListMailboxes(
                "", ("INBOX", "Sent"), status=(StatusItem.MESSAGES, StatusItem.SIZE), extended=True
            ),
        )
        statuses = {str(answer.values[0]): answer.items() for answer in of(answers, "STATUS")}
        assert statuses[str(b"INBOX")] == {"MESSAGES": "1", "SIZE": str(len(PLAIN))}
        assert statuses[str(b"Sent")] == {"MESSAGES": "0", "SIZE": "0"}
        assert (await client.line('LIST "" ""'))[0].values == [["\\Noselect"], b"/", b""]
        spaces = of(await client.line("NAMESPACE"), "NAMESPACE")[0].values
        assert spaces == [[[b"", b"/"]], [[b"Other Users/", b"/"]], [[b"Shared/", b"/"]]]
        await client.close()

    in_world(scenario)


def test_a_subscription_outlives_its_mailbox(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client, other = await signed_in(world), await signed_in(world)
        for line in ("SUBSCRIBE not/there", "CREATE box", "SUBSCRIBE box", "CREATE old", "SUBSCRIBE old"):
            await client.line(line)
        await client.line("DELETE box")
        await client.line("RENAME old new")
        expected = ROLES | {"not/there", "box", "old", "new"}
        assert set(names(await other.line('LSUB "" *'), "LSUB")) == expected
        listed = names(await other.line('LIST (SUBSCRIBED) "" *'))
        assert set(listed) == expected
        assert listed["box"] == {"\\Subscribed", "\\NonExistent", "\\Noselect"}
        await other.line("CREATE not/there")
        assert names(await client.line('LIST (SUBSCRIBED) "" not/*'))["not/there"] == {
            "\\Subscribed",
            "\\HasNoChildren",
        }
        for name in ("not/there", "box", "old", "new", "never"):
            await client.line(f"UNSUBSCRIBE {name}")
        assert set(names(await other.line('LSUB "" *'), "LSUB")) == ROLES
        for each in (client, other):
            await each.close()

    in_world(scenario)


def test_a_mailbox_keeps_its_identifier_through_all_its_names(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN)
        client = await signed_in(world)
        made = (await client.line("CREATE box"))[-1].code
        await client.line("RENAME box crate")
        listed = await client.line('LIST "" crate RETURN (STATUS (MAILBOXID))')
        told = of(listed, "STATUS")[0].items()["MAILBOXID"]
        assert isinstance(told, list)
        assert made == f"MAILBOXID ({told[0]!s})"
        assert len({made, (await client.line("CREATE box"))[-1].code}) == 2
        await client.line("RENAME INBOX crate/old")
        status = of(await client.line("STATUS crate/old (MESSAGES MAILBOXID)"), "STATUS")[0].items()
        assert status["MESSAGES"] == "1"
        await client.close()

    in_world(scenario)


def test_names_are_composed_and_a_role_goes_to_its_usual_name(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        client = await signed_in(world)
        await client.line("ENABLE IMAP4rev2")
        answers = await client.line('CREATE "Entwu\u0308rfe"')
        assert of(answers, "LIST")[0].values[2:] == [
            "Entwürfe".encode(),
            [b"OLDNAME", ["Entwu\u0308rfe".encode()]],
        ]
        assert (await refused(client, 'CREATE "Entwürfe"')).code == "ALREADYEXISTS"
        await client.line("DELETE Sent")
        await client.line("CREATE Sent")
        await world.deliver(alice, PLAIN, role="sent")
        assert of(await client.line("STATUS Sent (MESSAGES)"), "STATUS")[0].items() == {"MESSAGES": "1"}
        deep = "/".join("a" * 33)
        assert (await refused(client, f"CREATE {deep}")).code == "CANNOT"
        await client.line(f"CREATE {deep[2:]}")
        assert (await refused(client, f"RENAME {deep[4:]} b/{deep[4:]}")).code == "CANNOT"
        await client.close()

    in_world(scenario)


def test_two_clients_may_change_the_list_at_once(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        clients = [await signed_in(world) for _ in range(4)]

        async def make(client: ImapClient, number: int) -> None:
            for count in range(3):
                await client.line(f"CREATE c{number}-{count}")

        await asyncio.gather(*(make(client, number) for number, client in enumerate(clients)))
        listed = names(await clients[0].line('LIST "" "c*"'))
        assert len(listed) == 12
        for client in clients:
            await client.close()

    in_world(scenario)


def test_quota_status_and_uidvalidity(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN * 50)
        client = await signed_in(world)
        answers = await client.line("GETQUOTAROOT INBOX")
        assert of(answers, "QUOTAROOT")[0].values == [b"INBOX", b""]
        assert of(answers, "QUOTA")[0].values == [b"", []]
        await world.set_quota(alice, 1024 * 100)
        answers = await client.line('GETQUOTA ""')
        assert of(answers, "QUOTA")[0].values == [b"", ["STORAGE", str(-(-len(PLAIN) * 50 // 1024)), "100"]]
        assert (await refused(client, 'SETQUOTA "" (STORAGE 1)')).code == "NOPERM"
        assert (await refused(client, "SETQUOTA other (STORAGE 1)")).code == "NONEXISTENT"
        await client.line("SELECT INBOX")
        await client.line("STORE 1 +FLAGS.SILENT (\\Deleted)")
        storage = await client.line("STATUS INBOX (DELETED DELETED-STORAGE)")
        assert of(storage, "STATUS")[0].items() == {"DELETED": "1", "DELETED-STORAGE": str(len(PLAIN * 50))}
        large = b"Subject: big\r\n\r\n" + b"x" * 200_000
        tag = b"q1"
        client.send(tag + b" APPEND Sent {%d+}\r\n%b\r\n" % (len(large), large))
        response = await client.next()
        assert (response.kind, response.code) == ("NO", "OVERQUOTA")
        first = of(await client.run(Status("INBOX", (StatusItem.UIDVALIDITY,))), "STATUS")[0].items()
        again = of(await client.line("STATUS inbox (UIDVALIDITY)"), "STATUS")[0].items()
        assert first == again
        await client.close()

    in_world(scenario)


def test_imaplib_goes_through_all_of_its_commands(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN)
        await asyncio.to_thread(_drive_imaplib, world)

    in_world(scenario)


def _drive_imaplib(world: World) -> None:
    with imaplib.IMAP4("127.0.0.1", world.port) as client:
        assert "LOGINDISABLED" in client.capabilities
        client.starttls(world.client_tls)
        assert "LOGINDISABLED" not in client.capabilities
        assert client.login(ALICE, PASSWORD)[0] == "OK"
        assert client.select("INBOX") == ("OK", [b"1"])
        assert client.append("Drafts", "(\\Draft)", imaplib.Time2Internaldate(1e9), PLAIN)[0] == "OK"
        assert client.search(None, "SUBJECT", "lunch") == ("OK", [b"1"])
        kind, data = client.fetch("1", "(RFC822)")
        assert kind == "OK"
        assert isinstance(data[0], tuple)
        assert data[0][1] == PLAIN
        assert client.store("1", "+FLAGS", "(\\Deleted)")[0] == "OK"
        assert client.copy("1", "Archive")[0] == "OK"
        assert client.expunge() == ("OK", [b"1"])
        assert client.create("x")[0] == "OK"
        assert client.rename("x", "y")[0] == "OK"
        assert client.subscribe("y")[0] == "OK"
        assert client.lsub('""', "y")[0] == "OK"
        assert client.unsubscribe("y")[0] == "OK"
        assert client.status("Archive", "(MESSAGES UIDNEXT)")[1] == [b'"Archive" (MESSAGES 1 UIDNEXT 2)']
        assert client.namespace()[0] == "OK"
        assert client.getquotaroot("INBOX")[0] == "OK"
        assert client.noop()[0] == "OK"
        assert client.check()[0] == "OK"
        assert client.uid("SEARCH", "ALL")[0] == "OK"
        assert client.close()[0] == "OK"
        assert client.delete("y")[0] == "OK"
