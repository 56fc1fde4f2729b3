"""The submission face on real sockets: signing in over TLS only, writing as oneself only, every way out."""

import asyncio
import base64
import smtplib
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from typing import Any

import aiosmtplib
import pytest
import uvloop
from tests.delivery_world import World
from tests.tls_material import PEM, client_context

from postkeep.base.address import parse_address
from postkeep.base.errors import RefusedError, ThrottledError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.faces.smtp.face import Connections, FaceSettings
from postkeep.faces.smtp.tls import server_context
from postkeep.faces.submission.connection import SubmissionConnection
from postkeep.faces.submission.sessions import Sessions
from postkeep.faces.submission.signin import MECHANISMS
from postkeep.protocols.sasl import SaslError
from postkeep.protocols.sasl.login import LoginClient
from postkeep.protocols.sasl.plain import write_plain
from postkeep.protocols.sasl.scram import ScramClient, ScramServer, derive_keys, read_client_first
from postkeep.protocols.smtp.client import Step
from postkeep.protocols.smtp.parameters import MailParameters, RcptParameters
from postkeep.protocols.smtp.server import ServerSettings
from postkeep.services.authority.api import (
    Done,
    Recipient,
    RenewUser,
    Revocation,
    Route,
    ScramChallenge,
    ScramFinish,
    ScramStart,
    SignedIn,
    SignIn,
    SignOut,
)
from postkeep.services.delivery.submit import Submitter
from postkeep.services.smtpclient import RecipientParams, RecipientReply, SmtpClient, SmtpReplyError

ACME, OTHER = new_id(), new_id()
PASSWORD = "correct horse"
MESSAGE = (
    b"From: ann@acme.example\r\nTo: x@far.example\r\nBcc: y@far.example\r\nSubject: out\r\n\r\nhello\r\n"
)
ANN = parse_address("ann@acme.example")


class Authority:
    """Accounts of the test: one person, one password."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ann = world.person("ann@acme.example", ACME)
        self.asked: list[SignIn | ScramStart] = []
        self.ended: list[bytes] = []
        self.renewed = 0
        self.revoked = False
        self.error: Exception | None = None
        self._exchanges: dict[bytes, ScramServer] = {}

    def _signed_in(self, server_final: bytes = b"") -> SignedIn:
        return SignedIn(
            ticket=b"ticket of ann",
            expires=self.world.clock.now_seconds() + 600,
            session=new_id(),
            tenant=ACME,
            principal=self.ann.key.principal,
            public_key=self.ann.key,
            addresses=["ann@acme.example", "sales@acme.example"],
            server_final=server_final,
        )

    async def sign_in(self, request: SignIn) -> SignedIn:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        if (request.address, request.password) != ("ann@acme.example", PASSWORD):
            raise RefusedError(code="refused.credentials")
        return self._signed_in()

    async def scram_start(self, request: ScramStart) -> ScramChallenge:
        self.asked.append(request)
        exchange = new_id()
        self._exchanges[exchange] = ScramServer(read_client_first(request.client_first), b"s" * 16)
        return ScramChallenge(exchange, self._exchanges[exchange].server_first)

    async def scram_finish(self, request: ScramFinish) -> SignedIn:
        keys = derive_keys(PASSWORD, b"s" * 16)
        try:
            _, final = self._exchanges.pop(request.exchange).finish(request.client_final, [keys])
        except SaslError as error:
            raise RefusedError(code="refused.credentials") from error
        return self._signed_in(final)

    async def renew_user(self, request: RenewUser) -> SignedIn:
        if self.revoked:
            raise RefusedError
        self.renewed += 1
        return self._signed_in()

    async def sign_out(self, request: SignOut) -> Done:
        self.ended.append(request.session)
        return Done()


class Sasl:
    """The client's half of an exchange, for our own client."""

    def __init__(self, mechanism: str, password: str = PASSWORD, *, late: bool = False) -> None:
        self.mechanism = mechanism
        self._late = late
        self._password = password
        self._login = LoginClient("ann@acme.example", password)
        self._scram = ScramClient("ann@acme.example", password)
        self._steps = 0

    def initial(self) -> bytes | None:
        if self.mechanism == "LOGIN" or self._late:
            return None
        if self.mechanism == "PLAIN":
            return write_plain("ann@acme.example", self._password)
        return self._scram.client_first

    def respond(self, challenge: bytes) -> bytes:
        if self.mechanism == "LOGIN":
            return self._login.answer(challenge)
        self._steps += 1
        if self.mechanism == "PLAIN":
            return write_plain("ann@acme.example", self._password)
        if self._late and self._steps == 1:
            return self._scram.client_first
        if self._steps == 1 + self._late:
            return self._scram.receive_first(challenge)
        self._scram.receive_final(challenge)
        return b""


