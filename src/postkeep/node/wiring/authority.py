"""Builds the authority module: a start key of its own, its database, its handlers; the rest comes from kms.

It is the first keeper that the others need, so it serves enrolment at once, with module tickets signed by a
key that it makes at its start; and everything else when kms has answered with the keys that it keeps.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postkeep.base.clock import SystemClock
from postkeep.base.errors import PostkeepError
from postkeep.base.ids import NOBODY
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.node.context import Expectation, ModuleContext
from postkeep.services.authority.enrolment import Enrolments
from postkeep.services.authority.feed import FeedLog
from postkeep.services.authority.keyring import Keyring
from postkeep.services.authority.passwords import Passwords
from postkeep.services.authority.policy import load_policy
from postkeep.services.authority.service import AuthorityService
from postkeep.services.authority.state import AuthorityState
from postkeep.services.kms.api import CategoryKey, ProvisionPrincipal, ProvisionTenant
from postkeep.services.kms.client import KmsClient
from postkeep.services.ledger.trail import Trail
from postkeep.stores.authority_access import AccessRows
from postkeep.stores.authority_directory import DirectoryRows
from postkeep.stores.authority_requests import GovernanceRows
from postkeep.stores.postgres import Pool, load_migrations, migrate, open_pool
from postkeep.tickets.channel import Link, Server
from postkeep.tickets.identity import thumbprint
from postkeep.tickets.mint import MODULE_SECONDS, Mint
from postkeep.tickets.revocations import RevocationView

UNLOCK_RETRY_SECONDS: Final = 0.05
"""Between questions to kms at the start: it opens its key store in well under a second."""

READY_WAIT_SECONDS_MAX: Final = 30.0
"""Without kms nobody signs in, but modules still renew and follow the feed: that must not wait for ever."""

SWEEP_SECONDS: Final = 60.0
"""Between sweeps of abandoned sessions and old revocations."""

POOL_SIZE_MAX: Final = 6
"""Database connections: sign-ins and resolves side by side."""

_log = structlog.get_logger(__name__)


async def run(context: ModuleContext) -> None:
    """Serve the authority until told to stop."""
    clock = SystemClock()
    key = Ed25519PrivateKey.generate()
    public_key = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    mint = Mint(None, clock, start=key.sign, policy=load_policy())
    context.publish("start", public_key)
    _renew_own_ticket(context, mint)
    async with contextlib.AsyncExitStack() as stack:
        ledger_link = _link(context, "ledger")
        stack.push_async_callback(ledger_link.close)
        trail = Trail(context.instance, ledger_link, clock)
        trail.start_heartbeat(context.config.ledger.heartbeat_seconds)
        stack.push_async_callback(trail.close)
        # The whole key, so that an old ticket can still be checked in an investigation.
        trail.note(
            EventName.AUTHORITY_KEY,
            rule="signs module tickets until kms answers",
            digest=thumbprint(public_key),
            note=public_key.hex(),
        )
        pool = await open_pool(context.dsn.reveal(), size_max=POOL_SIZE_MAX)
        stack.push_async_callback(pool.close)
        view = RevocationView()
        state = await _open_state(pool, mint, clock, trail, FeedLog(view))
        enrolments = Enrolments()
        context.on_expectation(lambda expectation: _expect(enrolments, expectation))
        context.on_departure(enrolments.forget)
        passwords = Passwords()
        stack.callback(passwords.close)
        service = AuthorityService(state, enrolments, passwords, context.data_dir.stat().st_uid)
        stack.push_async_callback(service.close)
        server = Server(
            context.identity,
            context.anchors,
            "authority",
            service.handlers(),
            view,
            service.on_refusal,
            clock,
        )
        stack.push_async_callback(server.close)
        unlocked = asyncio.Event()
        kms_link = _link(context, "kms")
        stack.push_async_callback(kms_link.close)
        kms = KmsClient(kms_link)
        state.persons.use(kms)
        keyring = Keyring(
            kms,
            mint,
            context.publish,
            context.retire,
            lambda event, fields: trail.note(event, **fields),
            clock,
        )
        for work in (
            _keep_own_ticket(context, mint),
            _unlock(context, state, kms, keyring, unlocked),
            _keep_ticket_key(keyring, unlocked, context.config.keys.ticket_days),
            _sweep(service),
        ):
            await stack.enter_async_context(_background(work))
        await server.serve_unix(context.run_dir / "authority.sock")
        await _first_of(unlocked, context.stop)
        context.ready()
        await context.stop.wait()


async def _open_state(
    pool: Pool, mint: Mint, clock: SystemClock, trail: Trail, feed: FeedLog
) -> AuthorityState:
    async with pool.acquire() as connection:
        await migrate(connection, "authority", load_migrations("postkeep.stores.sql.authority"))
    directory, access = DirectoryRows(pool), AccessRows(pool)
    feed.load(await access.revocations(), await directory.version())
    return AuthorityState(mint, clock, feed, trail, directory, access, GovernanceRows(pool))


async def _first_of(unlocked: asyncio.Event, stop: asyncio.Event) -> None:
    """Wait until sign-ins are possible, as a node that is ready must; without kms it goes on anyway."""
    waits = [asyncio.ensure_future(event.wait()) for event in (unlocked, stop)]
    await asyncio.wait(waits, timeout=READY_WAIT_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def _unlock(
    context: ModuleContext, state: AuthorityState, kms: KmsClient, keyring: Keyring, unlocked: asyncio.Event
) -> None:
    """Ask kms for the ticket keys and the account key until it answers."""
    while True:
        try:
            await keyring.fetch()
            await kms.provision_tenant(ProvisionTenant(NOBODY))
            queue_key = await kms.provision_principal(ProvisionPrincipal(NOBODY, NOBODY, queue=True))
            released = await kms.category_key(CategoryKey(NOBODY, Category.ACCOUNT))
        except PostkeepError as error:
            _log.debug("account_key_awaited", code=error.code)
            await asyncio.sleep(UNLOCK_RETRY_SECONDS)
        else:
            state.use_keyring(keyring)
            state.unlock(released.key, queue_key)
            _renew_own_ticket(context, state.mint)
            unlocked.set()
            return


async def _keep_ticket_key(keyring: Keyring, unlocked: asyncio.Event, days_max: float) -> None:
    await unlocked.wait()
    await keyring.keep(days_max)


async def _sweep(service: AuthorityService) -> None:
    while True:
        try:
            await service.sessions.sweep()
        except PostkeepError as error:
            _log.warning("sweep_failed", code=error.code)
        await asyncio.sleep(SWEEP_SECONDS)


def _renew_own_ticket(context: ModuleContext, mint: Mint) -> None:
    """Vouch for ourselves: a module like the others, and the only one that can."""
    identity = context.identity
    identity.ticket = mint.module(identity.module, identity.instance, identity.thumbprint)[1]


async def _keep_own_ticket(context: ModuleContext, mint: Mint) -> None:
    while True:
        await asyncio.sleep(MODULE_SECONDS / 2)
        _renew_own_ticket(context, mint)


def _expect(enrolments: Enrolments, expectation: Expectation) -> None:
    enrolments.expect(
        expectation.module,
        expectation.instance,
        expectation.secret_digest,
        expectation.uid,
        expectation.pid,
    )


@contextlib.asynccontextmanager
async def _background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a loop beside the server, and end it with it."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _link(context: ModuleContext, keeper: str) -> Link:
    return Link(context.identity, context.anchors, keeper, context.run_dir / f"{keeper}.sock")
