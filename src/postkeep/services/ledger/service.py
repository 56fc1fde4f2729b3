"""The ledger's handlers: what `postkeep.services.ledger.api` says, done on the log."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from postkeep.base.errors import ConflictError, InvalidInputError, LimitError, UnavailableError
from postkeep.crypto import merkle
from postkeep.crypto.note import Checkpoint, open_checkpoint
from postkeep.services.ledger import api
from postkeep.services.ledger.journal import Journal
from postkeep.stores.ledger_log import LedgerLog
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant
from postkeep.tickets.identity import Anchors

APPEND_EVENTS_MAX: Final = 4_096  # events in one call; a trail sends 512


class LedgerService:
    """Serves one log under one origin."""

    def __init__(self, log: LedgerLog, journal: Journal, origin: str, anchors: Anchors) -> None:
        self._log = log
        self._journal = journal
        self._origin = origin
        self._anchors = anchors

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the table of methods for the channel's server."""
        table: dict[str, tuple[type[msgspec.Struct], Any]] = {
            "ledger.append": (api.Append, self.append),
            "ledger.head": (api.Head, self.head),
            "ledger.consistency": (api.Consistency, self.consistency),
            "ledger.inclusion": (api.Inclusion, self.inclusion),
            "ledger.entries": (api.Entries, self.entries),
            "ledger.publish_checkpoint": (api.PublishCheckpoint, self.publish_checkpoint),
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
        checkpoint = open_checkpoint(request.note, self._origin, key)
        await self._journal.run(self._publish, checkpoint, request.note)
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

    def _publish(self, checkpoint: Checkpoint, note: bytes) -> None:
        self._check_size(checkpoint.size)
        known = self._log.checkpoint
        if known is not None and checkpoint.size < known.size:
            raise ConflictError("the checkpoint is older than the one published")
        if checkpoint.root != self._log.root(checkpoint.size):
            raise ConflictError("the checkpoint is not of this log")
        try:
            self._log.publish(checkpoint, note)
        except OSError as error:
            raise UnavailableError(f"the checkpoint can not be written: errno {error.errno}") from error

    def _check_size(self, size: int) -> None:
        if size > self._log.size:
            raise InvalidInputError("the log is not that long")