class Office:
    """A running face in a small world."""

    def __init__(self) -> None:
        self.world = World()
        self.authority = Authority(self.world)
        self.ann = self.authority.ann
        self.bob = self.world.person("bob@acme.example", ACME)
        self.eve = self.world.person("eve@other.example", OTHER)
        self.world.person("full@acme.example", ACME, full=True)
        self.connections = Connections(connections_max=100, tick_seconds=0.05)
        self.sessions = Sessions(self.authority, self.world.clock)
        self.starttls_port = self.tls_port = 0

    async def client(self, *, tls: str = "implicit", sign_in: bool = True) -> SmtpClient:
        port = self.tls_port if tls == "implicit" else self.starttls_port
        context = None if tls == "none" else client_context()
        options: dict[str, Any] = {"tls": tls, "ssl_context": context, "server_name": "localhost"}
        client = await SmtpClient.connect("127.0.0.1", port, hello_name="laptop.example", **options)
        if sign_in:
            await client.sign_in(Sasl("PLAIN"))
        return client


def serve(scenario: Callable[[Office], Awaitable[None]]) -> None:
    async def run() -> None:
        office = Office()
        loop = asyncio.get_running_loop()
        submitter = Submitter(office.world.pipeline(), office.world)
        server = ServerSettings(
            "mail.acme.example", 100_000, 100, starttls=True, mechanisms=MECHANISMS, auth_required=True
        )
        listeners = []
        for implicit in (False, True):
            settings = FaceSettings(server, server_context(PEM), implicit)
            listeners.append(
                await loop.create_server(
                    lambda settings=settings: SubmissionConnection(  # type: ignore[misc]
                        settings,
                        office.connections,
                        authority=office.authority,
                        sessions=office.sessions,
                        view=office.world,
                        submitter=submitter,
                    ),
                    "127.0.0.1",
                    0,
                )
            )
        office.starttls_port, office.tls_port = (
            listener.sockets[0].getsockname()[1] for listener in listeners
        )
        try:
            async with asyncio.timeout(20):
                await scenario(office)
        finally:
            for listener in listeners:
                listener.close()
            await office.connections.drain()
            await asyncio.sleep(0.05)
            await office.sessions.close()
        assert len(office.connections) == len(office.sessions) == 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def send(client: SmtpClient, *names: str, data: bytes = MESSAGE, **params: Any) -> list[RecipientReply]:
    recipients = [RecipientParams(parse_address(name)) for name in names]
    return await client.send(ANN, recipients, data, params=MailParameters(**params))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_mechanism_signs_in_and_a_wrong_password_does_not(mechanism: str, late: bool) -> None:  # noqa: FBT001
    async def scenario(office: Office) -> None:
        for tls in ("implicit", "required"):
            client = await office.client(tls=tls, sign_in=False)
            with pytest.raises(SmtpReplyError) as caught:
                await client.sign_in(Sasl(mechanism, "wrong", late=late))
            assert (caught.value.reply.code, caught.value.reply.enhanced) == (535, "5.7.8")
            await client.sign_in(Sasl(mechanism, late=late))
            assert (await send(client, "x@far.example"))[0].delivered
            await client.quit()
        assert {request.network for request in office.authority.asked} == {"127.0.0.1"}
        assert {request.protocol for request in office.authority.asked} == {"submission"}

    serve(scenario)


def test_nothing_is_signed_in_or_sent_in_the_clear() -> None:
    async def scenario(office: Office) -> None:
        client = await office.client(tls="none", sign_in=False)
        assert "AUTH" not in client.extensions
        with pytest.raises(SmtpReplyError) as caught:
            await client.sign_in(Sasl("PLAIN"))
        assert caught.value.reply.code == 538
        assert (await send(client, "x@far.example"))[0].reply.code == 530
        await client.quit()
        client = await office.client(sign_in=False)
        assert (await send(client, "x@far.example"))[0].reply.code == 530
        await client.quit()
        assert not office.authority.asked
        assert not office.world.deposits

    serve(scenario)


