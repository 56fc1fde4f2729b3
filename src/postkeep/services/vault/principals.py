"""What belongs to a principal beside its mailboxes: sealed epochs and the quota."""

from collections.abc import Sequence
from typing import Final

from postkeep.base.errors import InvalidInputError, LimitError
from postkeep.model.ticket import TicketKind
from postkeep.services.vault import api
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.validation import EPOCH_SEALED_BYTES_MAX, check_id
from postkeep.stores.postgres import database_errors
from postkeep.stores.vault_mailboxes import (
    read_epochs,
    read_old_epochs,
    read_quota,
    replace_epochs,
    set_quota,
)
from postkeep.tickets.clear import Grant

EPOCHS_ASKED_MAX: Final = 100_000  # epochs named in one call: a mailbox of many years
RESEALED_MAX: Final = 2_048  # epochs on their way to a newer key in one call: 2.5 MB
EPOCH_BYTES_MAX: Final = 48 * 1024 * 1024  # octets of epochs in one answer: below the channel's frame


class Principals:
    """The methods about epochs and quotas."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def epochs(self, grant: Grant, request: api.FetchEpochs) -> api.EpochList:
        """Answer `vault.epochs`."""
        if request.epochs is not None and len(request.epochs) > EPOCHS_ASKED_MAX:
            raise LimitError(f"{len(request.epochs)} epochs asked for")
        with database_errors():
            rows = await read_epochs(self._stores.pool, grant.tenant, request.principal, request.epochs)
        if sum(len(row[1]) for row in rows) > EPOCH_BYTES_MAX:
            raise LimitError("more epochs than one answer holds: ask for some of them")
        return api.EpochList([api.EpochRow(epoch, sealed) for epoch, sealed in rows])

    async def replace_epochs(self, grant: Grant, request: api.ReplaceEpochs) -> api.Done:
        """Answer `vault.replace_epochs`."""
        if len(request.epochs) > EPOCHS_ASKED_MAX:
            raise LimitError(f"{len(request.epochs)} epochs to replace")
        await self._replace(grant.tenant, request.principal, request.epochs)
        return api.Done()

    async def old_epochs(self, _grant: Grant, request: api.OldEpochs) -> api.OldEpochList:
        """Answer `vault.old_epochs`: what is to be sealed to a newer key. Sealed they come, sealed they
        go."""
        if not 0 < request.limit <= RESEALED_MAX or not 0 < request.generation < 2**31:
            raise LimitError(f"at most {RESEALED_MAX} epochs in one answer")
        with database_errors():
            rows, left = await read_old_epochs(
                self._stores.pool, request.tenant, request.principal, request.generation, request.limit
            )
        return api.OldEpochList([api.EpochRow(epoch, sealed) for epoch, sealed in rows], left)

    async def reseal_epochs(self, _grant: Grant, request: api.ResealEpochs) -> api.Done:
        """Answer `vault.reseal_epochs`; an epoch that is under a newer key already stays."""
        if len(request.epochs) > RESEALED_MAX:
            raise LimitError(f"{len(request.epochs)} epochs to seal anew")
        await self._replace(request.tenant, request.principal, request.epochs)
        return api.Done()

    async def _replace(self, tenant: bytes, principal: bytes, epochs: Sequence[api.EpochRow]) -> None:
        for item in epochs:
            if not 0 < len(item.sealed) <= EPOCH_SEALED_BYTES_MAX:
                raise InvalidInputError("a sealed epoch of an impossible size")
        pairs = sorted({item.epoch: item.sealed for item in epochs}.items())
        with database_errors():
            await replace_epochs(self._stores.pool, tenant, principal, pairs)

    async def quota(self, grant: Grant, request: api.GetQuota) -> api.Quota:
        """Answer `vault.quota`; a principal that never had mail uses nothing."""
        tenant = grant.tenant if grant.kind is TicketKind.USER else None
        with database_errors():
            row = await read_quota(self._stores.pool, tenant, request.principal)
        if row is None:
            return api.Quota(0, 0, None)
        return api.Quota(row["used_bytes"], row["messages"], row["limit_bytes"])

    async def set_quota(self, _grant: Grant, request: api.SetQuota) -> api.Done:
        """Answer `vault.set_quota`."""
        check_id(request.principal)
        if request.limit_bytes is not None and not 0 <= request.limit_bytes < 2**62:
            raise InvalidInputError("a quota is a number of octets")
        with database_errors():
            await set_quota(self._stores.pool, request.tenant, request.principal, request.limit_bytes)
        return api.Done()
