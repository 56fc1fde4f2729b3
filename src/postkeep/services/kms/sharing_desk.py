"""The key service's methods for sharing. Each takes the Grant that the channel has cleared."""

from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from postkeep.base.errors import ConflictError, InvalidInputError, NotFoundError, PostkeepError, RefusedError
from postkeep.model.audit import EventName
from postkeep.services.kms import sharing_api as api
from postkeep.services.kms.api import Done
from postkeep.services.kms.hierarchy import Hierarchy
from postkeep.services.kms.principals import PrincipalKeys
from postkeep.services.kms.rotation import Rotations
from postkeep.services.kms.sharing import Sharing
from postkeep.services.kms.telling import call_fields, check_id
from postkeep.services.ledger.trail import EventFields, Trail
from postkeep.stores.kms_shares import KmsShareRows, ShareRow
from postkeep.tickets.channel import Handler, holds_shares
from postkeep.tickets.clear import Grant

TRIES_MAX: Final = 3
"""A rotation that begins while keys are being shared makes the sharer start again."""
ENDED_PER_ROUND: Final = 100
"""Shares whose end has passed that are taken back in one round."""
_log = structlog.get_logger(__name__)


class SharingDesk:
    """The methods of `sharing_api`."""

    def __init__(
        self,
        sharing: Sharing,
        hierarchy: Hierarchy,
        rows: KmsShareRows,
        rotations: Rotations,
        trail: Trail,
    ) -> None:
        self._sharing = sharing
        self._hierarchy = hierarchy
        self._rows = rows
        self._rotations = rotations
        self._trail = trail

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the table that the channel's server takes."""
        return {
            "kms.share": (api.Share, self.share),
            "kms.unshare": (api.Unshare, self.unshare),
        }

    @holds_shares
    async def share(self, grant: Grant, request: api.Share) -> Done:
        """Share an owner's keys on the ticket of the owner, or of who manages them."""
        owner, reader = request.principal, request.reader
        for identifier in (owner, reader):
            check_id(identifier)
        if reader in {owner, grant.principal}:
            raise InvalidInputError(public_text="A mailbox is shared with somebody else.")
        if request.until_ms is not None and not 0 < request.until_ms < 2**53:
            raise InvalidInputError("an end in milliseconds since the epoch")
        share = ShareRow(grant.tenant, owner, reader, request.manages, request.until_ms)
        for _ in range(TRIES_MAX):
            keys = await self._keys_of_granter(grant, owner)
            await self._tell(grant, owner, f"give {reader.hex()}")
            if await self._sharing.share(keys, share):
                await self._tell(grant, owner, f"given {reader.hex()}", state=self._hierarchy.state)
                return Done()
        raise ConflictError(public_text="The mailbox's keys are being changed: try again in a moment.")

    @holds_shares
    async def unshare(self, grant: Grant, request: api.Unshare) -> Done:
        """Take a share back, and begin a new generation of the owner's keys."""
        owner, reader = request.principal, request.reader
        if grant.principal not in {owner, reader}:
            await self._check_manages(grant, owner)
        await self._tell(grant, owner, f"take {reader.hex()}")
        await self._end(call_fields(grant, grant.tenant, owner), grant.tenant, owner, reader)
        return Done()

    async def look_after(self) -> None:
        """Take back shares whose end has passed, and begin generations that are due. Called by the minute."""
        for row in await self._sharing.ended(ENDED_PER_ROUND):
            fields = EventFields(tenant=row.tenant.hex(), principal=row.owner.hex())
            note = EventFields(note=f"end {row.reader.hex()}")
            await self._trail.record(EventName.KEY_SHARE, **(fields | note))
            await self._end(fields, row.tenant, row.owner, row.reader)
        for tenant, owner in await self._rows.rekeys(ENDED_PER_ROUND):
            await self._rekey(EventFields(tenant=tenant.hex(), principal=owner.hex()), tenant, owner)

    async def _end(self, fields: EventFields, tenant: bytes, owner: bytes, reader: bytes) -> None:
        """End a share: each step is durable before the next, and the whole may be done again."""
        if await self._sharing.take_back(tenant, owner, reader):
            note = f"taken {reader.hex()}"
            state = EventFields(note=note, state=self._hierarchy.state)
            await self._trail.record(EventName.KEY_SHARE, **(fields | state))
            await self._rekey(fields, tenant, owner)

    async def _rekey(self, fields: EventFields, tenant: bytes, owner: bytes) -> None:
        """Begin the next generation; while an earlier one is under way it waits for that one's end."""
        if await self._rotations.is_rotating(tenant, owner):
            return
        try:
            await self._rotations.begin_principal(tenant, owner, fields)
        except NotFoundError:
            _log.info("rekeying_void")  # the owner's keys are destroyed: nothing comes after
        except PostkeepError as error:
            _log.info("rekeying_waits", code=error.code)
            return
        await self._rows.drop_rekey(tenant, owner)

    async def _keys_of_granter(self, grant: Grant, owner: bytes) -> PrincipalKeys:
        """Open the owner's keys as the granter may: the own, or through a share that the granter manages."""
        if grant.principal != owner:
            await self._check_manages(grant, owner)
            return await self._sharing.open(grant.tenant, owner, grant.principal)
        keys = await self._hierarchy.principal(owner)
        if keys.tenant != grant.tenant:
            raise RefusedError("the ticket is not for this principal's keys", code="refused.principal")
        return keys

    async def _check_manages(self, grant: Grant, owner: bytes) -> None:
        share = await self._sharing.standing(grant.tenant, owner, grant.principal)
        if not share.manages:
            raise RefusedError("the share may not be passed on", code="refused.principal")

    async def _tell(self, grant: Grant, owner: bytes, note: str, *, state: int = 0) -> None:
        fields = call_fields(grant, grant.tenant, owner) | EventFields(note=note, state=state)
        await self._trail.record(EventName.KEY_SHARE, **fields)
