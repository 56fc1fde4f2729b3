"""The steward's methods for ceilings: who is stopped, and lifting it."""

from postkeep.services.kms.ceilings_api import CeilingStops, LiftCeiling, ListCeilings
from postkeep.services.kms.rotation_client import RotationClient
from postkeep.services.steward import api
from postkeep.services.steward.control import Control, Operator
from postkeep.services.steward.desk import Methods


class CeilingDesk:
    """Asks kms who is stopped."""

    def __init__(self, control: Control, kms: RotationClient) -> None:
        self._control = control
        self._kms = kms

    def methods(self) -> Methods:
        """Return the methods."""
        return {
            "key_ceilings": (api.KeyCeilings, self.key_ceilings),
            "key_ceiling_lift": (api.KeyCeilingLift, self.key_ceiling_lift),
        }

    async def key_ceilings(self, operator: Operator, _request: api.KeyCeilings) -> CeilingStops:
        """List who is stopped."""
        return await self._kms.ceilings(ListCeilings(), ticket=operator.ticket)

    async def key_ceiling_lift(self, operator: Operator, request: api.KeyCeilingLift) -> api.Done:
        """Lift a stop."""
        wanted = LiftCeiling("module", request.name)
        if "@" in request.name:
            info = await self._control.find(operator, request.name, kind="user")
            wanted = LiftCeiling("principal", info.principal.hex())
        await self._control.record(operator, "key_ceiling_lift")
        await self._kms.lift_ceiling(wanted, ticket=operator.ticket)
        return api.Done()