def test_foreign_recipients_are_queued_by_destination_and_bcc_does_not_go_along() -> None:
    async def scenario(office: Office) -> None:
        client = await office.client()
        recipients = [
            RecipientParams(parse_address("x@far.example"), RcptParameters(("NEVER",), "rfc822;z@z.example")),
            RecipientParams(parse_address("y@far.example")),
            RecipientParams(parse_address("z@away.example")),
        ]
        parameters = MailParameters(ret="HDRS", envid="e1")
        assert all(
            reply.delivered for reply in await client.send(ANN, recipients, MESSAGE, params=parameters)
        )
        await client.quit()
        queued = office.world.queued(ACME)
        assert [(destination, len(found.recipients)) for destination, found, _ in queued] == [
            ("far.example", 2),
            ("away.example", 1),
        ]
        _, envelope, message = queued[0]
        assert envelope.reverse_path == "ann@acme.example"
        assert (envelope.ret, envelope.envid) == ("HDRS", "e1")
        assert (envelope.recipients[0].notify, envelope.recipients[0].orcpt) == (
            ("NEVER",),
            "rfc822;z@z.example",
        )
        assert message.startswith(b"Received: from laptop.example\r\n\tby mx.example.org")
        assert b"127.0.0.1" not in message
        assert b"Bcc" not in message
        assert b"\r\nDate: " in message
        assert b"\r\nMessage-ID: <" in message
        assert message.endswith(b"\r\n\r\nhello\r\n")
        assert not office.world.copies(office.ann)

    serve(scenario)


def test_local_recipients_are_served_directly_and_sent_is_one_transaction_with_the_queue() -> None:
    async def scenario(office: Office) -> None:
        client = await office.client()
        data = b"X-Postkeep-Save-Sent: yes\r\n" + MESSAGE
        replies = await send(
            client, "bob@acme.example", "eve@other.example", "x@far.example", "full@acme.example",
            "nobody@acme.example", data=data,
        )  # fmt: skip
        assert [reply.reply.code for reply in replies] == [250, 250, 250, 452, 550]
        await client.quit()
        world = office.world
        assert world.calls == [1, 2]
        sent = world.copies(office.ann)[0]
        assert (sent.role, sent.flags) == ("sent", ("\\Seen",))
        assert sent.message.startswith(b"Received: ")
        assert b"Save-Sent" not in sent.message
        for person in (office.bob, office.eve):
            copy = world.copies(person)[0]
            assert copy.role == "inbox"
            assert copy.message.startswith(b"Return-Path: <ann@acme.example>\r\nReceived: ")
            assert b"with ESMTPSA id" in copy.message
        assert len(world.queued(ACME)) == 1

    serve(scenario)


def test_a_group_of_ones_own_company_with_members_outside() -> None:
    async def scenario(office: Office) -> None:
        office.world.routes["team@acme.example"] = Route(
            "team@acme.example", "local", [Recipient(office.bob.key)], ["x@far.example"], ACME
        )
        office.world.routes["club@other.example"] = Route(
            "club@other.example", "local", [Recipient(office.eve.key)], ["y@far.example"], OTHER
        )
        client = await office.client()
        replies = await send(client, "team@acme.example", "club@other.example")
        assert all(reply.delivered for reply in replies)
        await client.quit()
        assert office.world.queued(ACME)[0][1].reverse_path == "team@acme.example"
        assert office.world.queued(OTHER)[0][1].reverse_path == "club@other.example"
        assert len(office.world.copies(office.bob)) == len(office.world.copies(office.eve)) == 1

    serve(scenario)


def test_one_writes_as_oneself_or_a_granted_address_only() -> None:
    async def scenario(office: Office) -> None:
        client = await office.client()
        to = [RecipientParams(parse_address("x@far.example"))]
        for sender, allowed in (
            ("ann@acme.example", True),
            ("SALES@acme.example", True),
            ("bob@acme.example", False),
        ):
            reply = (await client.send(parse_address(sender), to, MESSAGE))[0]
            assert (reply.delivered, reply.reply.code) == (allowed, 250 if allowed else 550)
        forged = MESSAGE.replace(b"From: ann@", b"From: Bob <bob@")
        reply = (
            await send(
                client, "x@far.example", data=forged.replace(b"bob@acme.example", b"bob@acme.example>")
            )
        )[0]
        assert (reply.reply.code, reply.reply.enhanced) == (550, "5.7.1")
        reply = (await send(client, "x@far.example", data=b"Subject: nobody\r\n\r\n"))[0]
        assert (reply.reply.code, reply.reply.enhanced) == (550, "5.6.0")
        await client.quit()
        assert len(office.world.queued(ACME)) == 2

    serve(scenario)


def test_a_revoked_session_is_cut_at_once() -> None:
    async def scenario(office: Office) -> None:
        for scope, subject in (("user", office.ann.key.principal), ("tenant", ACME)):
            client = await office.client()
            office.sessions.revoked(Revocation("user", new_id().hex(), 0))
            assert (await send(client, "x@far.example"))[0].delivered
            office.sessions.revoked(Revocation(scope, subject.hex(), 0))
            reply = (await send(client, "x@far.example"))[0]
            assert (reply.delivered, reply.reply.code) == (False, 421)
            client.close()
        assert len(office.world.queued(ACME)) == 2

    serve(scenario)


