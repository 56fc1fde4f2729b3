"""The key service's methods for ceilings, and their values on the wire: see `ceilings`."""

from collections.abc import Mapping

import msgspec

from postkeep.services.kms.api import Done
from postkeep.services.kms.ceilings import Ceilings
from postkeep.services.kms.ceilings_api import CeilingStop, CeilingStops, LiftCeiling, ListCeilings
from postkeep.services.kms.telling import call_fields
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant


class CeilingDesk:
    """The methods of `ceilings_api`."""

    def __init__(self, ceilings: Ceilings) -> None:
        self._ceilings = ceilings

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the table that the channel's server takes."""
        return {
            "kms.ceilings": (ListCeilings, self.ceilings),
            "kms.lift_ceiling": (LiftCeiling, self.lift_ceiling),
        }

    async def ceilings(self, _grant: Grant, _request: ListCeilings) -> CeilingStops:
        """List who is stopped."""
        return CeilingStops([CeilingStop(*row) for row in self._ceilings.stops()])

    async def lift_ceiling(self, grant: Grant, request: LiftCeiling) -> Done:
        """Lift a stop."""
        await self._ceilings.lift(call_fields(grant), request.kind, request.subject)
        return Done()
