"""A small world for delivery: people with real keys, and a vault that stores and opens again."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postkeep.base.clock import FixedClock
from postkeep.base.errors import UnavailableError
from postkeep.base.ids import NOBODY, new_id
from postkeep.crypto.directory_key import public_key_statement
from postkeep.crypto.epoch import EpochReader, chain_starts, open_seed
from postkeep.crypto.hpke import PrivateKey, new_private_seeds
from postkeep.crypto.message import open_content, open_envelope, open_summary, unwrap_key
from postkeep.services.authority.api import IssueOperation, OperationTicket, Recipient, Route
from postkeep.services.authority.client import AuthorityClient, OperationTickets
from postkeep.services.delivery.deposit import Depositor
from postkeep.services.delivery.epochs import EpochBook
from postkeep.services.delivery.pipeline import Pipeline
from postkeep.services.delivery.summary import Summary, decode
from postkeep.services.kms.api import SignedPublicKey
from postkeep.services.queue.envelope import QueueEnvelope
from postkeep.services.queue.envelope import decode as decode_envelope
from postkeep.services.vault.api import Deposit, DepositBatch, DepositResult, DepositResults, Placed, Submit


class Person:
    """Somebody with a key pair that the directory key vouches for."""

    def __init__(self, directory: Ed25519PrivateKey, tenant: bytes, principal: bytes | None = None) -> None:
        self.private = PrivateKey(new_private_seeds())
        principal = new_id() if principal is None else principal
        statement = public_key_statement(tenant, principal, 1, self.private.public_bytes)
        self.key = SignedPublicKey(tenant, principal, 1, self.private.public_bytes, directory.sign(statement))


@dataclass
class Copy:
    """What a person finds."""

    message: bytes
    summary: Summary
    role: str
    flags: tuple[str, ...]
    body: bytes


@dataclass
class World:
    """Everything outside a face, in memory."""

    directory: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    clock: FixedClock = field(default_factory=FixedClock)
    routes: dict[str, Route] = field(default_factory=dict)
    queues: dict[bytes, Person] = field(default_factory=dict)
    deposits: list[Deposit] = field(default_factory=list)
    epochs: dict[bytes, bytes] = field(default_factory=dict)
    calls: list[int] = field(default_factory=list)
    """Deposits in each call."""
    refuse: dict[bytes, str] = field(default_factory=dict)
    """Error code by principal."""
    full: list[Person] = field(default_factory=list)
    """Of whom pipelines know from the start that they have no room."""
    failures: int = 0
    """Calls that will break."""
    stale: bool = False
    gate: asyncio.Event | None = None

    def person(self, address: str, tenant: bytes, *, full: bool = False) -> Person:
        person = Person(self.directory, tenant)
        if full:
            self.full.append(person)
        self.routes[address] = Route(address, "local", [Recipient(person.key)], [], tenant)
        return person

    # The vault and the authority, as far as a face knows them.

    async def deposit(self, request: DepositBatch | Submit, *, ticket: bytes) -> DepositResults:
        assert ticket
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise UnavailableError("the connection broke")
        self.calls.append(len(request.deposits))
        for epoch in request.epochs:
            self.epochs[epoch.epoch] = epoch.sealed
        return DepositResults([self._store(deposit) for deposit in request.deposits])

    submit = deposit

    def _store(self, deposit: Deposit) -> DepositResult:
        for placement in deposit.placements:
            assert placement.epoch in self.epochs
            if placement.principal in self.refuse:
                code = self.refuse[placement.principal]
                return DepositResult([], code, [placement.principal] if code == "over_quota" else [])
        if deposit.body not in {stored.body for stored in self.deposits}:
            self.deposits.append(deposit)
        return DepositResult([Placed(new_id(), 1, 1, 1) for _ in deposit.placements])

    async def issue_operation(self, request: IssueOperation) -> OperationTicket:
        return OperationTicket(b"ticket for " + request.purpose.encode(), self.clock.now_seconds() + 600)

    def cached(self, address: str) -> Route | None:
        if self.stale:
            raise UnavailableError("stale")
        return self.routes.get(address)

    async def resolve(self, addresses: list[str]) -> list[Route]:
        if self.stale:
            raise UnavailableError("stale")
        ours = {address.rpartition("@")[2] for address in self.routes}
        return [
            self.routes.get(address)
            or Route(address, "unknown" if address.rpartition("@")[2] in ours else "foreign")
            for address in addresses
        ]

    async def queue_key(self, tenant: bytes) -> SignedPublicKey:
        if tenant not in self.queues:
            self.queues[tenant] = Person(self.directory, tenant, tenant)
        return self.queues[tenant].key

    # What a test builds and looks at.

    def book(self, **options: Any) -> EpochBook:
        return EpochBook(self.directory.public_key().public_bytes_raw, self.clock, **options)

    def pipeline(self, depositor: Depositor | None = None) -> Pipeline:
        pipeline = Pipeline(
            hostname="mx.example.org",
            book=self.book(),
            depositor=depositor or self.depositor(),
            queue_keys=self.queue_key,
            resolve=self.resolve,
            clock=self.clock,
        )
        for person in self.full:
            pipeline.full.note(person.key.tenant, person.key.principal, 0)
        return pipeline

    def depositor(self) -> Depositor:
        return Depositor(self, OperationTickets(cast("AuthorityClient", self), "deliver", self.clock))

    def copies(self, person: Person) -> list[Copy]:
        """Open, as its reader would, everything that a person has."""
        found = []
        for deposit in self.deposits:
            for placement in deposit.placements:
                if placement.principal == person.key.principal:
                    keys = self._keys(person, deposit, placement.epoch, placement.index, placement.wraps)
                    found.append(
                        Copy(
                            open_content(keys["content"], deposit.tenant, deposit.body, deposit.content),
                            decode(
                                open_summary(keys["metadata"], deposit.tenant, deposit.body, deposit.summary)
                            ),
                            placement.role,
                            placement.flags,
                            deposit.body,
                        )
                    )
        return found

    def queued(self, tenant: bytes = NOBODY) -> list[tuple[str, QueueEnvelope, bytes]]:
        """Open, as the relay would, a tenant's queue: destination, envelope, message."""
        found = []
        for deposit in self.deposits:
            for item in deposit.queue:
                if item.principal != tenant:
                    continue
                keys = self._keys(self.queues[tenant], deposit, item.epoch, item.index, item.wraps)
                opened = open_envelope(keys["metadata"], deposit.tenant, deposit.body, item.id, item.envelope)
                content = open_content(keys["content"], deposit.tenant, deposit.body, deposit.content)
                found.append((item.destination, decode_envelope(opened), content))
        return found

    def _keys(
        self, person: Person, deposit: Deposit, epoch: bytes, index: int, wraps: bytes
    ) -> Mapping[str, bytes]:
        key = person.key
        seed = open_seed(person.private, key.tenant, key.principal, epoch, self.epochs[epoch])
        reader = EpochReader(epoch, chain_starts(seed))
        return {
            category: unwrap_key(
                category,
                wraps,
                reader.wrap_key(category, index),
                deposit.tenant,
                deposit.body,
                key.principal,
                epoch,
                index,
            )
            for category in ("content", "metadata")
        }
