"""A relay that is killed in the middle of an attempt costs no more than the time of one claim."""

import asyncio
import os
import signal
import smtplib
import ssl
import time

import pytest
from tests.node_process import Node, free_base_port, new_node
from tests.smtp_sink import Act, Sink, running

from postkeep.node.config import RelayConfig
from postkeep.protocols.smtp.events import Content, Event

pytestmark = pytest.mark.e2e

ANN, PASSWORD = "ann@ours.example", "correct horse battery"
LEASE_SECONDS = 3
RESTART_SECONDS = 5.0


def submit(node: Node) -> None:
    context = ssl.create_default_context(cafile=node.ca)
    with smtplib.SMTP_SSL("localhost", node.ports["submissions"], timeout=20, context=context) as client:
        client.login(ANN, PASSWORD)
        client.sendmail(ANN, ["x@far.example"], f"From: {ANN}\r\nSubject: out\r\n\r\nhello\r\n".encode())


def hang_at_content(event: Event) -> Act | None:
    return "hang" if isinstance(event, Content) else None


async def until(sink: Sink, *, sessions: int = 0, taken: int = 0, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while sink.sessions < sessions or len(sink.taken) < taken:  # noqa: ASYNC110 - the sink is no event
            await asyncio.sleep(0.02)


def test_mail_that_a_killed_relay_held_goes_out_when_its_short_claim_has_ended() -> None:
    assert RelayConfig().lease_seconds <= 30
    port = free_base_port()
    config = (
        f'[relay]\nsmarthost = "127.0.0.1:{port}"\nallow_private_addresses = true\n'
        f"lease_seconds = {LEASE_SECONDS}\n"
    )
    with new_node(config=config) as node:
        node.tenant("ours.example")
        node.user(ANN, PASSWORD)

        async def scenario() -> None:
            async with running(Sink(hang_at_content, port=port)) as sink:
                await asyncio.to_thread(submit, node)
                await until(sink, sessions=1)
                await asyncio.sleep(2 * LEASE_SECONDS)
                assert sink.sessions == 1, "an item that is worked on was given away"
                sink.script = lambda _event: None
                relay = node.processes()["relay-0"]
                killed = time.monotonic()
                os.kill(relay, signal.SIGKILL)
                await until(sink, taken=1)
                assert time.monotonic() - killed < LEASE_SECONDS + RESTART_SECONDS
                await asyncio.sleep(1)
                assert len(sink.taken) == 1

        asyncio.run(scenario())
        assert node.json("queue", "list") == []
