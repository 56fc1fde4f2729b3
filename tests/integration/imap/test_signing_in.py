"""Who gets in over IMAP and how: access tokens (TM-43), channel binding (TM-44), and who leaves again."""

import base64
from collections.abc import Callable

import msgspec
import pytest
from tests.imap_client import ImapClient, of, refused, signed_in
from tests.imap_world import ALICE, PASSWORD, Person, Scenario, World

from postkeep.faces.imap import authenticating
from postkeep.protocols.imap.client import Response
from postkeep.protocols.sasl.bearer import CANCEL, write_oauthbearer, write_xoauth2
from postkeep.protocols.sasl.plain import write_plain
from postkeep.protocols.sasl.scram import ScramClient
from postkeep.services.authority import tokens_api


async def _connect(world: World) -> ImapClient:
    return await ImapClient.connect(world.tls_port, world.client_tls)


async def _start(client: ImapClient, mechanism: str, first: bytes) -> Response:
    client.send(b"a AUTHENTICATE " + mechanism.encode() + b" " + base64.b64encode(first) + b"\r\n")
    return await client.next()


def test_a_token_signs_in_in_both_forms_and_a_refusal_is_explained(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        made = await world.authority.create_token(
            tokens_api.CreateToken(alice.key.principal, "laptop", ["imap"], 1), ticket=world.staff
        )
        for mechanism, first in (
            ("OAUTHBEARER", write_oauthbearer(made.token, ALICE)),
            ("OAUTHBEARER", write_oauthbearer(made.token)),
            ("XOAUTH2", write_xoauth2(made.token, ALICE)),
        ):
            client = await _connect(world)
            answer = await _start(client, mechanism, first)
            assert (answer.tag, answer.kind) == ("a", "OK")
            await client.line("SELECT INBOX")
            await client.close()
        client = await _connect(world)
        for mechanism, first, cancel, status in (
            ("OAUTHBEARER", write_oauthbearer("pkt_wrong", ALICE), CANCEL, "invalid_token"),
            ("OAUTHBEARER", b"n,,\x01auth=Basic x\x01\x01", CANCEL, "invalid_token"),
            ("XOAUTH2", write_xoauth2(made.token, "bob@example.com"), b"", "401"),
        ):
            answer = await _start(client, mechanism, first)
            assert answer.tag == "+"
            told = msgspec.json.decode(base64.b64decode(answer.text))
            assert (told["status"], told["scope"]) == (status, "imap")
            client.send(base64.b64encode(cancel) + b"\r\n")
            answer = await client.next()
            assert (answer.kind, answer.code) == ("NO", "AUTHENTICATIONFAILED")
        await client.close()
        # It is void as soon as it is deleted, and so is what it opened.
        client = await _connect(world)
        await _start(client, "OAUTHBEARER", write_oauthbearer(made.token))
        await world.authority.delete_token(
            tokens_api.DeleteToken(alice.key.principal, made.id), ticket=world.staff
        )
        answer = await client.next()
        assert (answer.tag, answer.kind) == ("*", "BYE")
        world.refusals.clear()

    authenticating_delay(monkeypatch)
    in_world(scenario)


def authenticating_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticating, "SIGN_IN_DELAY_SECONDS", 0.0)


