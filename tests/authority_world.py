"""A running authority over a real channel and a real PostgreSQL, with one company and callers."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postkeep.base.clock import FixedClock
from postkeep.base.ids import NOBODY, new_id
from postkeep.model.audit import EventName
from postkeep.model.warrant import Warrant
from postkeep.services.authority import api
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.authority.enrolment import Enrolments
from postkeep.services.authority.feed import FeedLog
from postkeep.services.authority.passwords import Passwords
from postkeep.services.authority.service import AuthorityService
from postkeep.services.authority.state import AuthorityState
from postkeep.services.kms.api import SignedPublicKey
from postkeep.stores.authority_access import AccessRows
from postkeep.stores.authority_directory import DirectoryRows
from postkeep.stores.authority_requests import GovernanceRows
from postkeep.stores.postgres import Pool, load_migrations, migrate, open_pool
from postkeep.tickets.channel import Link, Server
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.verify import Verifier

PASSWORD = "correct horse battery"
ACCOUNT_KEY = os.urandom(32)


def key_of(tenant: bytes, principal: bytes) -> SignedPublicKey:
    return SignedPublicKey(tenant, principal, 1, os.urandom(1216), os.urandom(64))


@dataclass
class Events:
    """Keeps what would go to the ledger."""

    seen: list[tuple[EventName, dict[str, Any]]] = field(default_factory=list)

    def note(self, event: EventName, personal: object = None, **fields: Any) -> None:
        del personal
        self.seen.append((event, fields))

    async def record(self, event: EventName, personal: object = None, **fields: Any) -> int:
        self.note(event, personal, **fields)
        return len(self.seen)

    def named(self, event: EventName) -> list[dict[str, Any]]:
        return [fields for name, fields in self.seen if name is event]


class Office:
    """A running authority with one company, and callers of several modules."""

    def __init__(self, pool: Pool, run_dir: Path) -> None:
        self.pool = pool
        self.path = run_dir / "authority.sock"
        key = Ed25519PrivateKey.generate()
        self.clock = FixedClock()
        self.mint = Mint(key.sign, self.clock)
        self.anchors = Anchors()
        self.anchors.trust("authority", key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        self.events = Events()
        self.view = RevocationView()
        self.enrolments = Enrolments()
        self.passwords = Passwords()
        self.state = AuthorityState(
            self.mint,
            self.clock,
            FeedLog(self.view),
            self.events,
            DirectoryRows(pool),
            AccessRows(pool),
            GovernanceRows(pool),
        )
        self.identity = self.module("authority")
        self.service = AuthorityService(self.state, self.enrolments, self.passwords, os.getuid())
        self.server = Server(
            self.identity,
            self.anchors,
            "authority",
            self.service.handlers(),
            self.view,
            self.service.on_refusal,
            self.clock,
        )
        self.links: list[Link] = []
        self.tenant = new_id()
        self.steward = self.module("steward")
        self.staff = self.mint.staff(
            "steward", self.steward.instance, self.steward.thumbprint, session=new_id()
        )[1]
        self.admin = self.client(self.steward)
        self.imap_identity = self.module("imap")
        self.imap = self.client(self.imap_identity)

    def destroyer(self, warrant: Warrant) -> bytes:
        """Make a grant for exactly one destruction."""
        return self.mint.grant(
            "steward",
            self.steward.instance,
            self.steward.thumbprint,
            kind="destroy",
            request=new_id(),
            subject=warrant.digest(),
            tenant=warrant.tenant,
            principal=warrant.principal,
        )[1]

    def module(self, name: str, number: int = 1) -> ModuleIdentity:
        identity = ModuleIdentity(name, f"{name}-{number}.test")
        identity.ticket = self.mint.module(name, identity.instance, identity.thumbprint)[1]
        return identity

    def client(self, identity: ModuleIdentity) -> AuthorityClient:
        link = Link(identity, self.anchors, "authority", self.path)
        link._verifier = Verifier(self.anchors, self.clock)
        self.links.append(link)
        return AuthorityClient(link)

    def unlock(self) -> None:
        self.state.unlock(ACCOUNT_KEY, key_of(NOBODY, NOBODY))

    async def start(self) -> None:
        self.state.feed.load(await self.state.access.revocations(), await self.state.directory.version())
        await self.server.serve_unix(self.path)

    async def company(self, domain: str = "example.com") -> None:
        await self.admin.create_tenant(
            api.CreateTenant(self.tenant, domain, "Example", key_of(self.tenant, new_id())), ticket=self.staff
        )

    async def person(self, name: str, password: str | None = PASSWORD) -> bytes:
        principal = new_id()
        await self.admin.create_user(
            api.CreateUser(
                self.tenant,
                principal,
                f"{name}@example.com",
                name.title(),
                password,
                None,
                key_of(self.tenant, principal),
            ),
            ticket=self.staff,
        )
        return principal

    async def group(self, name: str, members: list[str]) -> bytes:
        principal = new_id()
        await self.admin.create_group(
            api.CreateGroup(self.tenant, principal, f"{name}@example.com", name.title(), members),
            ticket=self.staff,
        )
        return principal

    async def sign_in(self, name: str, password: str = PASSWORD, network: str = "192.0.2.1") -> api.SignedIn:
        return await self.imap.sign_in(api.SignIn(f"{name}@example.com", password, network, "imap"))

    async def close(self) -> None:
        for link in self.links:
            await link.close()
        await self.server.close()
        self.passwords.close()


def run(
    dsn: str, run_dir: Path, scenario: Callable[[Office], Awaitable[Any]], *, locked: bool = False
) -> None:
    async def whole() -> None:
        pool = await open_pool(dsn)
        try:
            async with pool.acquire() as connection:
                await migrate(connection, "authority", load_migrations("postkeep.stores.sql.authority"))
            office = Office(pool, run_dir)
            await office.start()
            try:
                if not locked:
                    office.unlock()
                    await office.company()
                await scenario(office)
            finally:
                await office.close()
        finally:
            await pool.close()

    asyncio.run(whole())
