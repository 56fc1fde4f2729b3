"""A mailbox without room, in a whole node: told at RCPT, and reported to a stranger who wrote to several."""

import asyncio
import contextlib
import smtplib

import pytest
from tests.node_process import Node, free_base_port, new_node
from tests.smtp_sink import Sink, running

pytestmark = pytest.mark.e2e

STRANGER = "carol@far.example"
LETTER = b"From: carol@far.example\r\nSubject: to several\r\n\r\n" + b"all about it\r\n" * 100


WORKERS_MAX = 8
"""Processes that mx may have: each learns of a full mailbox by itself."""


def send(node: Node, *to: str) -> dict[str, tuple[int, bytes]]:
    """Send the letter; return who was refused at RCPT, and how."""
    with smtplib.SMTP("localhost", node.ports["smtp"], timeout=20) as client:
        try:
            return client.sendmail(STRANGER, to, LETTER)
        except smtplib.SMTPRecipientsRefused as error:
            return error.recipients


def refused_at_rcpt(node: Node, to: str) -> tuple[int, bytes]:
    """Send until the process that we reach knows, and says so at RCPT."""
    for _ in range(4 * WORKERS_MAX):
        with contextlib.suppress(smtplib.SMTPDataError):
            return send(node, to)[to]
    raise AssertionError("never refused at RCPT")


async def until_taken(sink: Sink) -> bytes:
    async with asyncio.timeout(30):
        while not sink.taken:  # noqa: ASYNC110 - the sink is a plain list
            await asyncio.sleep(0.05)
    return sink.taken[0].content


def test_a_stranger_hears_of_the_full_mailbox_by_a_report_and_then_at_rcpt() -> None:
    port = free_base_port()
    config = f'[relay]\nsmarthost = "127.0.0.1:{port}"\nallow_private_addresses = true\nretry_seconds = [1]\n'
    with new_node(config=config) as node:
        node.tenant("ours.example")
        for name in ("ann", "bob"):
            node.user(f"{name}@ours.example", "correct horse battery")
        node.cli("user", "quota", "bob@ours.example", "1K")

        async def scenario() -> None:
            async with running(Sink(port=port)) as sink:
                both = await asyncio.to_thread(send, node, "ann@ours.example", "bob@ours.example")
                assert both == {}
                report = await until_taken(sink)
                assert sink.taken[0].sender == ""
                assert sink.recipients == [STRANGER]
                assert b"Final-Recipient: rfc822; bob@ours.example" in report
                assert b"Status: 5.2.2" in report
                told = await asyncio.to_thread(refused_at_rcpt, node, "bob@ours.example")
                assert told[0] == 452
                assert told[1].startswith(b"4.2.2")

        asyncio.run(scenario())
        assert node.json("queue", "list") == []
