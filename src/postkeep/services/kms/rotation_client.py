"""Rotation of keys and ceilings, as callers see them: one async method per call of the two `_api` files."""

from postkeep.services.kms import rotation_api as api
from postkeep.services.kms.api import Done
from postkeep.services.kms.ceilings_api import CeilingStops, LiftCeiling, ListCeilings
from postkeep.services.kms.client import Caller


class RotationClient:
    """Calls to kms over one link. Every method may raise UnavailableError and RefusedError."""

    def __init__(self, link: Caller) -> None:
        self._link = link

    async def rotate(self, request: api.RotateKey, *, ticket: bytes) -> api.Rotation:
        """Begin to rotate a key, or return the rotation under way."""
        return await self._link.call("kms.rotate", request, api.Rotation, ticket=ticket)

    async def rotations(self, request: api.ListRotations, *, ticket: bytes) -> api.RotationList:
        """List rotations."""
        return await self._link.call("kms.rotations", request, api.RotationList, ticket=ticket)

    async def rotate_principal(self, request: api.RotatePrincipal, *, ticket: bytes) -> api.NewGeneration:
        """Make the next generation of a principal's key pair."""
        return await self._link.call("kms.rotate_principal", request, api.NewGeneration, ticket=ticket)

    async def reseal_work(self, request: api.ResealWork, *, ticket: bytes) -> api.ResealWorkList:
        """Return what there is to do for principals' keys."""
        return await self._link.call("kms.reseal_work", request, api.ResealWorkList, ticket=ticket)

    async def rewrap_epochs(self, request: api.RewrapEpochs, *, ticket: bytes) -> api.RewrappedEpochs:
        """Seal epochs to a principal's newest generation."""
        return await self._link.call("kms.rewrap_epochs", request, api.RewrappedEpochs, ticket=ticket)

    async def retire_generation(self, request: api.RetireGeneration, *, ticket: bytes) -> api.Retired:
        """Have an old generation's private half destroyed."""
        return await self._link.call("kms.retire_generation", request, api.Retired, ticket=ticket)

    async def ceilings(self, request: ListCeilings, *, ticket: bytes) -> CeilingStops:
        """List who is stopped."""
        return await self._link.call("kms.ceilings", request, CeilingStops, ticket=ticket)

    async def lift_ceiling(self, request: LiftCeiling, *, ticket: bytes) -> Done:
        """Lift a stop."""
        return await self._link.call("kms.lift_ceiling", request, Done, ticket=ticket)
