"""Builds the imap module: links to the keepers, TLS from kms, the listener."""

import contextlib

import msgspec

from postkeep.base.clock import SystemClock
from postkeep.faces.imap.keepers import Keepers
from postkeep.faces.imap.limits import ConnectionLimits
from postkeep.faces.imap.server import ImapServer
from postkeep.faces.tls import server_context
from postkeep.node.context import ModuleContext
from postkeep.node.wiring.patience import patiently
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.kms.api import ReleaseSecret
from postkeep.services.kms.client import KmsClient
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault.client import VaultClient
from postkeep.tickets.channel import Link


async def run(context: ModuleContext) -> None:
    """Serve IMAP until told to stop."""
    async with contextlib.AsyncExitStack() as stack:
        links = {}
        for keeper in ("authority", "vault", "kms", "ledger"):
            links[keeper] = Link(
                context.identity, context.anchors, keeper, context.run_dir / f"{keeper}.sock"
            )
            stack.push_async_callback(links[keeper].close)
        # What IMAP does is told by the keepers; it tells of itself only that it lives.
        trail = Trail(context.instance, links["ledger"], SystemClock())
        stack.push_async_callback(trail.close)
        trail.start_heartbeat(context.config.ledger.heartbeat_seconds)
        keepers = Keepers(
            AuthorityClient(links["authority"]),
            VaultClient(links["vault"]),
            KmsClient(links["kms"]),
            context.anchors,
            SystemClock(),
        )
        secret = await patiently(lambda: keepers.kms.release_secret(ReleaseSecret("tls")))
        limits = ConnectionLimits(*msgspec.structs.astuple(context.config.imap))
        server = ImapServer(keepers, server_context(secret.value), limits)
        stack.push_async_callback(server.close)
        await server.serve(imap=context.sockets.get("imap"), imaps=context.sockets.get("imaps"))
        context.ready()
        await context.stop.wait()
