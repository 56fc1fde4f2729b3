"""The submission face over real sockets: what is taken from whom, and where it goes."""

import asyncio
import smtplib
from email.message import EmailMessage

import aiosmtplib
from tests.submission_world import ACME, ANN, MESSAGE, OTHER, PASSWORD, Office, send, serve
from tests.tls_material import client_context

from postkeep.base.address import parse_address
from postkeep.protocols.smtp.client import Step
from postkeep.protocols.smtp.parameters import MailParameters, RcptParameters
from postkeep.services.authority.api import (
    Recipient,
    Route,
)
from postkeep.services.smtpclient import RecipientParams


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
