"""The mx face on real sockets, driven by our own client, by smtplib, by swaks and by raw octets."""

import asyncio
import shutil
import smtplib
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import uvloop
from tests.delivery_world import World
from tests.tls_material import PEM, client_context

from postkeep.base.address import parse_address
from postkeep.base.errors import UnavailableError
from postkeep.base.ids import new_id
from postkeep.faces.mx.connection import MxConnection
from postkeep.faces.smtp import connection as connection_module
from postkeep.faces.smtp import face as face_module
from postkeep.faces.smtp.face import Connections, FaceSettings, network_of
from postkeep.faces.tls import server_context
from postkeep.protocols.smtp.client import Step
from postkeep.protocols.smtp.parameters import MailParameters
from postkeep.protocols.smtp.server import ServerSettings
from postkeep.services.authority.api import Route
from postkeep.services.smtpclient import RecipientParams, SmtpClient, SmtpReplyError, Timeouts, TlsFailedError

ACME = new_id()
MESSAGE = b"From: a@example.com\r\nSubject: over the wire\r\n\r\nhello\r\n.leading dot\r\n"
SENDER = parse_address("a@example.com")


SERVER_TLS = server_context(PEM)
SETTINGS = FaceSettings(ServerSettings("mx.example.org", 2_000_000, 100, starttls=True), SERVER_TLS)


class Mx:
    """A running face in a small world."""

    def __init__(self, settings: FaceSettings) -> None:
        self.settings = settings
        self.world = World()
        self.ann = self.world.person("ann@acme.example", ACME)
        self.world.person("full@acme.example", ACME, full=True)
        self.world.routes["gone@acme.example"] = Route("gone@acme.example", "disabled")
        self.connections = Connections(connections_max=settings.connections_max, tick_seconds=0.05)
        self.port = 0

    async def client(self, **options: Any) -> SmtpClient:
        options.setdefault("tls", "none")
        return await SmtpClient.connect("127.0.0.1", self.port, hello_name="client.example", **options)

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


def serve(scenario: Callable[[Mx], Awaitable[None]], settings: FaceSettings = SETTINGS) -> None:
    async def run() -> None:
        mx = Mx(settings)
        loop = asyncio.get_running_loop()
        pipeline = mx.world.pipeline()
        server = await loop.create_server(
            lambda: MxConnection(settings, mx.connections, mx.world, pipeline), "127.0.0.1", 0
        )
        mx.port = server.sockets[0].getsockname()[1]
        try:
            async with asyncio.timeout(20):
                await scenario(mx)
        finally:
            server.close()
            await mx.connections.drain()
            await asyncio.sleep(0.05)
        assert len(mx.connections) == 0
        assert mx.connections.held_octets == 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def read_while_trickling(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, octet: bytes
) -> list[bytes]:
    """Send an octet now and then until the server hangs up; return the lines it has said."""

    async def trickle() -> None:
        while True:
            await asyncio.sleep(0.05)
            writer.write(octet)

    trickling = asyncio.ensure_future(trickle())
    try:
        async with asyncio.timeout(5):
            return (await reader.read()).splitlines()
    finally:
        trickling.cancel()


def to(*names: str) -> list[RecipientParams]:
    return [RecipientParams(parse_address(name)) for name in names]


@pytest.mark.parametrize("tls", ["none", "required", "opportunistic"])
def test_a_message_arrives_byte_for_byte_with_and_without_tls(tls: str) -> None:
    async def scenario(mx: Mx) -> None:
        client = await mx.client(tls=tls, ssl_context=client_context(), server_name="localhost")
        replies = await client.send(SENDER, to("ann@acme.example", "nobody@acme.example"), MESSAGE)
        assert [(reply.delivered, reply.reply.code) for reply in replies] == [(True, 250), (False, 550)]
        assert client.tls_description.startswith("TLSv1.3" if tls != "none" else "")
        await client.quit()
        message = mx.world.copies(mx.ann)[0].message
        assert message.endswith(b"\r\n" + MESSAGE)
        assert (b"with ESMTPS id" in message) == (tls != "none")

    serve(scenario)


