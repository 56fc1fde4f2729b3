"""Builds the kms module: its database, the unsealed hierarchy, its handlers, its watch over the ledger."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, Final

import structlog

from postkeep.base.clock import SystemClock
from postkeep.base.errors import PostkeepError
from postkeep.model.categories import Category
from postkeep.node.context import ModuleContext
from postkeep.node.supervisor.plan import needs_custody
from postkeep.node.wiring.patience import patiently
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.authority.governance_api import DualControl
from postkeep.services.custody.client import CustodyClient
from postkeep.services.kms.backing import Terms
from postkeep.services.kms.ceilings import CeilingLimits, Thresholds
from postkeep.services.kms.opening import OpenKms, open_kms
from postkeep.services.kms.pkcs11 import TokenPlace
from postkeep.services.kms.root_change import RootSeals
from postkeep.services.ledger.client import LedgerClient
from postkeep.services.ledger.trail import Trail
from postkeep.stores.postgres import load_migrations, migrate, open_pool
from postkeep.tickets.channel import Link, Server
from postkeep.tickets.follow import follow_feed
from postkeep.tickets.revocations import RevocationView

POLICY_WAIT_SECONDS_MAX: Final = 30.0
"""How long a held key store keeps the module from being ready: as long as the authority waits for kms."""

_log = structlog.get_logger(__name__)


def slots_directory(context: ModuleContext) -> Path:
    """Return where the slots lie: the secret category's own place, or the module's state directory."""
    return context.config.place_of(Category.SECRET, context.state_dir)


async def run(context: ModuleContext) -> None:
    """Serve the keys until told to stop."""
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        ledger_link = _link(context, "ledger")
        stack.push_async_callback(ledger_link.close)
        trail = Trail(context.instance, ledger_link, clock)
        trail.start_heartbeat(context.config.ledger.heartbeat_seconds)
        stack.push_async_callback(trail.close)
        kms = await stack.enter_async_context(_opened(context, ledger_link, trail, clock))
        await _compare_with_ledger(kms, LedgerClient(ledger_link))
        context.publish("directory", kms.signing.directory.public_key)
        context.publish("ledger", kms.signing.ledger.public_key)
        context.publish("ledger-mldsa44", kms.signing.ledger.mldsa44_key)
        context.publish("certificate", kms.certificates.public)
        context.publish("ca", kms.tls.ca_pem)
        view = RevocationView()
        authority_link = _link(context, "authority")
        stack.push_async_callback(authority_link.close)
        feed = follow_feed(AuthorityClient(authority_link), view)
        await stack.enter_async_context(_background(feed, context.stop))
        await _look_at_the_ledger(kms)
        await stack.enter_async_context(_background(kms.checkpointer.run(), context.stop))
        await stack.enter_async_context(_background(_rotate(kms), context.stop))
        await stack.enter_async_context(_background(kms.custody_desk.run(), context.stop))
        server = Server(
            context.identity,
            context.anchors,
            "kms",
            kms.service.handlers(),
            view,
            kms.service.on_refusal,
            clock,
            ledger=trail.check_open,
        )
        stack.push_async_callback(server.close)
        await server.serve_unix(context.run_dir / "kms.sock")
        passing = asyncio.create_task(_pass_by_policy(kms, AuthorityClient(authority_link)))
        stack.push_async_callback(_end, passing)
        await _first_of(passing, context.stop)
        if kms.restoration.store is not None:
            context.withhold("restored")
        elif kms.checkpointer.alarm:
            context.withhold("ledger")
        context.ready()
        await context.stop.wait()


async def _compare_with_ledger(kms: OpenKms, ledger: LedgerClient) -> None:
    """End the start if the ledger knows of a later key store than this one, unless the operator means it:
    then it is held."""
    known = await patiently(ledger.last_key_state)
    await patiently(lambda: kms.restoration.begin(known))


async def _look_at_the_ledger(kms: OpenKms) -> None:
    """Compare the ledger with what was signed of it before any key is given."""
    try:
        await kms.checkpointer.step()
    except PostkeepError as error:
        _log.info("checkpoint_delayed", code=error.code, detail=error.detail)


async def _pass_by_policy(kms: OpenKms, authority: AuthorityClient) -> None:
    """Have a held key store accepted at once where dual control is off; the authority says so when it can."""

    async def dual_control() -> bool:
        return (await authority.dual_control(DualControl())).on

    await patiently(lambda: kms.restoration.pass_by_policy(dual_control))


async def _rotate(kms: OpenKms) -> None:
    """Rotate keys in the background, and destroy old ones: not of a store that may not be the right one."""
    await kms.restoration.released()
    await kms.rotations.run()


async def _first_of(work: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Wait until the policy is known, as keys are given from then on; without the authority go on anyway."""
    stopping = asyncio.ensure_future(stop.wait())
    done, _ = await asyncio.wait(
        {work, stopping}, timeout=POLICY_WAIT_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED
    )
    stopping.cancel()
    if work in done:
        await work


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.asynccontextmanager
async def _opened(
    context: ModuleContext, ledger_link: Link, trail: Trail, clock: SystemClock
) -> AsyncIterator[OpenKms]:
    pool = await open_pool(context.dsn.reveal())
    try:
        async with pool.acquire() as connection:
            await migrate(connection, "kms", load_migrations("postkeep.stores.sql.kms"))
        config = context.config
        token = config.keys.pkcs11
        place = TokenPlace(token.module, token.token, token.key_label)
        seals = RootSeals(context.state_dir, place, config.keys.root)
        custody = CustodyClient(_link(context, "custody")) if needs_custody(config) else None
        kms = await open_kms(
            pool=pool,
            seals=seals,
            held=context.root_secrets,
            hold=context.hold_root_secret,
            slots_dir=slots_directory(context),
            state_dir=context.state_dir,
            hostname=config.node.hostname or socket.getfqdn(),
            own_tls=(config.tls.certificate, config.tls.key),
            ledger=LedgerClient(ledger_link),
            trail=trail,
            clock=clock,
            retire_seconds=config.keys.retire_seconds,
            limits=CeilingLimits(
                Thresholds(config.keys.ceilings.principal_alarm, config.keys.ceilings.principal_stop),
                Thresholds(config.keys.ceilings.module_alarm, config.keys.ceilings.module_stop),
            ),
            custody_process=custody,
            lease_seconds=config.custody.lease_seconds,
            backup_terms=Terms(config.backup.key_use_seconds, config.backup.key_life_seconds),
        )
        try:
            yield kms
        finally:
            kms.close()
    finally:
        await pool.close()


@contextlib.asynccontextmanager
async def _background(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> AsyncIterator[None]:
    """Run a loop beside the server and end it with it; a loop that fails ends the module with its error."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: None if done.cancelled() or not done.exception() else stop.set())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _link(context: ModuleContext, keeper: str) -> Link:
    return Link(context.identity, context.anchors, keeper, context.run_dir / f"{keeper}.sock")
