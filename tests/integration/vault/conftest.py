"""A vault on a real PostgreSQL and a real directory, with a ledger that only remembers."""

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import pytest

from postkeep.base.clock import FixedClock
from postkeep.base.errors import UnavailableError
from postkeep.base.ids import NOBODY, new_id
from postkeep.model.audit import AuditEvent
from postkeep.model.categories import Category
from postkeep.model.ticket import TicketKind
from postkeep.services.ledger.api import Append, Appended
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault import api, rows_api
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.service import VaultService, open_stores
from postkeep.tickets.clear import Grant

T = TypeVar("T")
START_SECONDS = 1_800_000_000


class RememberingLedger:
    """Stands where the channel to the ledger does: keeps the events, or is away."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.away = False

    async def call(
        self,
        method: str,
        request: msgspec.Struct,
        reply: type[T],
        *,
        ticket: bytes = b"",
        timeout_seconds: float = 30.0,
    ) -> T:
        if self.away:
            raise UnavailableError("the ledger is away")
        assert isinstance(request, Append)
        first = len(self.events)
        self.events += request.events
        answer = Appended(first, len(request.events))
        assert isinstance(answer, reply)
        return answer


class Peer:
    """A caller's connection."""

    uid: int | None = None
    pid: int | None = None
    certificate = ""
    public_key = b""
    thumbprint = ""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[], None]] = []

    def on_close(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def hang_up(self) -> None:
        for callback in self.callbacks:
            callback()


def grant(
    tenant: bytes = NOBODY,
    principal: bytes = NOBODY,
    *,
    kind: TicketKind = TicketKind.USER,
    method: str = "vault.test",
    module: str = "imap",
    peer: Peer | None = None,
) -> Grant:
    return Grant(
        peer_module=module,
        peer_instance=f"{module}-0.1",
        connection=peer or Peer(),
        kind=kind,
        tenant=tenant,
        principal=principal,
        session=new_id(),
        ticket_id="ab" * 16,
        categories=frozenset({Category.CONTENT, Category.METADATA}),
        method=method,
        purpose="",
    )


MX = grant(kind=TicketKind.OPERATION, module="mx", method="vault.deposit")
STEWARD = grant(kind=TicketKind.STAFF, module="steward")
RELAY = grant(kind=TicketKind.OPERATION, module="relay")


class Person:
    """A principal with an epoch of its own, as a writer sees it."""

    def __init__(self, tenant: bytes) -> None:
        self.tenant = tenant
        self.principal = new_id()
        self.epoch = new_id()
        self.grant = grant(tenant, self.principal)
        self.epochs = [api.NewEpoch(tenant, self.principal, self.epoch, b"sealed epoch")]
        self.steps = 0

    def placement(
        self, role: str = "inbox", mailbox: bytes = b"", flags: tuple[str, ...] = ()
    ) -> api.Placement:
        self.steps += 1
        return api.Placement(
            self.principal, self.epoch, self.steps, os.urandom(96), mailbox, role, flags, START_SECONDS * 1000
        )


def message(
    tenant: bytes,
    placements: Sequence[api.Placement],
    *,
    size: int = 1000,
    body: bytes = b"",
    queue: Sequence[api.QueueItem] = (),
) -> api.Deposit:
    return api.Deposit(
        tenant=tenant,
        body=body or new_id(),
        content=os.urandom(size + 72),
        summary=os.urandom(200),
        size=size,
        placements=list(placements),
        queue=list(queue),
    )


def queue_item(person: Person, destination: str = "example.net", not_before_ms: int = 0) -> api.QueueItem:
    person.steps += 1
    return api.QueueItem(
        id=new_id(),
        destination=destination,
        principal=person.principal,
        epoch=person.epoch,
        index=person.steps,
        wraps=os.urandom(96),
        envelope=b"sealed envelope",
        recipients=1,
        not_before_ms=not_before_ms,
    )


class Seen(NamedTuple):
    """A message as the vault tells of it."""

    uid: int
    modseq: int
    flags: tuple[str, ...]
    internal_date_ms: int
    size: int
    saved_ms: int
    body: bytes


class Page(NamedTuple):
    """An answer of `vault.updates`, read."""

    mailbox: api.MailboxRow
    rows: list[Seen]
    vanished: list[tuple[int, int]]


def numbers(kind: str, data: bytes) -> list[int]:
    return [number for (number,) in struct.iter_unpack(f"<{kind}", data)]


def runs(data: bytes) -> list[tuple[int, int]]:
    return list(struct.iter_unpack("<II", data))


def seen(rows: rows_api.Rows) -> list[Seen]:
    columns = (
        numbers("I", rows.uids),
        numbers("Q", rows.modseqs),
        [rows.flag_sets[number] for number in numbers("H", rows.flags)],
        numbers("q", rows.dates),
        numbers("I", rows.sizes),
        numbers("q", rows.saved),
        [rows.bodies[start : start + 16] for start in range(0, len(rows.bodies), 16)],
    )
    return [Seen(*values) for values in zip(*columns, strict=True)]


class Vault:
    """A running vault with short ways to its methods."""

    def __init__(self, stores: Stores, service: VaultService, ledger: RememberingLedger) -> None:
        self.stores = stores
        self.service = service
        self.ledger = ledger

    async def call(self, method: str, who: Grant, request: msgspec.Struct) -> Any:
        kind, handler = self.service.handlers[f"vault.{method}"]
        assert isinstance(request, kind)
        return await handler(who, request)

    async def deliver(self, person: Person, count: int = 1, **options: Any) -> list[api.Placed]:
        """Deposit some messages for one person, each with a body of its own."""
        placement = {name: options.pop(name) for name in ("role", "mailbox", "flags") if name in options}
        deposits = [message(person.tenant, [person.placement(**placement)], **options) for _ in range(count)]
        answer = await self.call("deposit", MX, api.DepositBatch(deposits, person.epochs))
        assert [result.error for result in answer.results] == [""] * count
        return [placed for result in answer.results for placed in result.placed]

    async def boxes(self, person: Person) -> dict[str, api.MailboxRow]:
        """The person's mailboxes by role."""
        listed = await self.call("mailboxes", person.grant, api.ListMailboxes(person.principal))
        return {box.role: box for box in listed.mailboxes}

    async def sync(self, person: Person, mailbox: bytes, since: int = 0) -> Page:
        """What changed since a modseq, 0: everything."""
        asked = rows_api.Updates(person.principal, mailbox, since)
        answer = await self.call("updates", person.grant, asked)
        assert isinstance(answer, rows_api.UpdatePage)
        return Page(answer.mailbox, seen(answer.rows), runs(answer.vanished))

    async def problems(self) -> list[str]:
        report = await self.call("check", STEWARD, api.CheckStore())
        assert isinstance(report, api.StoreReport)
        return report.problems

    async def events(self, name: str) -> list[AuditEvent]:
        """What the ledger knows, once the outbox is empty."""
        while await self.service.outbox.send_some():
            pass
        return [event for event in self.ledger.events if event.event == name]


@asynccontextmanager
async def running_vault(dsn: str, directory: Path) -> AsyncIterator[Vault]:
    ledger = RememberingLedger()
    clock = FixedClock(START_SECONDS)
    trail = Trail("vault-0.1", ledger, clock)
    async with open_stores(dsn, directory / "packs" / "content", directory / "slots") as stores:
        yield Vault(stores, VaultService(stores, trail, clock), ledger)
        await trail.close()


RunVault = Callable[[Callable[[Vault], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def run_vault(dsn: str, tmp_path: Path) -> RunVault:
    """Run a test's coroutine with a vault; calling it again is a restart of the same vault."""

    def run(job: Callable[[Vault], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with running_vault(dsn, tmp_path) as vault:
                await job(vault)
                assert await vault.problems() == []

        asyncio.run(main())

    return run
