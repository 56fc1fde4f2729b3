"""The key service's methods for rotation. Each takes the Grant that the channel has cleared."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from postkeep.base.errors import LimitError, NotFoundError
from postkeep.base.ids import NOBODY
from postkeep.model.audit import EventName
from postkeep.services.kms import rotation_api as api
from postkeep.services.kms.rotation import Rotations
from postkeep.services.kms.rotation_category import KIND as CATEGORY
from postkeep.services.kms.rotation_upper import ROOT
from postkeep.services.kms.telling import call_fields, check_id
from postkeep.services.ledger.trail import EventFields, Trail
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.kms_rotations import RotationRow
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

LISTED_MAX: Final = 1_000
"""Rotations in one answer: 300 KB."""
DUE_MAX: Final = 1_000
"""Principals due in one answer: 40 KB."""


class RotationDesk:
    """The methods of `rotation_api`."""

    def __init__(
        self, rotations: Rotations, rows: KmsKeyRows, trail: Trail, look_after: Callable[[], Awaitable[None]]
    ) -> None:
        """`look_after`: begins rotations that are due for another reason than age, before they are listed."""
        self._look_after = look_after
        self._rotations = rotations
        self._rows = rows
        self._trail = trail

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the table that the channel's server takes."""
        return {
            "kms.rotate": (api.RotateKey, self.rotate),
            "kms.rotations": (api.ListRotations, self.rotations),
            "kms.rotate_principal": (api.RotatePrincipal, self.rotate_principal),
            "kms.reseal_work": (api.ResealWork, self.reseal_work),
            "kms.rewrap_epochs": (api.RewrapEpochs, self.rewrap_epochs),
            "kms.retire_generation": (api.RetireGeneration, self.retire_generation),
        }

    async def rotate(self, grant: Grant, request: api.RotateKey) -> api.Rotation:
        """Begin to rotate a key; it is gone on with in the background."""
        if request.kind != ROOT:
            check_id(request.tenant)
        tenant = NOBODY if request.kind == ROOT else request.tenant
        category = request.category if request.kind == CATEGORY else ""
        fields = call_fields(grant, tenant) | EventFields(category=category)
        return _info(await self._rotations.begin(request.kind, fields, tenant=tenant, category=category))

    async def rotations(self, _grant: Grant, request: api.ListRotations) -> api.RotationList:
        """List rotations under way and ended."""
        if not 0 < request.limit <= LISTED_MAX:
            raise LimitError(f"at most {LISTED_MAX} rotations in one answer")
        return api.RotationList([_info(row) for row in await self._rotations.all(request.limit)])

    async def rotate_principal(self, grant: Grant, request: api.RotatePrincipal) -> api.NewGeneration:
        """Make the next generation of a principal's key pair, or return the one that was made."""
        pairs = await self._rows.principal(request.principal)
        if not pairs or pairs[0].tenant != request.tenant:
            raise NotFoundError("the principal has no keys")
        fields = call_fields(grant, request.tenant, request.principal)
        row, key = await self._rotations.begin_principal(request.tenant, request.principal, fields)
        return api.NewGeneration(_info(row), key)

    async def reseal_work(self, _grant: Grant, request: api.ResealWork) -> api.ResealWorkList:
        """Return the rotations that wait for epochs, and the principals that are due for one."""
        if not 0 <= request.limit <= DUE_MAX:
            raise LimitError(f"at most {DUE_MAX} principals in one answer")
        await self._look_after()
        waiting = []
        for row in await self._rotations.sealing():
            try:
                key = await self._rotations.principals.public_key(row.principal)
            except NotFoundError:
                continue  # destroyed: its rotation ends by itself
            waiting.append(api.NewGeneration(_info(row), key))
        busy = {item.rotation.principal for item in waiting}
        due = await self._rows.principals_older(request.older_than_ms, request.limit)
        return api.ResealWorkList(
            waiting,
            [api.DuePrincipal(tenant, principal) for tenant, principal in due if principal not in busy],
        )

    async def rewrap_epochs(self, grant: Grant, request: api.RewrapEpochs) -> api.RewrappedEpochs:
        """Seal epochs to the newest generation: nothing that opens them leaves."""
        if len(request.epochs) > api.EPOCHS_PER_RESEAL_MAX:
            raise LimitError(f"at most {api.EPOCHS_PER_RESEAL_MAX} epochs in one call")
        sealed = await self._rotations.principals.reseal(request.principal, request.epochs)
        await self._rotations.count_sealed(request.principal, len(sealed), request.left)
        self._trail.note(
            EventName.KEY_ROTATE,
            **(
                call_fields(grant, NOBODY, request.principal)
                | EventFields(count=len(sealed), note="principal epochs")
            ),
        )
        return api.RewrappedEpochs(sealed)

    async def retire_generation(self, _grant: Grant, request: api.RetireGeneration) -> api.Retired:
        """Destroy the old generation's private half, if writers have had time to forget it."""
        return api.Retired(await self._rotations.retire(request.principal))


def _info(row: RotationRow) -> api.Rotation:
    return api.Rotation(
        row.id,
        row.kind,
        row.tenant,
        row.principal,
        row.category,
        row.old,
        row.new,
        row.phase,
        row.done,
        row.total,
        row.started_ms,
        row.ended_ms,
    )
