"""The ledger's handlers: what `postkeep.services.ledger.api` says, done on the log."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from postkeep.base.errors import InvalidInputError, LimitError, UnavailableError
from postkeep.crypto import merkle
from postkeep.services.ledger import api
from postkeep.services.ledger.backing import Backing
from postkeep.services.ledger.journal import Journal
from postkeep.services.ledger.own import OwnView
from postkeep.services.ledger.published import Published, open_own
from postkeep.services.ledger.tenants import TenantBook
from postkeep.stores.ledger_log import LedgerLog
from postkeep.stores.ledger_tenants import Anchor, tenant_origin
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant
from postkeep.tickets.identity import Anchors

APPEND_EVENTS_MAX: Final = 4_096  # events in one call; a trail sends 512
TENANT_HEADS_MAX: Final = 256  # tenants' heads in one answer: some 150 KB with their proofs


class LedgerService:
    """Serves one log under one origin."""

    def __init__(
        self, log: LedgerLog, journal: Journal, origin: str, anchors: Anchors, tenants: TenantBook
    ) -> None:
        self._log = log
        self._tenants = tenants
        self._journal = journal
        self._origin = origin
        self._anchors = anchors
        self._published = Published(log, origin)
        self._own = OwnView(log, journal, tenants)
        self._backing = Backing(log.directory, journal)

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the table of methods for the channel's server."""
        table: dict[str, tuple[type[msgspec.Struct], Any]] = {
            "ledger.append": (api.Append, self.append),
            "ledger.head": (api.Head, self.head),
            "ledger.consistency": (api.Consistency, self.consistency),
            "ledger.inclusion": (api.Inclusion, self.inclusion),
            "ledger.entries": (api.Entries, self.entries),
            "ledger.publish_checkpoint": (api.PublishCheckpoint, self.publish_checkpoint),
            "ledger.add_cosignatures": (api.AddCosignatures, self.add_cosignatures),
            "ledger.checkpoint": (api.LastCheckpoint, self.checkpoint),
            "ledger.last_key_state": (api.LastKeyState, self.last_key_state),
            "ledger.own": (api.Own, self._own.page),
            "ledger.tenant_heads": (api.TenantHeads, self.tenant_heads),
            "ledger.publish_tenant_checkpoints": (
                api.PublishTenantCheckpoints,
                self.publish_tenant_checkpoints,
            ),
            **self._backing.handlers(),
        }
        return table

    async def append(self, grant: Grant, request: api.Append) -> api.Appended:
        """Record events under the name of the module instance that the channel has proved."""
        if len(request.events) > APPEND_EVENTS_MAX:
            raise LimitError("too many events in one call")
        first = await self._journal.append(grant.peer_instance, request.events)
        return api.Appended(first, len(request.events))

    async def head(self, _grant: Grant, _request: api.Head) -> api.TreeHead:
        """Say how long the log is, and its root."""
        return await self._journal.run(self._head)

    async def consistency(self, _grant: Grant, request: api.Consistency) -> api.Proof:
        """Prove that a longer log extends a shorter one."""
        if not 0 <= request.old <= request.new:
            raise InvalidInputError("a log extends only shorter ones")
        return await self._journal.run(self._consistency, request.old, request.new)

    async def inclusion(self, _grant: Grant, request: api.Inclusion) -> api.Proof:
        """Prove that an entry is in the log."""
        if not 0 <= request.index < request.size:
            raise InvalidInputError("the entry is not in a log of that size")
        return await self._journal.run(self._inclusion, request.index, request.size)

    async def entries(self, _grant: Grant, request: api.Entries) -> api.EntryList:
        """Read entries."""
        if request.start < 0 or request.count < 0:
            raise InvalidInputError("an index is not negative")
        entries = await self._journal.run(self._log.read, request.start, request.count)
        return api.EntryList(request.start, entries)

    async def publish_checkpoint(self, _grant: Grant, request: api.PublishCheckpoint) -> api.Done:
        """Store a checkpoint that kms has signed, if it fits the log and what was signed before."""
        key = self._anchors.ledger
        if not key:
            raise UnavailableError("the key for checkpoints is not known yet")
        checkpoint = open_own(request.note, self._origin, key, self._anchors.ledger_mldsa44)
        await self._journal.run(self._published.publish, checkpoint, request.note)
        return api.Done()

    async def add_cosignatures(self, _grant: Grant, request: api.AddCosignatures) -> api.Done:
        """Put witnesses' lines under a checkpoint that was published."""
        await self._journal.run(self._published.add, request.size, request.lines)
        return api.Done()

    async def checkpoint(self, _grant: Grant, _request: api.LastCheckpoint) -> api.CheckpointNote:
        """Return the newest signed checkpoint."""
        return api.CheckpointNote(await self._journal.run(self._published.note))

    async def last_key_state(self, _grant: Grant, _request: api.LastKeyState) -> api.KeyState:
        """Say what the log tells of the key store and of how it is governed."""
        return await self._journal.run(self._journal.standing)

    async def tenant_heads(self, _grant: Grant, request: api.TenantHeads) -> api.AnchoredHeads:
        """Show heads of tenants' logs that wait for a signature, each with the proof of its anchor."""
        if request.size > self._log.size or request.count < 0:
            raise InvalidInputError("the log is not that long")
        waiting = self._tenants.unsigned(request.size, min(request.count, TENANT_HEADS_MAX))
        return await self._journal.run(self._anchored_heads, waiting, request.size)

    def _anchored_heads(self, waiting: list[tuple[str, Anchor]], size: int) -> api.AnchoredHeads:
        heads = []
        for tenant, anchor in waiting:
            entry = self._log.read(anchor.entry, 1)[0]
            proof = merkle.inclusion_proof(anchor.entry, size, self._log.node)
            heads.append(api.AnchoredHead(tenant, anchor.entry, entry, proof))
        return api.AnchoredHeads(heads)

    async def publish_tenant_checkpoints(
        self, _grant: Grant, request: api.PublishTenantCheckpoints
    ) -> api.Done:
        """Store checkpoints of tenants' logs that kms has signed."""
        key = self._anchors.ledger
        if not key:
            raise UnavailableError("the key for checkpoints is not known yet")
        for item in request.checkpoints:
            origin = tenant_origin(self._origin, item.tenant)
            checkpoint = open_own(item.note, origin, key, self._anchors.ledger_mldsa44)
            try:
                await self._tenants.publish(item.tenant, checkpoint.size, item.note)
            except OSError as error:
                raise UnavailableError(f"it can not be written: errno {error.errno}") from error
        return api.Done()

    def _head(self) -> api.TreeHead:
        size = self._log.size
        return api.TreeHead(self._origin, size, self._log.root(size))

    def _consistency(self, old: int, new: int) -> api.Proof:
        self._check_size(new)
        return api.Proof(merkle.consistency_proof(old, new, self._log.node))

    def _inclusion(self, index: int, size: int) -> api.Proof:
        self._check_size(size)
        return api.Proof(merkle.inclusion_proof(index, size, self._log.node))

    def _check_size(self, size: int) -> None:
        if size > self._log.size:
            raise InvalidInputError("the log is not that long")
