"""Ledgers to look at: real logs in a directory, checkpoints by a key, a real channel to a service."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postkeep.base.clock import FixedClock, SystemClock
from postkeep.base.ids import new_id
from postkeep.crypto import note
from postkeep.model.audit import AuditEvent, EventName
from postkeep.services.ledger.journal import Journal
from postkeep.services.ledger.service import LedgerService
from postkeep.services.ledger.tenants import TenantBook
from postkeep.stores.ledger_log import LedgerLog
from postkeep.tickets.channel import Link, Refusal, Server
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.revocations import RevocationView

ORIGIN = "mail.example.com/ledger/test"
KEY = Ed25519PrivateKey.from_private_bytes(b"ledger key for tests, 32 octets.")
PUBLIC_KEY = KEY.public_key().public_bytes_raw()


def events(count: int, *, first: int = 1, source: str = "imap-1.aa") -> list[AuditEvent]:
    return [
        AuditEvent(EventName.READ, 1_800_000_000_000 + n, source, n, tenant="7f" * 16, count=n)
        for n in range(first, first + count)
    ]


def signed(size: int, root: bytes, *, origin: str = ORIGIN, key: Ed25519PrivateKey = KEY) -> bytes:
    text = note.format_checkpoint(note.Checkpoint(origin, size, root))
    return note.sign_note(text, origin, key.public_key().public_bytes_raw(), key.sign)


async def write_log(directory: Path, sizes: Sequence[int], *, tail: int = 0) -> list[bytes]:
    """Make a log with a checkpoint at each size, then `tail` entries more; return the checkpoints."""
    log = LedgerLog(directory)
    journal = Journal(log, "ledger-1.zz", FixedClock())
    await journal.open()
    notes = []
    for size in sizes:
        await journal.append("imap-1.aa", events(size - log.size, first=log.size + 1))
        checkpoint = note.Checkpoint(ORIGIN, size, await journal.run(log.root, size))
        notes.append(signed(size, checkpoint.root))
        await journal.run(log.publish, checkpoint, notes[-1])
    if tail:
        await journal.append("imap-1.aa", events(tail, first=log.size + 1))
    await journal.close()
    return notes


class World:
    """A ledger on a real channel, and links of module instances to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.anchors = Anchors()
        self.anchors.trust("ledger", PUBLIC_KEY)
        self.refusals: list[Refusal] = []
        self._authority = Ed25519PrivateKey.generate()
        self.anchors.trust("authority", self._authority.public_key().public_bytes_raw())
        self._mint = Mint(self._authority.sign)
        self._links: list[Link] = []

    def identity(self, module: str, instance: str) -> ModuleIdentity:
        identity = ModuleIdentity(module, instance)
        identity.ticket = self._mint.module(module, instance, identity.thumbprint)[1]
        return identity

    def link(self, module: str, instance: str) -> Link:
        path = self.directory / "ledger.sock"
        link = Link(self.identity(module, instance), self.anchors, "ledger", path)
        self._links.append(link)
        return link

    def staff_link(self, module: str, instance: str) -> tuple[Link, bytes]:
        """Return a module's link and an operator's ticket that it holds."""
        me = self.identity(module, instance)
        link = Link(me, self.anchors, "ledger", self.directory / "ledger.sock")
        self._links.append(link)
        return link, self._mint.staff(module, instance, me.thumbprint, session=new_id())[1]

    async def start(self) -> None:
        self.log = LedgerLog(self.directory / "ledger")
        self.journal = Journal(self.log, "ledger-1.zz", SystemClock())
        await self.journal.open()
        self.tenants = TenantBook(self.directory / "ledger", self.log, self.journal)
        await self.tenants.open()
        service = LedgerService(self.log, self.journal, ORIGIN, self.anchors, self.tenants)
        identity = self.identity("ledger", "ledger-1.zz")
        self.server = Server(
            identity,
            self.anchors,
            "ledger",
            service.handlers(),
            RevocationView(),
            self.refusals.append,
        )
        await self.server.serve_unix(self.directory / "ledger.sock")

    async def stop(self) -> None:
        await self.server.close()
        await self.tenants.close()
        await self.journal.close()

    async def close_links(self) -> None:
        for link in self._links:
            await link.close()


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[World]:
    world = World(directory)
    await world.start()
    try:
        yield world
    finally:
        await world.close_links()
        await world.stop()
        await asyncio.sleep(0)
