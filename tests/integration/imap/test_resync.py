"""Coming back to a mailbox, and living in one without message numbers (RFC 7162, 9586, 9394)."""

from collections.abc import Callable

from tests.imap_client import ImapClient, fetched, of, refused, signed_in
from tests.imap_mail import PLAIN
from tests.imap_world import Person, Scenario, World

from postkeep.protocols.imap.client import Response


async def resyncing(world: World) -> ImapClient:
    client = await signed_in(world)
    answers = await client.line("ENABLE QRESYNC")
    assert of(answers, "ENABLED")[0].values == ["QRESYNC"]
    return client


def code(answers: list[Response], name: str) -> int:
    (value,) = [answer.code for answer in answers if answer.code.startswith(name)]
    return int(value.split()[1])


def vanished(answers: list[Response]) -> list[list[object]]:
    return [list(answer.values) for answer in of(answers, "VANISHED")]


def test_a_client_that_was_away_hears_what_went_and_what_changed_with_select(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *[PLAIN] * 9)
        client, other = await resyncing(world), await signed_in(world, "INBOX")
        answers = await client.line("SELECT INBOX")
        validity, modseq = code(answers, "UIDVALIDITY"), code(answers, "HIGHESTMODSEQ")
        await client.line("UNSELECT")
        await other.line("STORE 2,4:5 +FLAGS (\\Deleted $Gone)")
        await other.line("EXPUNGE")
        await other.line("UID STORE 7 +FLAGS (\\Flagged)")
        await world.deliver(alice, PLAIN)

        answers = await client.line(f"SELECT INBOX (QRESYNC ({validity} {modseq}))")
        assert vanished(answers) == [[["EARLIER"], "2,4:5"]]
        assert {at: (items["UID"], items["FLAGS"]) for at, items in fetched(answers).items()} == {
            4: ("7", ["\\Flagged"]),
            7: ("10", ["\\Recent"]),
        }
        assert all("MODSEQ" in items for items in fetched(answers).values())
        now = code(answers, "HIGHESTMODSEQ")
        # Only what it holds, and nothing from another life of the mailbox or when nothing has changed.
        answers = await client.line(f"SELECT INBOX (QRESYNC ({validity} {modseq} 1:4,7 (1,3 1,3)))")
        assert vanished(answers) == [[["EARLIER"], "2,4"]]
        assert [items["UID"] for items in fetched(answers).values()] == ["7"]
        for parameters in (f"{validity + 1} {modseq}", f"{validity} {now}"):
            answers = await client.line(f"SELECT INBOX (QRESYNC ({parameters}))")
            assert (vanished(answers), fetched(answers)) == ([], {})
        # Without ENABLE there is no such parameter.
        assert (await refused(other, f"SELECT INBOX (QRESYNC ({validity} {modseq}))")).kind == "BAD"
        for broken in ("0 5", "5 0", "5 5 1:*", "5 5 $", "5 5 1 (1)", "5"):
            assert (await refused(client, f"SELECT INBOX (QRESYNC ({broken}))")).kind == "BAD"
        await client.close()
        await other.close()

    in_world(scenario)


