"""NOTIFY over a socket: news of every kind, unasked, whoever has made it (RFC 5465)."""

import asyncio
from collections.abc import Callable

import pytest
from tests.imap_client import ImapClient, of, refused, signed_in
from tests.imap_mail import PLAIN
from tests.imap_world import Person, Scenario, World

from postkeep.faces.imap import notifying
from postkeep.protocols.imap.client import Response


async def until(client: ImapClient, kind: str) -> Response:
    """Read what comes unasked until something of this kind does."""
    while True:
        response = await client.next()
        assert response.tag == "*"
        if response.kind == kind:
            return response


def test_news_of_other_mailboxes_come_as_status(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN)
        watcher, other = await signed_in(world), await signed_in(world)
        await other.line("CREATE box")
        answers = await watcher.line(
            "NOTIFY SET STATUS (personal (MessageNew MessageExpunge FlagChange)) (mailboxes box NONE)"
        )
        told = {response.values[0]: response.items() for response in of(answers, "STATUS")}
        assert told[b"INBOX"]["MESSAGES"] == "1"
        assert told[b"INBOX"]["UNSEEN"] == "1"
        await world.deliver(alice, PLAIN)
        response = await until(watcher, "STATUS")
        assert (response.values[0], response.items()["MESSAGES"]) == (b"INBOX", "2")
        await other.line("SELECT INBOX")
        await other.line("STORE 1 +FLAGS (\\Seen)")
        assert (await until(watcher, "STATUS")).items()["UNSEEN"] == "1"
        await other.line("STORE 1 +FLAGS (\\Deleted)")
        await until(watcher, "STATUS")
        await other.line("EXPUNGE")
        assert (await until(watcher, "STATUS")).items()["MESSAGES"] == "1"
        await watcher.line("NOTIFY NONE")
        await world.deliver(alice, PLAIN)
        await other.line("NOOP")
        assert [response.kind for response in await watcher.line("NOOP")] == ["OK"]
        for client in (watcher, other):
            await client.close()

    in_world(scenario)


