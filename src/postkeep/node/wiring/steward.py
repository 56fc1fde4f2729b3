"""Builds the steward: the operator's control socket, and upkeep of the vault on a timer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from postkeep.base.clock import SystemClock
from postkeep.model.audit import EventName
from postkeep.node.context import ModuleContext
from postkeep.services.authority.client import AuthorityClient, OperationTickets
from postkeep.services.backup.client import BackupClient
from postkeep.services.kms.client import KmsClient
from postkeep.services.kms.rotation_client import RotationClient
from postkeep.services.ledger.client import LedgerClient
from postkeep.services.ledger.trail import Trail, refusal_fields
from postkeep.services.steward.acts import Keepers
from postkeep.services.steward.approvals import Approvals
from postkeep.services.steward.ceilings import CeilingDesk
from postkeep.services.steward.control import Control
from postkeep.services.steward.custody import CustodyDesk
from postkeep.services.steward.desk import handlers
from postkeep.services.steward.explaining import ExplainDesk
from postkeep.services.steward.exports import ExportDesk
from postkeep.services.steward.holds import HoldDesk
from postkeep.services.steward.media_desk import MediaDesk
from postkeep.services.steward.orders import Orders
from postkeep.services.steward.orders_desk import OrderDesk
from postkeep.services.steward.pending import Pending
from postkeep.services.steward.resealing import Resealing
from postkeep.services.steward.restored import RestoredDesk
from postkeep.services.steward.rotation import RotationDesk
from postkeep.services.steward.rounds import make_rounds
from postkeep.services.steward.service import StewardService
from postkeep.services.steward.shared_mailboxes import SharedMailboxDesk
from postkeep.services.steward.ticket_keys import TicketKeyDesk
from postkeep.services.steward.tokens import TokenDesk
from postkeep.services.steward.witness_http import WitnessHttp
from postkeep.services.steward.witnesses import Witnesses, peer_of
from postkeep.services.vault.client import VaultClient
from postkeep.stores.postgres import Pool, load_migrations, migrate, open_pool
from postkeep.stores.steward_media import MediaRows
from postkeep.stores.steward_orders import MIGRATIONS, OrderRows
from postkeep.tickets.channel import Link, Server
from postkeep.tickets.follow import follow_feed
from postkeep.tickets.revocations import RevocationView


async def run(context: ModuleContext) -> None:
    """Serve the operator until told to stop."""
    async with _database(context) as pool:
        await _serve(context, OrderRows(pool), MediaRows(pool))


async def _serve(context: ModuleContext, rows: OrderRows, media_rows: MediaRows) -> None:
    links = {
        keeper: Link(context.identity, context.anchors, keeper, context.run_dir / f"{keeper}.sock")
        for keeper in ("authority", "kms", "vault", "ledger", "backup")
    }
    clock = SystemClock()
    authority = AuthorityClient(links["authority"])
    vault = VaultClient(links["vault"])
    ledger = LedgerClient(links["ledger"])
    trail = Trail(context.instance, links["ledger"], clock)
    trail.start_heartbeat(context.config.ledger.heartbeat_seconds)
    kms = KmsClient(links["kms"])
    orders = Orders(
        Keepers(authority, kms, vault, ledger, BackupClient(links["backup"])),
        Approvals(authority),
        rows,
        search=context.search,
        state=context.state_dir,
        trail=trail,
        clock=clock,
    )
    control = Control(authority, kms, vault, trail, Pending(context.state_dir / "pending"), orders)
    rotation = RotationClient(links["kms"])
    resealing = Resealing(authority, rotation, vault, clock, context.config.keys.principal_days)
    maintain = OperationTickets(authority, "maintain")
    context.on_database_refusal(lambda name: _note_database(trail, name))
    tickets = OperationTickets(authority, "witness")
    witnesses = Witnesses(
        [peer_of(witness.url, witness.keys) for witness in context.config.ledger.witnesses],
        ledger=ledger,
        tickets=tickets,
        sender=WitnessHttp(),
        trail=trail,
        clock=clock,
        directory=context.state_dir,
    )
    view = RevocationView()
    server = Server(
        context.identity,
        context.anchors,
        "steward",
        handlers(
            (
                StewardService(control, authority, vault, ledger),
                TicketKeyDesk(control, authority),
                TokenDesk(control, authority),
                SharedMailboxDesk(control, authority, kms, vault),
                ExplainDesk(ledger),
                RotationDesk(control, authority, rotation, resealing),
                CeilingDesk(control, rotation),
                witnesses,
                OrderDesk(control, orders, authority, vault, rows, clock),
                ExportDesk(control, authority, vault),
                HoldDesk(control, orders, authority, kms, vault, rows, trail, clock),
                MediaDesk(media_rows, trail, clock, KmsClient(links["kms"]), maintain, rows.certificate),
                CustodyDesk(control, authority, Approvals(authority), kms),
                RestoredDesk(control, Approvals(authority), kms),
            )
        ),
        view,
        lambda refusal: trail.note(EventName.ACCESS_REFUSE, **refusal_fields(refusal)),
        clock,
    )
    tasks = [
        asyncio.create_task(follow_feed(authority, view), name="feed"),
        asyncio.create_task(make_rounds(authority, vault), name="rounds"),
        asyncio.create_task(resealing.run(), name="resealing"),
        asyncio.create_task(witnesses.run(), name="witnesses"),
        asyncio.create_task(orders.work(), name="orders"),
        asyncio.create_task(orders.watch(), name="approvals"),
    ]
    try:
        await server.serve_unix(context.run_dir / "steward.sock")
        context.ready()
        await context.stop.wait()
    finally:
        await server.close()
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await maintain.close()
        await tickets.close()
        await trail.close()
        for link in links.values():
            await link.close()


@contextlib.asynccontextmanager
async def _database(context: ModuleContext) -> AsyncIterator[Pool]:
    pool = await open_pool(context.dsn.reveal())
    try:
        async with pool.acquire() as connection:
            await migrate(connection, "steward", load_migrations(MIGRATIONS))
        yield pool
    finally:
        await pool.close()


def _note_database(trail: Trail, name: str) -> None:
    trail.note(
        EventName.ACCESS_REFUSE, outcome="refused", code="refused.database", method="database", note=name
    )
