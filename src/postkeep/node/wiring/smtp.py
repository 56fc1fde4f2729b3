"""What the modules that speak SMTP are built from: links, the directory's view, the pipeline, listeners."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from postkeep.base.clock import SystemClock
from postkeep.base.errors import UnavailableError
from postkeep.faces.smtp.connection import SmtpConnection
from postkeep.faces.smtp.face import Connections
from postkeep.model.audit import EventName
from postkeep.node.context import ModuleContext
from postkeep.services.authority.client import AuthorityClient, OperationTickets
from postkeep.services.delivery.deposit import Depositor
from postkeep.services.delivery.epochs import EpochBook
from postkeep.services.delivery.pipeline import Pipeline
from postkeep.services.delivery.queue_keys import QueueKeyCache
from postkeep.services.directory.view import DirectoryView
from postkeep.services.kms.api import ReleaseSecret, SignedPublicKey
from postkeep.services.kms.client import KmsClient
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault.client import VaultClient
from postkeep.tickets.channel import Link
from postkeep.tickets.follow import follow_feed
from postkeep.tickets.revocations import Revocation, RevocationView

RETRY_SECONDS: Final = 0.1
"""Between two questions to a keeper that is still starting."""

BACKLOG: Final = 1024
"""Connections that wait to be accepted."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a face delivers with."""

    hostname: str
    clock: SystemClock
    authority: AuthorityClient
    vault: VaultClient
    view: DirectoryView
    pipeline: Pipeline
    tls_pem: bytes
    on_revoked: list[Callable[[Revocation], None]]
    """Who is told of each revocation; add to it."""


def hostname_of(context: ModuleContext) -> str:
    """Return the name in greetings and trace fields."""
    return (context.config.node.hostname or socket.getfqdn()).lower()


@contextlib.asynccontextmanager
async def open_delivery(context: ModuleContext) -> AsyncIterator[Delivery]:
    """Connect to the keepers, follow the feed, and build the pipeline; wait until all of them answer."""
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        links = {}
        for keeper in ("authority", "kms", "vault", "ledger"):
            socket_path = context.run_dir / f"{keeper}.sock"
            links[keeper] = Link(context.identity, context.anchors, keeper, socket_path)
            stack.push_async_callback(links[keeper].close)
        trail = Trail(context.instance, links["ledger"], clock)
        trail.start_heartbeat(context.config.ledger.heartbeat_seconds)
        stack.push_async_callback(trail.close)
        authority, vault = AuthorityClient(links["authority"]), VaultClient(links["vault"])
        revocations = RevocationView()
        view = DirectoryView(authority, context.anchors, revocations, lambda key: _note_forged(trail, key))
        stack.push_async_callback(view.close)
        listeners: list[Callable[[Revocation], None]] = []
        heard = asyncio.Event()

        def on_revoked(revocation: Revocation) -> None:
            for listener in listeners:
                listener(revocation)

        def on_directory(version: int) -> None:
            view.changed(version)
            heard.set()

        feed = follow_feed(authority, revocations, on_revoked, on_directory)
        await stack.enter_async_context(running(feed, context.stop))
        tickets = OperationTickets(authority, "deliver", clock)
        stack.push_async_callback(tickets.close)
        depositor = Depositor(vault, tickets)
        stack.push_async_callback(depositor.close)
        kms = KmsClient(links["kms"])
        secret = await answered(lambda: kms.release_secret(ReleaseSecret("tls")), context.stop)
        await either(heard, context.stop)
        pipeline = Pipeline(
            hostname=hostname_of(context),
            book=EpochBook(lambda: context.anchors.directory, clock),
            depositor=depositor,
            queue_keys=QueueKeyCache(authority).get,
            resolve=view.resolve,
            clock=clock,
        )
        yield Delivery(hostname_of(context), clock, authority, vault, view, pipeline, secret.value, listeners)


async def serve(
    context: ModuleContext,
    connections: Connections,
    factories: dict[str, Callable[[], SmtpConnection]],
) -> None:
    """Listen on the sockets named in `factories` until told to stop; then drain."""
    loop = asyncio.get_running_loop()
    servers = []
    for port, factory in factories.items():
        if port in context.sockets:
            servers.append(await loop.create_server(factory, sock=context.sockets[port], backlog=BACKLOG))
    context.ready()
    await context.stop.wait()
    for server in servers:
        server.close()
    await connections.drain()


async def answered(call: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T:
    """Call a keeper until it answers: at the start of a node everything starts at once."""
    while True:
        try:
            return await call()
        except UnavailableError:
            if stop.is_set():
                raise
            await asyncio.sleep(RETRY_SECONDS)


async def either(first: asyncio.Event, second: asyncio.Event) -> None:
    """Wait for one of two events."""
    waiting = [asyncio.create_task(event.wait()) for event in (first, second)]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> AsyncIterator[None]:
    """Run a loop beside the listeners and end it with them; a loop that fails ends the module."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: None if done.cancelled() or not done.exception() else stop.set())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _note_forged(trail: Trail, key: SignedPublicKey) -> None:
    """Put a public key that kms has not signed into the ledger: somebody has changed the directory."""
    trail.note(
        EventName.KEY_REFUSE,
        outcome="refused",
        code="forged_key",
        tenant=key.tenant.hex(),
        principal=key.principal.hex(),
    )
