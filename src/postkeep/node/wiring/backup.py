"""Builds the backup worker: its socket for commands, its target, and what it does by itself."""

import asyncio
import contextlib
from importlib import metadata
from typing import Final

from postkeep.base.clock import SystemClock
from postkeep.model.audit import EventName
from postkeep.node.context import ModuleContext
from postkeep.node.restored import RESTORED_NAME, take_restored
from postkeep.node.toml import portable_config
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.backup.creating import Place
from postkeep.services.backup.keepers import Keepers
from postkeep.services.backup.service import BackupService, Schedule
from postkeep.services.backup.tombstones import Tombstones
from postkeep.services.backup.wal import WalSpool
from postkeep.services.ledger.trail import Trail, refusal_fields
from postkeep.stores.backup_target import open_target
from postkeep.tickets.channel import Link, Server
from postkeep.tickets.follow import follow_feed
from postkeep.tickets.revocations import RevocationView

_KEEPERS: Final = ("authority", "kms", "vault", "ledger")


async def run(context: ModuleContext) -> None:
    """Serve commands and follow the schedule until told to stop."""
    clock = SystemClock()
    links = {
        keeper: Link(context.identity, context.anchors, keeper, context.run_dir / f"{keeper}.sock")
        for keeper in _KEEPERS
    }
    trail = Trail(context.instance, links["ledger"], clock)
    trail.start_heartbeat(context.config.ledger.heartbeat_seconds)
    settings = context.config.backup
    schedule = Schedule(settings.every_seconds, settings.keep, settings.tombstone_seconds)
    service = BackupService(_place(context, links, clock), schedule, trail, clock)
    view = RevocationView()
    server = Server(
        context.identity,
        context.anchors,
        "backup",
        service.handlers(),
        view,
        lambda refusal: trail.note(EventName.ACCESS_REFUSE, **refusal_fields(refusal)),
        clock,
    )
    tasks = [
        asyncio.create_task(follow_feed(AuthorityClient(links["authority"]), view), name="feed"),
        asyncio.create_task(service.run(), name="schedule"),
    ]
    try:
        await _tell_restored(context, trail)
        await server.serve_unix(context.run_dir / "backup.sock")
        context.ready()
        await context.stop.wait()
    finally:
        await server.close()
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await service.close()
        await trail.close()
        for link in links.values():
            await link.close()


def _place(context: ModuleContext, links: dict[str, Link], clock: SystemClock) -> Place | None:
    settings = context.config.backup
    if not settings.target or context.ask_database is None:
        return None
    target = open_target(
        settings.target,
        endpoint=settings.endpoint,
        region=settings.region,
        credentials=context.credentials.reveal(),
    )
    keepers = Keepers(links, clock)
    return Place(
        keepers=keepers,
        target=target,
        spool=WalSpool(context.data_dir / "postgres-log", target),
        tombstones=Tombstones(keepers, target, clock),
        ask_database=context.ask_database,
        config=portable_config(context.config),
        program=metadata.version("postkeep"),
        clock=clock,
    )


async def _tell_restored(context: ModuleContext, trail: Trail) -> None:
    """Have it in the ledger that this node was restored, once, before it does anything else."""
    path = context.state_dir / RESTORED_NAME
    restored = take_restored(path)
    if restored is not None:
        note = f"{restored.backup} to {restored.point} tombstones {restored.tombstone}"
        if restored.rotated:
            note += " to the root key of today"
        await trail.record(
            EventName.BACKUP_RESTORE,
            note=note,
            count=restored.shredded,
            code="" if restored.complete else "tombstones_missing",
        )
        path.unlink()