def test_tickets_are_renewed_while_the_client_stays_and_the_session_ends_with_it() -> None:
    async def scenario(office: Office) -> None:
        client = await office.client()
        await office.sessions.renew_due()
        assert office.authority.renewed == 0
        office.world.clock.advance(550)
        await office.sessions.renew_due()
        assert office.authority.renewed == 1
        assert (await send(client, "x@far.example"))[0].delivered
        await client.quit()
        await asyncio.sleep(0.05)
        assert len(office.authority.ended) == 1
        client = await office.client()
        office.world.clock.advance(550)
        office.authority.revoked = True
        await office.sessions.renew_due()
        assert (await send(client, "x@far.example"))[0].reply.code == 421
        client.close()

    serve(scenario)


@pytest.mark.parametrize(
    ("error", "code"),
    [(ThrottledError(code="throttled.account"), 454), (UnavailableError(), 454), (RefusedError(), 535)],
)
def test_why_a_sign_in_failed_is_told_apart_only_as_far_as_it_helps(error: Exception, code: int) -> None:
    async def scenario(office: Office) -> None:
        office.authority.error = error
        client = await office.client(sign_in=False)
        with pytest.raises(SmtpReplyError) as caught:
            await client.sign_in(Sasl("PLAIN"))
        assert caught.value.reply.code == code
        await client.quit()

    serve(scenario)


def test_a_broken_exchange_is_an_error_and_ends_nothing_else() -> None:
    async def scenario(office: Office) -> None:
        class Garbage(Sasl):
            def initial(self) -> bytes | None:
                return b"garbage"

        client = await office.client(sign_in=False)
        with pytest.raises(SmtpReplyError) as caught:
            await client.sign_in(Garbage("PLAIN"))
        assert caught.value.reply.code == 501
        await client.sign_in(Sasl("PLAIN"))
        await client.quit()

    serve(scenario)


def test_no_250_before_the_transaction_and_one_retry_after_a_broken_call() -> None:
    async def scenario(office: Office) -> None:
        client = await office.client()
        office.world.failures = 1
        assert (await send(client, "x@far.example", "bob@acme.example"))[0].delivered
        office.world.failures = 2
        assert (await send(client, "x@far.example"))[0].reply.code == 451
        office.world.refuse[office.bob.key.principal] = "over_quota"
        for step in (Step.CONTENT, Step.RCPT):
            (refused,) = await send(client, "bob@acme.example")
            assert (refused.step, refused.reply.code, refused.reply.enhanced) == (step, 452, "4.2.2")
        await client.quit()
        assert len(office.world.queued(ACME)) == 1

    serve(scenario)


def test_nothing_is_taken_once_the_ticket_has_run_out_even_for_another_company() -> None:
    async def scenario(office: Office) -> None:
        client = await office.client()
        office.world.clock.advance(601)
        (refused,) = await send(client, "eve@other.example")
        assert (refused.reply.code, refused.reply.enhanced) == (454, "4.7.0")
        assert office.world.copies(office.eve) == []
        await client.quit()

    serve(scenario)


def test_smtplib_and_aiosmtplib_submit() -> None:
    async def scenario(office: Office) -> None:
        message = EmailMessage()
        message["From"] = "ann@acme.example"
        message["To"] = "bob@acme.example"
        message["Subject"] = "library"
        message.set_content("hello")

        def submit() -> None:
            context = client_context()
            context.check_hostname = False
            with smtplib.SMTP("127.0.0.1", office.starttls_port) as client:
                client.starttls(context=context)
                client.login("ann@acme.example", PASSWORD)
                client.send_message(message)
            with smtplib.SMTP_SSL("127.0.0.1", office.tls_port, context=context) as client:
                client.login("ann@acme.example", PASSWORD)
                client.send_message(message)

        await asyncio.to_thread(submit)
        await aiosmtplib.send(
            message,
            hostname="127.0.0.1",
            port=office.tls_port,
            use_tls=True,
            validate_certs=False,
            username="ann@acme.example",
            password=PASSWORD,
        )
        assert len(office.world.copies(office.bob)) == 3

    serve(scenario)


def test_a_password_is_base64_on_the_wire_and_never_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario(office: Office) -> None:
        client = await office.client()
        assert (await send(client, "x@far.example"))[0].delivered
        await client.quit()

    serve(scenario)
    logged = "".join(capsys.readouterr())
    assert "submitted" in logged
    assert PASSWORD not in logged
    assert base64.b64encode(PASSWORD.encode()).decode() not in logged
    assert "@" not in logged