def test_a_mailbox_without_room_is_refused_at_rcpt_from_the_second_message_on() -> None:
    async def scenario(mx: Mx) -> None:
        bob = mx.world.person("bob@acme.example", ACME)
        mx.world.refuse[bob.key.principal] = "over_quota"
        client = await mx.client()
        for step in (Step.CONTENT, Step.RCPT):
            (refused,) = await client.send(SENDER, to("bob@acme.example"), MESSAGE)
            assert (refused.step, refused.reply.code, refused.reply.enhanced) == (step, 452, "4.2.2")
        smaller = MESSAGE[:-10] + b"\r\n"
        (refused,) = await client.send(SENDER, to("bob@acme.example"), smaller)
        assert refused.step is Step.CONTENT
        assert (await client.send(SENDER, to("ann@acme.example"), MESSAGE))[0].delivered
        await client.quit()

    serve(scenario)


def test_every_kind_of_address_gets_its_reply_at_rcpt() -> None:
    async def scenario(mx: Mx) -> None:
        client = await mx.client()
        names = ["full@acme.example", "gone@acme.example", "nobody@acme.example", "x@far.example"]
        replies = await client.send(SENDER, to(*names), MESSAGE)
        assert [(reply.step, reply.reply.code, reply.reply.enhanced) for reply in replies] == [
            (Step.RCPT, 452, "4.2.2"),
            (Step.RCPT, 550, "5.2.1"),
            (Step.RCPT, 550, "5.1.1"),
            (Step.RCPT, 550, "5.7.1"),
        ]
        mx.world.stale = True
        replies = await client.send(SENDER, to("ann@acme.example"), MESSAGE)
        assert (replies[0].reply.code, replies[0].reply.enhanced) == (451, "4.3.0")
        mx.world.stale = False
        replies = await client.send(None, to("ann@acme.example"), MESSAGE)
        assert replies[0].delivered
        await client.quit()

    serve(scenario)


