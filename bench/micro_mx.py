"""CPU of one mx process per message, stage by stage: `python bench/micro_mx.py [octets] [messages]`.

The vault and the directory are stand-ins that answer at once, so that what is measured is the face alone:
core, socket, stages, sealing, batching, encoding of the batch. The client runs in a process of its own.
"""

import asyncio
import multiprocessing
import resource
import ssl
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import uvloop
from tests.delivery_world import World
from tests.tls_material import PEM, client_context

from postkeep.base.address import parse_address
from postkeep.base.ids import new_id
from postkeep.faces.mx.connection import MxConnection
from postkeep.faces.smtp.face import Connections, FaceSettings
from postkeep.faces.tls import server_context
from postkeep.model.categories import Label
from postkeep.node.config import LogConfig
from postkeep.node.logs import configure
from postkeep.protocols.smtp.parameters import MailParameters
from postkeep.protocols.smtp.server import ServerSettings
from postkeep.services.delivery.classify import classify
from postkeep.services.delivery.decide import decide
from postkeep.services.delivery.envelope import Envelope, EnvelopeRecipient, Origin
from postkeep.services.delivery.findings import examine
from postkeep.services.delivery.received import receive
from postkeep.services.delivery.seal import Target, place, seal_parts
from postkeep.services.delivery.summary import encode, summarize
from postkeep.services.smtpclient import RecipientParams, SmtpClient
from postkeep.services.vault.api import DepositBatch, DepositResult, DepositResults, Placed, Submit

CONNECTION_MESSAGES = 100
LINE = b"The quick brown fox jumps over the lazy dog and runs away from it.\r\n"
HEADER = (
    b"Received: from a.example (a.example [192.0.2.1]) by b.example with ESMTP id 1;\r\n"
    b"\tThu, 1 Jan 2026 00:00:00 +0000\r\nFrom: Alice <alice@example.com>\r\nTo: Ann <ann@acme.example>\r\n"
    b"Subject: =?utf-8?q?a_subject?= of some words\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    b"Message-ID: <1234@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
)
SETTINGS = FaceSettings(
    ServerSettings("mx.example.org", 50 * 1024 * 1024, 1000, starttls=True), server_context(PEM)
)


class Sink(World):
    """A vault that encodes what it is sent, as the channel would, and forgets it."""

    async def deposit(self, request: DepositBatch | Submit, *, ticket: bytes) -> DepositResults:  # noqa: ARG002
        msgspec.msgpack.encode(request)
        self.calls.append(len(request.deposits))
        await asyncio.sleep(0.002)
        placed = Placed(new_id(), 1, 1, 1)
        return DepositResults([DepositResult([placed] * len(item.placements)) for item in request.deposits])


def message_of(octets: int) -> bytes:
    return HEADER + LINE * ((octets - len(HEADER)) // len(LINE))


def clock(name: str, work, messages: int) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    start = time.process_time()
    for _ in range(messages):
        work()
    print(f"  {name:28} {(time.process_time() - start) / messages * 1e6:8.1f} us")


def stages(message: bytes, messages: int) -> None:
    world = World()
    ann = world.person("ann@acme.example", new_id())
    address = parse_address("ann@acme.example")
    envelope = Envelope(
        "1" * 32,
        Origin("client.example.com", "192.0.2.7", extended=True),
        parse_address("alice@example.com"),
        MailParameters(),
        (EnvelopeRecipient(address, world.routes["ann@acme.example"]),),
    )
    received = receive(envelope, message, "mx.example.org", 0)
    whole = received.delivered
    parts = seal_parts(ann.key.tenant, whole)
    book = world.book()
    print(f"stages, message of {len(message)} octets:")
    clock("receive", lambda: receive(envelope, message, "mx.example.org", 0), messages)
    clock("examine, decide, classify", lambda: (decide(examine(received)), classify(received)), messages)
    clock("summarise and encode", lambda: encode(summarize(whole)), messages)
    clock("seal (with summary)", lambda: seal_parts(ann.key.tenant, whole), messages)
    clock(
        "wrap (with new epochs)", lambda: place(parts, [Target(ann.key)], book, Label.INTERNAL, 1), messages
    )


def load(port: int, connections: int, messages: int, message: bytes, tls: str) -> None:
    async def one(count: int) -> None:
        context = client_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the server made its own
        to = [RecipientParams(parse_address("ann@acme.example"))]
        for first in range(0, count, CONNECTION_MESSAGES):
            client = await SmtpClient.connect(
                "127.0.0.1", port, hello_name="c.example", tls=tls, ssl_context=context
            )
            client.extensions.pop("CHUNKING")
            for _ in range(min(CONNECTION_MESSAGES, count - first)):
                (reply,) = await client.send(parse_address("alice@example.com"), to, message)
                assert reply.delivered
            await client.quit()

    async def everyone() -> None:
        await asyncio.gather(*[one(messages // connections) for _ in range(connections)])

    uvloop.run(everyone())


async def face(message: bytes, messages: int, connections: int, tls: str) -> None:
    world = Sink()
    world.person("ann@acme.example", new_id())
    live = Connections(connections_max=1000)
    pipeline = world.pipeline()
    settings = replace(SETTINGS)
    server = await asyncio.get_running_loop().create_server(
        lambda: MxConnection(settings, live, world, pipeline), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(
        target=load, args=(port, connections, messages, message, tls)
    )
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.monotonic()
    process.start()
    while process.is_alive():  # noqa: ASYNC110 - a process has no event
        await asyncio.sleep(0.05)
    elapsed = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    server.close()
    live.timers.close()
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    print(
        f"  {connections:3} connections, tls {tls:8}: {(user + system) / messages * 1e6:7.1f} us/message "
        f"(user {user / messages * 1e6:.0f}, system {system / messages * 1e6:.0f}), "
        f"{messages / elapsed:6.0f}/s with start, mean batch {messages / max(1, len(world.calls)):.1f}"
    )


def main() -> None:
    octets = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    messages = int(sys.argv[2]) if len(sys.argv) > 2 else 4000
    message = message_of(octets)
    sys.stderr = Path("/dev/null").open("w")  # noqa: SIM115 - logs cost what they cost, but are not shown
    configure(LogConfig(format="json"), "mx", "mx-bench")
    stages(message, messages)
    print("the whole face, CPU of its process:")
    for connections, tls in ((1, "none"), (20, "none"), (20, "required"), (100, "none")):
        uvloop.run(face(message, messages, connections, tls))


if __name__ == "__main__":
    main()
