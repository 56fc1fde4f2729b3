"""A relay with the world around it: a server of example.net, and the DNS that says so."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests import dns_server, smtp_sink
from tests.relay_world import RelayWorld, relay_world, running_relay
from tests.smtp_sink import Act, Script, Sink

from postkeep.protocols.smtp.events import Event, Rcpt
from postkeep.protocols.smtp.replies import Reply

MESSAGE = b"From: sender@example.org\r\nSubject: hi\r\n\r\n.hello\r\n"
BUSY = Reply(450, "4.2.0", "busy")
UNKNOWN = Reply(550, "5.1.1", "no such user")
Job = Callable[[RelayWorld], Awaitable[None]]


@pytest.fixture
def run(dsn: str, tmp_path: Path) -> Callable[[Job], None]:
    """Run a test's coroutine in a world of its own."""

    def go(job: Job) -> None:
        async def main() -> None:
            async with relay_world(dsn, tmp_path) as world:
                await job(world)

        uvloop.run(main())

    return go


@asynccontextmanager
async def net(world: RelayWorld, sink: Sink | None, **options: Any) -> AsyncIterator[dns_server.DnsServer]:
    """Run a relay, a sink that is the server of example.net, and the DNS that says so."""
    dns = dns_server.DnsServer(
        {
            ("example.net", "MX"): ["10 mx.example.net."],
            ("mx.example.net", "A"): ["127.0.0.1"],
            **options.pop("records", {}),
        }
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(dns_server.running(dns))
        server = await stack.enter_async_context(smtp_sink.running(sink or Sink()))
        settings: dict[str, Any] = {"resolver": dns.where, "port": server.port} | options
        await stack.enter_async_context(running_relay(world, **settings))
        yield dns


def at(kind: type[Event], act: Act) -> Script:
    """Do something at one step, always."""
    return lambda event: act if isinstance(event, kind) else None


def usual(_event: Event) -> Act | None:
    """Do what servers do."""
    return None


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - of anything that a test may look at
            await asyncio.sleep(0.01)


def to(answers: dict[str, Act]) -> Script:
    """Answer recipients by their local part."""
    return lambda event: answers.get(event.recipient.local) if isinstance(event, Rcpt) else None
