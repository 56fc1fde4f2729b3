"""Builds the vault module: its database, packs and slots, its handlers, its events' way to the ledger."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from postkeep.base.clock import SystemClock
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.node.context import ModuleContext
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.ledger.trail import Trail, refusal_fields
from postkeep.services.vault.notices import Notices
from postkeep.services.vault.service import VaultService, open_stores
from postkeep.tickets.channel import Link, Server
from postkeep.tickets.follow import follow_feed
from postkeep.tickets.revocations import RevocationView


def packs_directory(context: ModuleContext) -> Path:
    """Return where the packs lie: the content category's own place, or the module's state directory."""
    return _place(context, Category.CONTENT) / "packs" / Category.CONTENT.value


def slots_path(context: ModuleContext) -> Path:
    """Return where the wrapped keys lie: the metadata category's own place, or the state directory."""
    return _place(context, Category.METADATA) / "wraps.slots"


def shares_database(context: ModuleContext) -> bool:
    """Say whether other vaults may use the same database: one that the configuration names, not our own."""
    configured = context.config.categories.get(Category.METADATA.value)
    return configured is not None and bool(configured.dsn)


async def run(context: ModuleContext) -> None:
    """Serve the mail until told to stop."""
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        ledger_link = _link(context, "ledger")
        stack.push_async_callback(ledger_link.close)
        trail = Trail(context.instance, ledger_link, clock)
        trail.start_heartbeat(context.config.ledger.heartbeat_seconds)
        stack.push_async_callback(trail.close)
        stores = await stack.enter_async_context(
            open_stores(context.dsn.reveal(), packs_directory(context), slots_path(context))
        )
        vault = VaultService(stores, trail, clock)
        view = RevocationView()
        authority_link = _link(context, "authority")
        stack.push_async_callback(authority_link.close)
        await stack.enter_async_context(
            _background(follow_feed(AuthorityClient(authority_link), view, vault.watching.revoked), context)
        )
        await stack.enter_async_context(_background(vault.outbox.run(), context))
        if shares_database(context):
            notices = Notices(stores.pool, vault.watching)
            await stack.enter_async_context(_background(notices.run(), context))
        server = Server(
            context.identity,
            context.anchors,
            "vault",
            vault.handlers,
            view,
            lambda refusal: trail.note(EventName.ACCESS_REFUSE, **refusal_fields(refusal)),
            clock,
            ledger=trail.check_open,
        )
        stack.push_async_callback(server.close)
        await server.serve_unix(context.run_dir / "vault.sock")
        context.ready()
        await context.stop.wait()


def _place(context: ModuleContext, category: Category) -> Path:
    return context.config.place_of(category.value, context.state_dir)


@contextlib.asynccontextmanager
async def _background(work: Coroutine[Any, Any, None], context: ModuleContext) -> AsyncIterator[None]:
    """Run a loop beside the server and end it with it; a loop that fails ends the module with its error."""
    task = asyncio.create_task(work)
    task.add_done_callback(
        lambda done: None if done.cancelled() or not done.exception() else context.stop.set()
    )
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _link(context: ModuleContext, keeper: str) -> Link:
    return Link(context.identity, context.anchors, keeper, context.run_dir / f"{keeper}.sock")