def test_a_postmaster_without_a_domain_is_the_nodes_own() -> None:
    async def scenario(mx: Mx) -> None:
        postmaster = mx.world.person("postmaster@mx.example.org", ACME)
        reader, writer = await mx.raw()
        await reader.readline()
        writer.write(b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\nDATA\r\n")
        writer.write(b"Subject: x\r\n\r\n\r\n.\r\nRCPT TO:<a@[127.0.0.1]>\r\nQUIT\r\n")
        text = (await reader.read()).decode()
        assert "250 2.6.0" in text
        writer.close()
        assert len(mx.world.copies(postmaster)) == 1

    serve(scenario)


def test_no_250_before_the_vault_has_answered() -> None:
    async def scenario(mx: Mx) -> None:
        mx.world.gate = asyncio.Event()
        client = await mx.client()
        sending = asyncio.ensure_future(client.send(SENDER, to("ann@acme.example"), MESSAGE))
        await asyncio.sleep(0.2)
        assert not sending.done()
        mx.world.gate.set()
        assert (await sending)[0].delivered
        mx.world.failures = 2
        replies = await client.send(SENDER, to("ann@acme.example"), MESSAGE)
        assert (replies[0].reply.code, replies[0].step) == (451, Step.CONTENT)
        await client.quit()
        assert len(mx.world.copies(mx.ann)) == 1

    serve(scenario)


def test_smtplib_delivers_over_starttls() -> None:
    async def scenario(mx: Mx) -> None:
        def send() -> None:
            with smtplib.SMTP("127.0.0.1", mx.port, local_hostname="client.example") as client:
                context = client_context()
                context.check_hostname = False
                client.starttls(context=context)
                client.sendmail("a@example.com", ["ann@acme.example"], MESSAGE)

        await asyncio.to_thread(send)
        assert mx.world.copies(mx.ann)[0].message.endswith(b"\r\n.leading dot\r\n")

    serve(scenario)


@pytest.mark.skipif(shutil.which("swaks") is None, reason="swaks is not installed")
def test_swaks_delivers_over_starttls() -> None:
    async def scenario(mx: Mx) -> None:
        done = await asyncio.create_subprocess_exec(
            "swaks", "--server", f"127.0.0.1:{mx.port}", "--from", "a@example.com",
            "--to", "ann@acme.example", "--tls", "--body", "from swaks",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await done.communicate()
        assert done.returncode == 0, output.decode()
        assert b"from swaks" in mx.world.copies(mx.ann)[0].message

    serve(scenario)


def test_many_messages_and_large_ones_on_one_connection() -> None:
    async def scenario(mx: Mx) -> None:
        client = await mx.client(tls="required", ssl_context=client_context(), server_name="localhost")
        large = MESSAGE + b"0123456789abcde\r\n" * 100_000
        for _ in range(20):
            assert (await client.send(SENDER, to("ann@acme.example"), MESSAGE))[0].delivered
        assert (await client.send(SENDER, to("ann@acme.example"), large))[0].delivered
        too_large = MESSAGE + b"0123456789abcde\r\n" * 130_000
        replies = await client.send(SENDER, to("ann@acme.example"), too_large)
        assert replies[0].reply.code == 552
        await client.quit()
        assert [len(copy.message) > 1_000_000 for copy in mx.world.copies(mx.ann)] == [False] * 20 + [True]

    serve(scenario)


def test_data_is_used_where_chunking_is_not_offered() -> None:
    async def scenario(mx: Mx) -> None:
        client = await mx.client()
        for missing in ({"CHUNKING"}, {"CHUNKING", "PIPELINING"}):
            for keyword in missing:
                client.extensions.pop(keyword, None)
            replies = await client.send(SENDER, to("nobody@acme.example", "ann@acme.example"), MESSAGE)
            assert [reply.delivered for reply in replies] == [False, True]
            replies = await client.send(SENDER, to("nobody@acme.example"), MESSAGE)
            assert replies[0].reply.code == 550
        await client.quit()
        assert [copy.message.endswith(MESSAGE) for copy in mx.world.copies(mx.ann)] == [True, True]

    serve(scenario)


def test_a_message_is_not_sent_to_a_server_that_can_not_take_it() -> None:
    async def scenario(mx: Mx) -> None:
        client = await mx.client()
        client.extensions.clear()
        replies = await client.send(
            SENDER, to("ann@acme.example"), MESSAGE, params=MailParameters(smtputf8=True)
        )
        assert replies[0].reply.enhanced == "5.6.7"
        replies = await client.send(SENDER, to("ann@acme.example"), "Subject: é\r\n\r\n".encode())
        assert replies[0].reply.enhanced == "5.6.1"
        client.extensions["SIZE"] = "10"
        replies = await client.send(SENDER, to("ann@acme.example"), MESSAGE)
        assert replies[0].reply.enhanced == "5.3.4"
        await client.quit()
        assert not mx.world.deposits

    serve(scenario)


def test_what_is_injected_behind_starttls_is_not_executed() -> None:
    async def scenario(mx: Mx) -> None:
        reader, writer = await mx.raw()
        await reader.readline()
        writer.write(b"EHLO c\r\n")
        while not (await reader.readline()).startswith(b"250 "):
            pass
        writer.write(b"STARTTLS\r\nMAIL FROM:<x@evil.example>\r\nRCPT TO:<ann@acme.example>\r\n")
        assert (await reader.readline()).startswith(b"220")
        await writer.start_tls(client_context(), server_hostname="localhost")
        writer.write(b"NOOP\r\nRCPT TO:<ann@acme.example>\r\nQUIT\r\n")
        text = (await reader.read()).decode()
        assert [line[:3] for line in text.splitlines()] == ["250", "503", "221"]
        writer.close()

    serve(scenario)


def test_a_smuggled_message_is_refused_whole() -> None:
    async def scenario(mx: Mx) -> None:
        reader, writer = await mx.raw()
        writer.write(b"EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ann@acme.example>\r\nDATA\r\n")
        writer.write(
            b"Subject: x\r\n\r\nhi\n.\r\nMAIL FROM:<evil@b.example>\r\nRCPT TO:<ann@acme.example>\r\n"
        )
        writer.write(b"DATA\r\nsmuggled\r\n.\r\nQUIT\r\n")
        text = (await reader.read()).decode()
        assert [line[:3] for line in text.splitlines()][-2:] == ["550", "221"]
        writer.close()
        assert not mx.world.deposits

    serve(scenario)


def test_slow_clients_are_sent_away() -> None:
    async def scenario(mx: Mx) -> None:
        reader, writer = await mx.raw()
        await reader.readline()
        writer.write(b"EHL")
        assert (await read_while_trickling(reader, writer, b"O"))[-1].startswith(b"421 4.4.2")
        writer.close()

    serve(scenario, replace(SETTINGS, command_timeout_seconds=0.5))


def test_a_message_that_trickles_in_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "MESSAGE_GRACE_SECONDS", 0.3)

    async def scenario(mx: Mx) -> None:
        reader, writer = await mx.raw()
        await reader.readline()
        writer.write(b"EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ann@acme.example>\r\nDATA\r\n")
        await reader.readuntil(b"354")
        assert (await read_while_trickling(reader, writer, b"x"))[-1].startswith(b"421 4.4.2")
        writer.close()

    serve(scenario)


def test_who_speaks_before_the_greeting_is_sent_away() -> None:
    async def scenario(mx: Mx) -> None:
        reader, writer = await mx.raw()
        writer.write(b"EHLO spam\r\n")
        assert (await reader.read()).startswith(b"554 5.5.0")
        writer.close()
        reader, writer = await mx.raw()
        assert (await reader.readline()).startswith(b"220")
        writer.close()

    serve(scenario, replace(SETTINGS, greeting_delay_seconds=0.3))


def test_connections_are_limited_in_all_and_for_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(mx: Mx) -> None:
        clients = [await mx.client() for _ in range(3)]
        with pytest.raises(SmtpReplyError) as caught:
            await mx.client()
        assert caught.value.reply.code == 421
        for client in clients:
            await client.quit()
        await (await mx.client()).quit()

    serve(scenario, replace(SETTINGS, connections_max=3))
    monkeypatch.setattr(face_module, "NETWORK_CONNECTIONS_MAX", 3)
    serve(scenario)
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"


def test_a_process_that_holds_too_much_mail_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "HELD_OCTETS_MAX", 100_000)

    async def scenario(mx: Mx) -> None:
        reader, writer = await mx.raw()
        writer.write(b"EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ann@acme.example>\r\nDATA\r\n")
        await reader.readuntil(b"354")
        writer.write(b"x" * 150_000)
        assert (await reader.read()).splitlines()[-1].startswith(b"421 4.3.1")
        writer.close()

    serve(scenario)


