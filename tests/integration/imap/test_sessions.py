"""From connecting to the end of a session: TLS, sign-in, limits, revocation, tickets that run out."""

import asyncio
import base64
import time
from collections.abc import Callable

import imapclient
import pytest
from tests.imap_client import ImapClient, Refused, of, refused, signed_in
from tests.imap_mail import NESTED, PLAIN
from tests.imap_world import ALICE, PASSWORD, Person, Scenario, World

from postkeep.base.errors import RefusedError
from postkeep.faces.imap import account, authenticating, connection, limits, session, wakeups
from postkeep.protocols.sasl.scram import ScramClient
from postkeep.services.vault.client import VaultClient
from postkeep.services.vault.rows_api import UpdatePage, Updates


def test_nothing_secret_is_taken_without_tls(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await ImapClient.connect(world.port)
        assert "LOGINDISABLED" in client.greeting.code
        assert "AUTH=" not in client.greeting.code
        for command in (f'LOGIN {ALICE} "{PASSWORD}"', "AUTHENTICATE PLAIN"):
            assert (await refused(client, command)).code == "PRIVACYREQUIRED"
        assert (await refused(client, "SELECT INBOX")).kind == "BAD"
        # A command slipped in behind STARTTLS in the clear is never run.
        client.send(b"s STARTTLS\r\nx NOOP\r\n")
        assert (await client.next()).tag == "s"
        await client.start_tls(world.client_tls)
        answers = await client.line("CAPABILITY")
        assert [answer.tag for answer in answers] == ["*", "t4"]
        assert "AUTH=PLAIN" in answers[0].values
        assert "STARTTLS" not in answers[0].values
        await client.line(f'LOGIN {ALICE} "{PASSWORD}"')
        assert (await refused(client, "STARTTLS")).kind == "BAD"
        await client.close()

    in_world(scenario)


def test_sasl_plain_works_with_and_without_initial_response(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        message = base64.b64encode(f"\0{ALICE}\0{PASSWORD}".encode()).decode()
        client = await ImapClient.connect(world.tls_port, world.client_tls)
        answers = await client.line(f"AUTHENTICATE PLAIN {message}")
        assert "UIDPLUS" in answers[-1].code
        await client.close()
        client = await ImapClient.connect(world.tls_port, world.client_tls)
        client.send(b"a AUTHENTICATE PLAIN\r\n")
        assert (await client.next()).tag == "+"
        client.send(b"*\r\n")
        assert (await client.next()).kind == "BAD"
        client.send(b"b AUTHENTICATE PLAIN\r\n")
        assert (await client.next()).tag == "+"
        client.send(message.encode() + b"\r\n")
        assert (await client.next()).kind == "OK"
        assert (await refused(client, f'LOGIN {ALICE} "{PASSWORD}"')).kind == "BAD"
        await client.close()

    in_world(scenario)


def test_guessing_is_slowed_down_and_ends(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticating, "SIGN_IN_DELAY_SECONDS", 0.02)

    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await ImapClient.connect(world.tls_port, world.client_tls)
        started = time.monotonic()
        for _ in range(limits.SIGN_IN_FAILURES_MAX):
            assert (await refused(client, f"LOGIN {ALICE} wrong")).code == "AUTHENTICATIONFAILED"
        assert time.monotonic() - started > 0.02 * 31
        assert (await client.next()).kind == "BYE"
        with pytest.raises(ConnectionError):
            await client.next()

    in_world(scenario)


def test_garbage_is_bad_and_too_much_of_it_ends_the_connection(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world)
        assert (await refused(client, "FETCH")).kind == "BAD"
        client.send(b"\x00\xff garbage\r\n" * (limits.BAD_COMMANDS_MAX - 1))
        for _ in range(limits.BAD_COMMANDS_MAX - 1):
            assert (await client.next()).kind == "BAD"
        assert (await client.next()).kind == "BYE"
        client = await signed_in(world)
        client.send(b"x" * 70_000)
        assert (await client.next()).kind == "BYE"

    in_world(scenario)


def test_a_revoked_session_is_cut_within_a_second(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        clients = [await signed_in(world, "INBOX") for _ in range(2)]
        clients[0].send(b"i IDLE\r\n")
        assert (await clients[0].next()).tag == "+"
        started = time.monotonic()
        await world.revoke("user", alice.key.principal)
        for client in clients:
            assert (await client.next()).kind == "BYE"
            with pytest.raises(ConnectionError):
                await client.next()
        assert time.monotonic() - started < 1.0
        later = await signed_in(world, "INBOX")
        await later.line("NOOP")
        await later.close()

    in_world(scenario)


def test_a_ticket_is_renewed_when_there_is_something_to_do_with_it(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "RENEW_BEFORE_SECONDS", 100_000)

    async def scenario(world: World, alice: Person) -> None:
        client = await signed_in(world, "INBOX")
        (member,) = world.imap._registry.members()
        own = member.session.need_account()
        client.send(b"i IDLE\r\n")
        assert (await client.next()).tag == "+"
        first = own.ticket
        await world.deliver(alice, PLAIN)
        assert (await client.next()).kind == "EXISTS"
        assert own.ticket != first
        client.send(b"DONE\r\n")
        while (await client.next()).tag != "i":
            pass
        second = own.ticket
        await client.line("NOOP")
        assert own.ticket != second
        await own.sign_out()
        client.send(b"x NOOP\r\n")
        assert (await client.next()).kind == "BYE"
        with pytest.raises(ConnectionError):
            await client.next()

    in_world(scenario)


def test_a_long_command_has_its_ticket_renewed_under_it(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "RENEW_SCAN_SECONDS", 0.05)
    monkeypatch.setattr(wakeups, "RENEW_BEFORE_SECONDS", 100_000)

    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world, "INBOX")
        (member,) = world.imap._registry.members()
        own = member.session.need_account()
        monkeypatch.setattr(account, "RENEW_BEFORE_SECONDS", 100_000)
        first = own.ticket
        await asyncio.sleep(0.2)
        assert own.ticket == first  # nothing runs: nobody renews
        with monkeypatch.context() as patch:

            async def slow(*_arguments: object) -> None:
                renewed = own.ticket
                while own.ticket == renewed:  # noqa: ASYNC110 - a ticket rings no bell
                    await asyncio.sleep(0.01)

            patch.setattr(session.Session, "refuse", slow)
            client.send(b"x LIST {70000}\r\n\r\n")
            while own.ticket == first:  # noqa: ASYNC110 - a ticket rings no bell
                await asyncio.sleep(0.01)
        await client.close()

    in_world(scenario)


def test_sessions_are_kept_without_tickets_and_those_that_ended_are_cut(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "KEEP_SECONDS", 0.1)

    async def scenario(world: World, alice: Person) -> None:
        del alice
        kept, ended = [await signed_in(world, "INBOX") for _ in range(2)]
        first, second = (member.session.need_account() for member in world.imap._registry.members())
        before = first.ticket
        await second.sign_out()
        assert (await ended.next()).kind == "BYE"
        await kept.line("NOOP")
        assert first.ticket == before
        await kept.close()

    in_world(scenario)


def test_the_session_ends_with_the_connection(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world, "INBOX")
        (member,) = world.imap._registry.members()
        account = member.session.need_account()
        answers = await client.line("LOGOUT")
        assert [answer.kind for answer in answers] == ["BYE", "OK"]
        await client.close()
        await asyncio.sleep(0.1)
        assert world.imap._registry.members() == []
        assert not world.imap._connections
        with pytest.raises(RefusedError):
            await account.renew()
        world.refusals.clear()

    in_world(scenario)


def test_scram_proves_both_sides_and_wrong_proofs_are_refused(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        for password, kind in ((PASSWORD, "OK"), ("wrong", "NO")):
            client = await ImapClient.connect(world.tls_port, world.client_tls)
            scram = ScramClient(ALICE, password)
            client.send(b"a AUTHENTICATE SCRAM-SHA-256 " + base64.b64encode(scram.client_first) + b"\r\n")
            challenge = await client.next()
            assert challenge.tag == "+"
            final = scram.receive_first(base64.b64decode(challenge.text))
            client.send(base64.b64encode(final) + b"\r\n")
            answer = await client.next()
            if kind == "OK":
                scram.receive_final(base64.b64decode(answer.text))
                client.send(b"\r\n")
                answer = await client.next()
            assert (answer.tag, answer.kind) == ("a", kind)
            await client.close()

    in_world(scenario)


def test_a_network_has_only_so_many_strangers_and_any_number_of_people(
    in_world: Callable[[Scenario], None],
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        world.imap._limits = limits.ConnectionLimits(strangers_per_network_max=2)
        clients = [await ImapClient.connect(world.port) for _ in range(2)]
        turned_away = await ImapClient.connect(world.port)
        assert turned_away.greeting.kind == "BYE"
        await turned_away.close()
        await clients.pop().close()
        await asyncio.sleep(0.05)
        clients += [await signed_in(world) for _ in range(4)]
        for client in clients:
            await client.close()

    in_world(scenario)


def test_a_person_has_only_so_many_connections(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        world.imap._limits = limits.ConnectionLimits(connections_per_person_max=2)
        clients = [await signed_in(world) for _ in range(2)]
        third = await ImapClient.connect(world.tls_port, world.client_tls)
        assert (await refused(third, f'LOGIN {ALICE} "{PASSWORD}"')).code == "LIMIT"
        await clients.pop().close()
        await asyncio.sleep(0.05)
        await third.line(f'LOGIN {ALICE} "{PASSWORD}"')
        for client in (*clients, third):
            await client.close()

    in_world(scenario)


def test_a_storm_is_served_in_turn_and_the_slow_give_way(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More come at once than there is room for, while others hold their places and say nothing: all of those
    who sign in are served, none is refused, and no more than the limit are strangers at any time."""
    monkeypatch.setattr(connection, "CROWDED_SECONDS_MAX", 0.3)
    monkeypatch.setattr("postkeep.faces.imap.server.CROWDED_LOOK_SECONDS", 0.1)

    async def scenario(world: World, alice: Person) -> None:
        del alice
        first = await signed_in(world)
        world.imap._limits = limits.ConnectionLimits(strangers_max=8, connections_per_person_max=500)
        silent = [await ImapClient.connect(world.port) for _ in range(8)]
        most = 0

        async def come() -> ImapClient:
            nonlocal most
            client = await ImapClient.connect(world.tls_port, world.client_tls)
            most = max(most, len(world.imap._strangers))
            await client.line(f'LOGIN {ALICE} "{PASSWORD}"')
            return client

        clients = await asyncio.gather(*(come() for _ in range(100)))
        assert len(world.imap._registry.members()) == 101
        assert most <= 8
        for client in silent:
            assert (await client.next()).kind == "BYE"
        for client in (first, *clients, *silent):
            await client.close()

    in_world(scenario)


def test_idle_clients_of_one_person_share_one_call_and_others_cost_none(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        clients = [await signed_in(world, "INBOX") for _ in range(12)]
        elsewhere = await signed_in(world, "Sent")
        for client in (*clients, elsewhere):
            client.send(b"i IDLE\r\n")
            assert (await client.next()).tag == "+"
        # IDLE looks once by itself, after its "+".
        while any(member.busy for member in world.imap._registry.members()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        calls = []
        vault = world.imap._keepers.vault
        usual = VaultClient.updates

        async def counted(client: VaultClient, request: Updates, *, ticket: bytes) -> UpdatePage:
            if client is vault:
                calls.append(request)
            return await usual(client, request, ticket=ticket)

        monkeypatch.setattr(VaultClient, "updates", counted)
        await world.deliver(alice, PLAIN)
        for client in clients:
            assert (await client.next()).kind == "EXISTS"
        assert len(calls) == 1
        for client in (*clients, elsewhere):
            await client.close()

    in_world(scenario)


def test_slow_handshakes_and_unanswered_challenges_end(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HANDSHAKE_SECONDS_MAX", 0.1)

    async def scenario(world: World, alice: Person) -> None:
        del alice
        reader, writer = await asyncio.open_connection("127.0.0.1", world.tls_port)
        writer.write(b"\x16\x03\x01")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", world.tls_port)
        writer.write(b"no TLS at all, but long enough for a record\r\n")
        assert (await asyncio.wait_for(reader.read(), 5))[:1] in {b"", b"\x15"}  # an alert at most
        writer.close()
        monkeypatch.setattr(connection, "SIGN_IN_SECONDS_MAX", 0.3)
        client = await ImapClient.connect(world.tls_port, world.client_tls)
        client.send(b"a AUTHENTICATE PLAIN\r\n")
        assert (await client.next()).tag == "+"
        assert (await client.next()).kind == "BYE"
        assert not world.imap._strangers

    in_world(scenario)


def test_an_idling_client_is_told_that_we_are_still_there(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 2177: whoever is quiet for longer than the limit is sent away all the same."""
    monkeypatch.setattr(connection, "STILL_HERE_SECONDS", 0.2)
    monkeypatch.setattr(connection, "IDLE_SECONDS_MAX", 2.5)

    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world, "INBOX")
        client.send(b"i IDLE\r\n")
        assert (await client.next()).tag == "+"
        kinds: list[str] = []
        while not kinds or kinds[-1] != "BYE":
            kinds.append((await client.next()).kind)
        assert kinds[:-1]
        assert set(kinds[:-1]) == {"OK"}

    in_world(scenario)


def test_quiet_clients_are_sent_away(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SIGN_IN_SECONDS_MAX", 0.05)

    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await ImapClient.connect(world.port)
        assert (await client.next()).kind == "BYE"
        await client.close()

    in_world(scenario)


def test_the_vault_being_away_is_temporary(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN)
        client = await signed_in(world, "INBOX")
        await world.stop_vault()
        response = await refused(client, "FETCH 1 BODY[]")
        assert (response.kind, response.code) == ("NO", "UNAVAILABLE")
        await world.serve_vault()
        answers = await client.line("FETCH 1 BODY[]")
        assert of(answers, "FETCH")[0].items()["BODY[]"] == PLAIN
        client.send(b"i IDLE\r\n")
        assert (await client.next()).tag == "+"
        await asyncio.sleep(3 * wakeups.RETRY_SECONDS)
        await world.deliver(alice, PLAIN)
        assert (await client.next()).kind == "EXISTS"
        await client.close()

    in_world(scenario)


def test_a_bug_in_one_command_is_told_and_the_session_goes_on(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world)

        def broken(*_arguments: object, **_named: object) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr(session, "parse_command", broken)
            client.send(b"x NOOP\r\n")
            answer = await client.next()
        assert (answer.kind, answer.code) == ("NO", "SERVERBUG")
        await client.line("NOOP")
        await client.close()

    in_world(scenario)


def test_imapclient_reads_what_is_there(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        await world.deliver(alice, PLAIN, NESTED)
        await asyncio.to_thread(_drive_imapclient, world)

    in_world(scenario)


def _drive_imapclient(world: World) -> None:
    with imapclient.IMAPClient("localhost", world.tls_port, ssl_context=world.client_tls) as client:
        client.login(ALICE, PASSWORD)
        client.create_folder("收件/子")
        assert ((b"\\HasNoChildren",), b"/", "收件/子") in client.list_folders()
        info = client.select_folder("INBOX")
        assert info[b"EXISTS"] == 2
        assert client.search(["SUBJECT", "午餐"], "UTF-8") == [2]
        fetched = client.fetch([1, 2], ["ENVELOPE", "BODYSTRUCTURE", "RFC822.SIZE", "BODY.PEEK[]"])
        assert fetched[1][b"ENVELOPE"].subject == b"Lunch"
        assert fetched[2][b"BODY[]"] == NESTED
        assert fetched[2][b"BODYSTRUCTURE"].is_multipart
        client.add_flags([1], [imapclient.FLAGGED])
        assert client.get_flags([1])[1] == (imapclient.FLAGGED,)
        client.move([2], "收件/子")
        assert client.folder_status("收件/子", ["MESSAGES"]) == {b"MESSAGES": 1}
        client.idle()
        client.idle_done()


def test_pieces_of_a_command_may_come_one_octet_at_a_time(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world)
        for octet in b"a APPEND Drafts {%d+}\r\n%b\r\nb NOOP\r\n" % (len(PLAIN), PLAIN):
            client.send(bytes([octet]))
            if octet == 10:
                await asyncio.sleep(0)
        assert (await client.next()).code.startswith("APPENDUID")
        assert (await client.next()).tag == "b"
        with pytest.raises(Refused):
            await client.line("CREATE Drafts")
        await client.close()

    in_world(scenario)