def test_expunges_are_told_by_uid_with_a_modseq_that_covers_no_more_than_was_told(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *[PLAIN] * 8)
        client, other = await resyncing(world), await signed_in(world, "INBOX")
        start = code(await client.line("SELECT INBOX"), "HIGHESTMODSEQ")
        await client.line("STORE 1:2,8 +FLAGS.SILENT (\\Deleted)")
        await other.line("STORE 5 +FLAGS.SILENT (\\Answered)")
        answers = await client.line("EXPUNGE")
        assert vanished(answers) == [["1:2,8"]]
        assert of(answers, "EXPUNGE") == []
        assert fetched(answers)[5]["FLAGS"] == ["\\Answered"]  # told before the modseq covers it
        after = code(answers[-1:], "HIGHESTMODSEQ")
        assert after > start
        answers = await client.line("UID MOVE 3 Archive")
        assert vanished(answers) == [["3"]]
        assert code(answers[-1:], "HIGHESTMODSEQ") > after
        await other.line("UID STORE 6 +FLAGS.SILENT (\\Deleted)")
        await other.line("UID EXPUNGE 6")
        # What is not told yet is no earlier expunge; it comes when numbers may change.
        answers = await client.line(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {start} VANISHED)")
        assert vanished(answers)[0] == [["EARLIER"], "1:3,8"]
        assert [items["UID"] for items in fetched(answers).values()] == ["5"]
        assert vanished(await client.line("NOOP")) == [["6"]]
        answers = await client.line(f"UID FETCH 2:6 (UID) (VANISHED CHANGEDSINCE {start})")
        assert vanished(answers) == [[["EARLIER"], "2:3,6"]]
        for broken in ("UID FETCH 1 (UID) (VANISHED)", "FETCH 1 (UID) (CHANGEDSINCE 1 VANISHED)"):
            assert (await refused(client, broken)).kind == "BAD"
        assert (await refused(other, "UID FETCH 1 (UID) (CHANGEDSINCE 1 VANISHED)")).kind == "BAD"
        await client.close()
        await other.close()

    in_world(scenario)


def test_uidonly_knows_no_message_numbers_in_either_direction(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *[PLAIN] * 4)
        client, other = await signed_in(world), await signed_in(world, "INBOX")
        answers = await client.line("ENABLE UIDONLY")
        assert of(answers, "ENABLED")[0].values == ["UIDONLY"]
        answers = await client.line("SELECT INBOX")
        assert not any("UNSEEN" in answer.code for answer in answers)
        assert of(answers, "EXISTS")[0].number == 4
        for command in ("FETCH 1 FLAGS", "STORE 1 +FLAGS (\\Seen)", "COPY 1 Trash", "MOVE 1 Trash"):
            answer = await refused(client, command)
            assert (answer.kind, answer.code) == ("BAD", "UIDREQUIRED")
        told: dict[int, object] = {}
        for command in ("UID FETCH 2 (RFC822.SIZE)", "UID FETCH 3 (UID)", "UID STORE 4 +FLAGS (\\Seen)"):
            answers = await client.line(command)
            assert of(answers, "FETCH") == []
            told |= {answer.number: dict(answer.items()) for answer in of(answers, "UIDFETCH")}
        assert told == {
            2: {"RFC822.SIZE": str(len(PLAIN))},
            3: {"UID": "3"},
            4: {"FLAGS": ["\\Seen"]},
        }
        await other.line("STORE 1 +FLAGS (\\Deleted)")
        await other.line("EXPUNGE")
        assert vanished(await client.line("NOOP")) == [["1"]]
        answers = await client.line("UID FETCH 2 (BODY[])")
        assert [answer.number for answer in of(answers, "UIDFETCH")] == [2]
        await client.close()
        await other.close()

    in_world(scenario)


def test_partial_gives_a_window_on_the_messages_a_command_names(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, *[PLAIN] * 6)
        client = await signed_in(world, "INBOX")
        windows = {
            "UID FETCH 2:* (UID) (PARTIAL 1:2)": ["2", "3"],
            "UID FETCH 1:* (UID) (PARTIAL -1:-2)": ["5", "6"],
            "UID FETCH 1:2,5:6 (UID) (PARTIAL 2:3)": ["2", "5"],
            "UID FETCH 1:* (UID) (PARTIAL 5:100)": ["5", "6"],
            "UID FETCH 1:* (UID) (PARTIAL 50:100)": [],
            "UID FETCH 1:* (UID) (CHANGEDSINCE 1 PARTIAL -1:-1)": ["6"],
        }
        for command, uids in windows.items():
            assert [items["UID"] for items in fetched(await client.line(command)).values()] == uids, command
        for broken in ("PARTIAL 0:1", "PARTIAL 1", "PARTIAL -1:1", "PARTIAL 1:2 PARTIAL 1:2", "PARTIAL 1:*"):
            assert (await refused(client, f"UID FETCH 1:* (UID) ({broken})")).kind == "BAD"
        await client.close()

    in_world(scenario)
