"""The ledger, as its callers see it: one async method per call of `postkeep.services.ledger.api`."""

from typing import Protocol, TypeVar

import msgspec

from postkeep.services.ledger import api

T = TypeVar("T")


class Caller(Protocol):
    """What a client needs of a channel; `postkeep.tickets.channel.Link` is one."""

    async def call(
        self,
        method: str,
        request: msgspec.Struct,
        reply: type[T],
        *,
        ticket: bytes = b"",
        timeout_seconds: float = 30.0,
    ) -> T:
        """Call a keeper's method and return its answer; raise the PostkeepError it answers with."""


class LedgerClient:
    """Calls to the ledger over one link. Every method may raise UnavailableError."""

    def __init__(self, link: Caller) -> None:
        self._link = link

    async def append(
        self, request: api.Append, *, ticket: bytes = b"", timeout_seconds: float = 30.0
    ) -> api.Appended:
        """Record events in order; returns when they are durable. Modules use `Trail` instead."""
        return await self._link.call(
            "ledger.append", request, api.Appended, ticket=ticket, timeout_seconds=timeout_seconds
        )

    async def head(self, request: api.Head | None = None, *, ticket: bytes = b"") -> api.TreeHead:
        """Return size and root of the tree as it stands."""
        return await self._link.call("ledger.head", request or api.Head(), api.TreeHead, ticket=ticket)

    async def consistency(self, request: api.Consistency, *, ticket: bytes = b"") -> api.Proof:
        """Return the proof that one tree extends another (RFC 9162 section 2.1.4)."""
        return await self._link.call("ledger.consistency", request, api.Proof, ticket=ticket)

    async def inclusion(self, request: api.Inclusion, *, ticket: bytes = b"") -> api.Proof:
        """Return the proof that an entry is in a tree (RFC 9162 section 2.1.3)."""
        return await self._link.call("ledger.inclusion", request, api.Proof, ticket=ticket)

    async def entries(self, request: api.Entries, *, ticket: bytes = b"") -> api.EntryList:
        """Read entries; the list is shorter than asked at the end of the log and at size limits."""
        return await self._link.call("ledger.entries", request, api.EntryList, ticket=ticket)

    async def add_cosignatures(self, request: api.AddCosignatures, *, ticket: bytes = b"") -> api.Done:
        """Add witnesses' lines to a checkpoint; ConflictError if none of that size was published lately."""
        return await self._link.call("ledger.add_cosignatures", request, api.Done, ticket=ticket)

    async def checkpoint(self, *, ticket: bytes = b"") -> api.CheckpointNote:
        """Return the newest signed checkpoint."""
        return await self._link.call(
            "ledger.checkpoint", api.LastCheckpoint(), api.CheckpointNote, ticket=ticket
        )

    async def last_key_state(self) -> api.KeyState:
        """Return what the log tells of the key store and of how it is governed."""
        return await self._link.call("ledger.last_key_state", api.LastKeyState(), api.KeyState)

    async def tenant_heads(self, request: api.TenantHeads) -> api.AnchoredHeads:
        """Return heads of tenants' logs that wait for a signature."""
        return await self._link.call("ledger.tenant_heads", request, api.AnchoredHeads)

    async def publish_tenant_checkpoints(self, request: api.PublishTenantCheckpoints) -> api.Done:
        """Store signed checkpoints of tenants' logs."""
        return await self._link.call("ledger.publish_tenant_checkpoints", request, api.Done)

    async def own(self, request: api.Own, *, ticket: bytes) -> api.OwnPage:
        """Return entries about the person whose ticket it is."""
        return await self._link.call("ledger.own", request, api.OwnPage, ticket=ticket)

    async def publish_checkpoint(self, request: api.PublishCheckpoint, *, ticket: bytes = b"") -> api.Done:
        """Store a signed checkpoint; refused unless it fits the tree."""
        return await self._link.call("ledger.publish_checkpoint", request, api.Done, ticket=ticket)
