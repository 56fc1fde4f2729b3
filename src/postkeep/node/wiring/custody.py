"""Builds the custody process: the way to customers' keys, for kms alone."""

import asyncio
import contextlib

from postkeep.base.clock import SystemClock
from postkeep.model.audit import EventName
from postkeep.node.context import ModuleContext
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.custody.service import CustodyService
from postkeep.services.ledger.trail import Trail, refusal_fields
from postkeep.tickets.channel import Link, Server
from postkeep.tickets.follow import follow_feed
from postkeep.tickets.revocations import RevocationView


async def run(context: ModuleContext) -> None:
    """Serve kms until told to stop."""
    clock = SystemClock()
    links = {
        keeper: Link(context.identity, context.anchors, keeper, context.run_dir / f"{keeper}.sock")
        for keeper in ("authority", "ledger")
    }
    trail = Trail(context.instance, links["ledger"], clock)
    settings = context.config.custody
    view = RevocationView()
    server = Server(
        context.identity,
        context.anchors,
        "custody",
        CustodyService(settings.transit, settings.modules).handlers(),
        view,
        lambda refusal: trail.note(EventName.ACCESS_REFUSE, **refusal_fields(refusal)),
        clock,
    )
    feed = asyncio.create_task(follow_feed(AuthorityClient(links["authority"]), view), name="feed")
    try:
        await server.serve_unix(context.run_dir / "custody.sock")
        context.ready()
        await context.stop.wait()
    finally:
        await server.close()
        feed.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await feed
        await trail.close()
        for link in links.values():
            await link.close()