def test_the_first_group_that_fits_a_mailbox_decides(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        watcher, other = await signed_in(world), await signed_in(world)
        await other.line("CREATE a/b")
        await other.line("CREATE c")
        await watcher.line(
            "NOTIFY SET (mailboxes INBOX NONE) (subtree a (MessageNew MessageExpunge))"
            " (personal (MailboxName))"
        )
        await world.deliver(alice, PLAIN)
        for name in ("c", "a/b"):
            tag = b"x" + name.encode()
            other.send(tag + b" APPEND %b {%d+}\r\n%b\r\n" % (name.encode(), len(PLAIN), PLAIN))
            await other.until(tag, [])
        assert (await until(watcher, "STATUS")).values[0] == b"a/b"
        await other.line("CREATE d")
        assert (await until(watcher, "LIST")).values[2] == b"d"
        for client in (watcher, other):
            await client.close()

    in_world(scenario)


def test_the_selected_mailbox_is_told_of_at_once_or_not_at_all(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN, PLAIN)
        watcher, delayed, other = [await signed_in(world) for _ in range(3)]
        for client in (watcher, delayed, other):
            await client.line("SELECT INBOX")
        await watcher.line(
            "NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])"
            " MessageExpunge FlagChange))"
        )
        await delayed.line("NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange))")
        await world.deliver(alice, PLAIN)
        for client in (watcher, delayed):
            assert (await until(client, "EXISTS")).number == 3
        new = await until(watcher, "FETCH")
        assert new.number == 3
        assert b"Subject" in repr(new.values).encode()
        await other.line("NOOP")
        await other.line("STORE 1 +FLAGS (\\Deleted)")
        for client in (watcher, delayed):
            assert (await until(client, "FETCH")).number == 1
        await other.line("EXPUNGE")
        assert (await until(watcher, "EXPUNGE")).number == 1
        await world.deliver(alice, PLAIN)
        assert (await until(delayed, "EXISTS")).number == 4  # it still counts the one that is gone
        assert of(await delayed.line("NOOP"), "EXPUNGE")[0].number == 1
        await watcher.line("NOTIFY SET (personal (MailboxName))")
        await world.deliver(alice, PLAIN)
        await until(delayed, "EXISTS")
        assert not of(await watcher.line("NOOP"), "EXISTS")
        for client in (watcher, delayed, other):
            await client.close()

    in_world(scenario)


def test_names_subscriptions_and_annotations_are_told(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        watcher, other = await signed_in(world), await signed_in(world)
        await other.line('SETMETADATA INBOX (/private/comment "old" /private/other "same")')
        await watcher.line(
            "NOTIFY SET (personal (MailboxName SubscriptionChange MailboxMetadataChange"
            " ServerMetadataChange))"
        )
        await other.line("CREATE box")
        made = await until(watcher, "LIST")
        assert made.values == [["\\HasNoChildren"], b"/", b"box"]
        await other.line("RENAME box crate")
        renamed = await until(watcher, "LIST")
        assert renamed.values[2:] == [b"crate", [b"OLDNAME", [b"box"]]]
        await other.line("SUBSCRIBE crate")
        assert (await until(watcher, "LIST")).values[0] == ["\\HasNoChildren", "\\Subscribed"]
        await other.line("SUBSCRIBE nowhere")
        assert (await until(watcher, "LIST")).values[0] == ["\\NonExistent", "\\Noselect", "\\Subscribed"]
        await other.line("UNSUBSCRIBE crate")
        assert (await until(watcher, "LIST")).values[0] == ["\\HasNoChildren"]
        await other.line("DELETE crate")
        assert (await until(watcher, "LIST")).values[::2] == [["\\NonExistent"], b"crate"]
        await other.line('SETMETADATA INBOX (/private/comment "new" /private/other "same")')
        assert (await until(watcher, "METADATA")).values == [b"INBOX", "/private/comment"]
        await other.line('SETMETADATA "" (/private/vendor/x/y "new")')
        assert (await until(watcher, "METADATA")).values == [b"", "/private/vendor/x/y"]
        for client in (watcher, other):
            await client.close()

    in_world(scenario)


def test_what_can_not_be_told_is_refused(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world)
        assert "NOTIFY" in str((await client.line("CAPABILITY"))[0].values)
        for line in (
            "NOTIFY SET (personal (MessageNew))",
            "NOTIFY SET (personal (FlagChange))",
            "NOTIFY SET (selected (MailboxName))",
            "NOTIFY SET (selected NONE) (selected-delayed NONE)",
            "NOTIFY SET (personal (MessageNew (UID) MessageExpunge))",
            "NOTIFY SET (everything NONE)",
            "NOTIFY",
        ):
            assert (await refused(client, line)).kind == "BAD", line
        answer = await refused(
            client, "NOTIFY SET (selected (MessageNew MessageExpunge FlagChange AnnotationChange))"
        )
        assert answer.kind == "NO"
        assert answer.code.startswith("BADEVENT (MessageNew MessageExpunge FlagChange ")
        await client.close()

    in_world(scenario)


def test_too_much_news_ends_the_telling(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        watcher, other = await signed_in(world), await signed_in(world)
        await watcher.line("NOTIFY SET (personal (MessageNew MessageExpunge))")
        monkeypatch.setattr(notifying, "MAILBOXES_WAITING_MAX", 0)
        await world.deliver(alice, PLAIN)
        assert (await until(watcher, "OK")).code == "NOTIFICATIONOVERFLOW"
        await world.deliver(alice, PLAIN)
        await other.line("NOOP")
        assert [response.kind for response in await watcher.line("NOOP")] == ["OK"]
        for client in (watcher, other):
            await client.close()

    in_world(scenario)


def test_a_client_of_imap4rev2_hears_of_new_names(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        watcher, other = await signed_in(world), await signed_in(world)
        await other.line("CREATE box")
        await watcher.line("ENABLE IMAP4rev2")
        await watcher.line("SELECT INBOX")
        await watcher.line('LIST "" *')
        await other.line("CREATE other")
        await other.line('RENAME box "箱"')
        seen: list[Response] = []
        for _ in range(100):
            seen += await watcher.line("NOOP")
            if of(seen, "LIST"):
                break
            await asyncio.sleep(0.05)
        assert [response.values[2:] for response in of(seen, "LIST")] == [
            ["箱".encode(), [b"OLDNAME", [b"box"]]]
        ]
        for client in (watcher, other):
            await client.close()

    in_world(scenario)
