"""Annotations of mailboxes and of the account over IMAP (RFC 5464, 6154, 9590), sealed in the vault."""

import asyncio
from collections.abc import Callable

import asyncpg
from tests.imap_client import ImapClient, of, refused, signed_in
from tests.imap_world import PASSWORD, Person, Scenario, World

from postkeep.protocols.imap.client import Response


def annotations(responses: list[Response]) -> dict[str, dict[str, object]]:
    """Values by mailbox and entry."""
    found: dict[str, dict[str, object]] = {}
    for response in of(responses, "METADATA"):
        name, pairs = response.values
        assert isinstance(name, bytes)
        assert isinstance(pairs, list)
        values = dict(zip(map(str, pairs[::2]), pairs[1::2], strict=True))
        found.setdefault(name.decode(), {}).update(values)
    return found


def test_annotations_are_set_found_and_taken_away(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world)
        assert "METADATA" in str((await client.line("CAPABILITY"))[0].values)
        await client.line('SETMETADATA INBOX (/private/comment "My own comment")')
        await client.line("SETMETADATA INBOX (/shared/Comment {16+}\r\nFor all to read.)")
        answers = await client.line("GETMETADATA INBOX (/private/COMMENT /shared/comment /private/none)")
        assert annotations(answers)["INBOX"] == {
            "/private/comment": b"My own comment",
            "/shared/comment": b"For all to read.",
            "/private/none": None,
        }
        await client.line('SETMETADATA INBOX (/private/vendor/kolab/a "12" /private/vendor/kolab/a/b "345")')
        await client.line("SETMETADATA INBOX (/private/vendor/kolab/zero ~{3+}\r\na\0b)")
        one = await client.line("GETMETADATA (DEPTH 1) INBOX /private/vendor/kolab")
        assert annotations(one)["INBOX"] == {
            "/private/vendor/kolab/a": b"12",
            "/private/vendor/kolab/zero": b"a\0b",
        }
        deep = await client.line("GETMETADATA INBOX (DEPTH infinity) (/private/vendor)")
        assert set(annotations(deep)["INBOX"]) == {
            "/private/vendor/kolab/a",
            "/private/vendor/kolab/a/b",
            "/private/vendor/kolab/zero",
        }
        short = await client.line("GETMETADATA (MAXSIZE 10) INBOX (/private/comment /private/vendor/kolab/a)")
        assert annotations(short)["INBOX"] == {"/private/vendor/kolab/a": b"12"}
        assert short[-1].code == "METADATA LONGENTRIES 14"
        await client.line("SETMETADATA INBOX (/private/comment NIL)")
        assert annotations(await client.line("GETMETADATA INBOX /private/comment")) == {
            "INBOX": {"/private/comment": None}
        }
        await client.line('SETMETADATA "" (/private/vendor/x/seen "yes")')
        again = await signed_in(world)
        assert annotations(await again.line('GETMETADATA "" /private/vendor/x/seen')) == {
            "": {"/private/vendor/x/seen": b"yes"}
        }
        for each in (client, again):
            await each.close()

    in_world(scenario)


def test_what_is_no_annotation_is_refused(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world)
        for line in (
            'SETMETADATA INBOX (/other/comment "x")',
            'SETMETADATA INBOX (/private//x "x")',
            'SETMETADATA INBOX (/private/x* "x")',
            'SETMETADATA INBOX (/private/x "x" /PRIVATE/X "y")',
            "GETMETADATA (DEPTH 2) INBOX /private/x",
        ):
            assert (await refused(client, line)).kind == "BAD", line
        too_large = "x" * (32 * 1024 + 1)
        for line, code in (
            ("SETMETADATA Nowhere (/private/comment NIL)", "NONEXISTENT"),
            ("GETMETADATA Nowhere /private/comment", "NONEXISTENT"),
            ('SETMETADATA "" (/shared/comment "x")', "NOPERM"),
            (
                f"SETMETADATA INBOX (/private/x {{{len(too_large)}+}}\r\n{too_large})",
                "METADATA MAXSIZE 32768",
            ),
        ):
            assert (await refused(client, line)).code == code
        for start in range(0, 500, 100):
            pairs = " ".join(f"/private/vendor/x/{number} 1" for number in range(start, start + 100))
            await client.line(f"SETMETADATA INBOX ({pairs.replace(' 1', ' {1+}' + chr(13) + chr(10) + '1')})")
        assert (await refused(client, 'SETMETADATA INBOX (/private/y "1")')).code == "METADATA TOOMANY"
        await client.close()

    in_world(scenario)