def test_scram_is_bound_to_the_certificate_and_a_downgrade_is_seen(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def exchange(client: ImapClient, scram: ScramClient, mechanism: str) -> Response:
        answer = await _start(client, mechanism, scram.client_first)
        if answer.tag != "+":
            return answer
        final = scram.receive_first(base64.b64decode(answer.text))
        client.send(base64.b64encode(final) + b"\r\n")
        answer = await client.next()
        if answer.tag == "+":
            scram.receive_final(base64.b64decode(answer.text))
            client.send(b"\r\n")
            answer = await client.next()
        return answer

    async def scenario(world: World, alice: Person) -> None:
        del alice
        end_point = world.imap.tls.end_point
        assert len(end_point) == 32
        client = await _connect(world)
        assert "AUTH=SCRAM-SHA-256-PLUS" in client.greeting.code
        bound = ScramClient(ALICE, PASSWORD, binding=end_point)
        assert (await exchange(client, bound, "SCRAM-SHA-256-PLUS")).kind == "OK"
        await client.close()
        client = await _connect(world)
        for scram, mechanism in (
            (ScramClient(ALICE, PASSWORD, binding=b"x" * 32), "SCRAM-SHA-256-PLUS"),
            (ScramClient(ALICE, PASSWORD), "SCRAM-SHA-256-PLUS"),
            (bound, "SCRAM-SHA-256"),
        ):
            answer = await exchange(client, scram, mechanism)
            assert (answer.kind, answer.code) == ("NO", "AUTHENTICATIONFAILED")
        downgraded = ScramClient(ALICE, PASSWORD).client_first.replace(b"n,,", b"y,,", 1)
        answer = await _start(client, "SCRAM-SHA-256", downgraded)
        assert (answer.kind, answer.code) == ("NO", "AUTHENTICATIONFAILED")
        await client.close()

    authenticating_delay(monkeypatch)
    in_world(scenario)


def test_nobody_acts_as_somebody_else(
    in_world: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await _connect(world)
        answer = await _start(client, "PLAIN", write_plain(ALICE, PASSWORD, "bob@example.com"))
        assert (answer.kind, answer.code) == ("NO", "AUTHENTICATIONFAILED")
        assert (await _start(client, "PLAIN", write_plain(ALICE, PASSWORD, ALICE))).kind == "OK"
        await client.close()

    authenticating_delay(monkeypatch)
    in_world(scenario)


def test_who_leaves_without_hanging_up_leaves_nothing_behind(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        await world.person("bob@example.com")
        client = await signed_in(world)
        await client.line("ENABLE UTF8=ACCEPT CONDSTORE")
        await client.line('CREATE "项目"'.encode())
        await client.line("SELECT INBOX")
        answers = await client.line("UNAUTHENTICATE")
        assert answers[-1].kind == "OK"
        assert (await refused(client, "SELECT INBOX")).kind == "BAD"
        listed = of(await client.line("CAPABILITY"), "CAPABILITY")[0]
        assert "AUTH=PLAIN" in listed.values
        assert "UNAUTHENTICATE" not in listed.values
        response = await refused(client, "NOOP {5000}")  # the limits of a stranger again
        assert (response.kind, response.code) == ("NO", "LIMIT")
        await client.line(f'LOGIN bob@example.com "{PASSWORD}"')
        names = {answer.values[2] for answer in of(await client.line('LIST "" "*"'), "LIST")}
        assert names >= {b"INBOX"}
        assert not any(b"&" in name or b"\xe9" in name for name in names)  # type: ignore[operator]
        await client.line("UNAUTHENTICATE")
        await client.line(f'LOGIN {ALICE} "{PASSWORD}"')
        names = {answer.values[2] for answer in of(await client.line('LIST "" "*"'), "LIST")}
        assert b"&mHl27g-" in names  # UTF8=ACCEPT is forgotten
        await client.close()

    in_world(scenario)


def test_utf8_is_accepted_where_it_is_enabled(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await signed_in(world)
        answers = await client.line("ENABLE UTF8=ACCEPT")
        assert of(answers, "ENABLED")[0].values == ["UTF8=ACCEPT"]
        await client.line('CREATE "项目"'.encode())
        names = {answer.values[2] for answer in of(await client.line('LIST "" "*"'), "LIST")}
        assert "项目".encode() in names
        await client.line("SELECT INBOX")
        response = await refused(client, "SEARCH CHARSET UTF-8 TEXT x")  # RFC 6855 section 3
        assert response.kind == "BAD"
        answers = await client.line("SEARCH ALL")
        assert of(answers, "SEARCH")  # the old form of answer: it is not IMAP4rev2
        await client.close()

    in_world(scenario)


def test_people_are_spoken_to_in_their_language(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client = await _connect(world)
        assert "LANGUAGE" in client.greeting.code.split()
        assert of(await client.line("LANGUAGE"), "LANGUAGE")[0].values == [["en", "zh-CN", "i-default"]]
        assert (await refused(client, "LANGUAGE de")).text == "These languages are not spoken here."
        answers = await client.line('LANGUAGE fr "zh-Hans"')
        assert of(answers, "LANGUAGE")[0].values == [["zh-CN"]]
        assert answers[-1].text == "LANGUAGE 已完成。"
        assert (await client.line(f'LOGIN {ALICE} "{PASSWORD}"'))[-1].text == "欢迎。"
        assert (await refused(client, "SELECT Nowhere")).text == "没有该邮箱。"
        assert (await refused(client, "SELECT")).text == "命令无效。"
        assert (await client.line("LANGUAGE default"))[-1].text == "LANGUAGE completed."
        await client.close()

    in_world(scenario)