def test_a_stopping_face_finishes_what_it_delivers_and_sends_the_idle_away() -> None:
    async def scenario(mx: Mx) -> None:
        mx.world.gate = asyncio.Event()
        idle, idle_writer = await mx.raw()
        await idle.readline()
        client = await mx.client()
        sending = asyncio.ensure_future(client.send(SENDER, to("ann@acme.example"), MESSAGE))
        await asyncio.sleep(0.1)
        draining = asyncio.ensure_future(mx.connections.drain())
        assert (await idle.read()).startswith(b"421 4.3.2")
        idle_writer.close()
        mx.world.gate.set()
        assert (await sending)[0].delivered
        await draining
        client.close()

    serve(scenario)


def test_the_client_says_what_is_wrong_with_a_server() -> None:
    async def scenario(mx: Mx) -> None:
        with pytest.raises(TlsFailedError):
            await mx.client(tls="required", ssl_context=client_context(), server_name="elsewhere.example")
        client = await mx.client()
        await mx.connections.drain()
        replies = await client.send(SENDER, to("ann@acme.example"), MESSAGE)
        assert (replies[0].delivered, replies[0].reply.code) == (False, 421)
        with pytest.raises(UnavailableError):
            await client.send(SENDER, to("ann@acme.example"), MESSAGE)
        client.close()
        with pytest.raises(UnavailableError):
            await SmtpClient.connect("127.0.0.1", 1, hello_name="c", tls="none", timeouts=Timeouts(connect=2))

    serve(scenario)
    plain = FaceSettings(ServerSettings("mx.example.org", 1000, 10), None)

    async def no_tls(mx: Mx) -> None:
        with pytest.raises(TlsFailedError):
            await mx.client(tls="required", ssl_context=client_context())

    serve(no_tls, plain)