def test_clients_that_annotate_at_once_lose_nothing(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        clients = [await signed_in(world) for _ in range(3)]

        async def annotate(client: ImapClient, number: int) -> None:
            for count in range(3):
                await client.line(f'SETMETADATA INBOX (/private/vendor/{number}/{count} "{count}")')

        await asyncio.gather(*(annotate(client, number) for number, client in enumerate(clients)))
        answers = await clients[0].line("GETMETADATA (DEPTH infinity) INBOX /private")
        assert len(annotations(answers)["INBOX"]) == 9
        for client in clients:
            await client.close()

    in_world(scenario)


def test_the_special_use_is_an_annotation_too(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, b"Subject: x\r\n\r\n", role="sent")
        client = await signed_in(world)
        found = annotations(await client.line("GETMETADATA Sent /private/specialuse"))
        assert found == {"Sent": {"/private/specialuse": b"\\Sent"}}
        await client.line("CREATE Outgoing")
        assert (
            await refused(client, 'SETMETADATA Outgoing (/private/specialuse "\\\\Sent")')
        ).code == "USEATTR"
        assert (
            await refused(client, 'SETMETADATA Outgoing (/private/specialuse "\\\\All")')
        ).code == "USEATTR"
        assert (await refused(client, "CREATE All (USE (\\All))")).code == "USEATTR"
        await client.line("SETMETADATA Sent (/private/specialuse NIL)")
        await client.line('SETMETADATA Outgoing (/private/specialuse "\\\\sent")')
        special = of(await client.line('LIST (SPECIAL-USE) "" (Sent Outgoing)'), "LIST")
        assert [response.values[2] for response in special] == [b"Outgoing"]
        status = of(await client.line("STATUS Sent (MESSAGES)"), "STATUS")[0].items()
        assert status == {"MESSAGES": "1"}  # it has kept its name and what is in it
        await client.close()

    in_world(scenario)


def test_list_returns_annotations_of_every_mailbox(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world)
        await client.line("CREATE a/b")
        await client.line('SETMETADATA a/b (/private/comment "of a/b" /private/other "x")')
        answers = await client.line('LIST "" (INBOX a/*) RETURN (METADATA (/private/comment))')
        assert annotations(answers) == {
            "INBOX": {"/private/comment": None},
            "a/b": {"/private/comment": b"of a/b"},
        }
        assert [response.kind for response in answers[:4]] == ["LIST", "METADATA", "LIST", "METADATA"]
        await client.line("RENAME a/b c")
        moved = annotations(await client.line("GETMETADATA c /private/comment"))
        assert moved == {"c": {"/private/comment": b"of a/b"}}
        await client.line("DELETE c")
        await client.line("CREATE c")
        fresh = annotations(await client.line("GETMETADATA c /private/comment"))
        assert fresh == {"c": {"/private/comment": None}}
        await client.close()

    in_world(scenario)


def test_the_vault_knows_neither_names_nor_values_of_annotations(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world)
        await client.line('SETMETADATA INBOX (/private/vendor/zephyr/anthes "Zephyranthes")')
        await client.line("SUBSCRIBE Zephyranthes")
        connection = await asyncpg.connect(world.vault_dsn)
        rows = await connection.fetch("SELECT sealed FROM entries")
        assert len(rows) == 2
        assert not any(b"ephyr" in row["sealed"].lower() or b"anthes" in row["sealed"] for row in rows)
        # what it swaps or changes is noticed
        await connection.execute("UPDATE entries SET scope = 1 WHERE mailbox <> $1", bytes(16))
        assert (await refused(client, "GETMETADATA INBOX /private/comment")).code == "CORRUPTION"
        await connection.close()
        await client.close()

    in_world(scenario)


def test_annotations_of_a_shared_mailbox(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        await world.person("bob@example.com")
        owner, reader = await signed_in(world), await ImapClient.connect(world.tls_port, world.client_tls)
        await reader.line(f'LOGIN bob@example.com "{PASSWORD}"')
        await owner.line('SETMETADATA INBOX (/private/comment "hers" /shared/comment "ours")')
        await owner.line("SETACL INBOX bob@example.com lr")
        inbox = '"Other Users/alice@example.com/INBOX"'
        wanted = f"GETMETADATA {inbox} (/private/comment /shared/comment)"
        seen = annotations(await reader.line(wanted))[inbox.strip('"')]
        assert seen == {"/private/comment": None, "/shared/comment": b"ours"}
        await reader.line(f'SETMETADATA {inbox} (/private/comment "mine")')
        assert (await refused(reader, f'SETMETADATA {inbox} (/shared/comment "no")')).code == "NOPERM"
        await owner.line("SETACL INBOX bob@example.com lrw")
        await reader.line(f'SETMETADATA {inbox} (/shared/comment "from both")')
        seen = annotations(await reader.line(wanted))[inbox.strip('"')]
        assert seen == {"/private/comment": b"mine", "/shared/comment": b"from both"}
        hers = annotations(await owner.line("GETMETADATA INBOX (/private/comment /shared/comment)"))
        assert hers["INBOX"] == {"/private/comment": b"hers", "/shared/comment": b"from both"}
        for client in (owner, reader):
            await client.close()

    in_world(scenario)
