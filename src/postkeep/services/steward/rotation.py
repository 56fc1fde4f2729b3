"""The steward's methods for the rotation of keys."""

from postkeep.base.errors import InvalidInputError, NotFoundError
from postkeep.base.ids import NOBODY
from postkeep.services.authority.api import FindTenant, PublishKey
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.kms.rotation_api import ListRotations, RotateKey, RotatePrincipal, Rotation
from postkeep.services.kms.rotation_client import RotationClient
from postkeep.services.steward.control import Control, Operator
from postkeep.services.steward.desk import Methods
from postkeep.services.steward.resealing import Resealing
from postkeep.services.steward.rotation_api import KeyRotate, KeyRotations, RotationShown, RotationsShown

LISTED_MAX = 100
"""Rotations shown: enough for a year of a large installation's own, without people's."""


class RotationDesk:
    """Has kms rotate keys, and says how far it is."""

    def __init__(
        self, control: Control, authority: AuthorityClient, kms: RotationClient, resealing: Resealing
    ) -> None:
        self._control = control
        self._authority = authority
        self._kms = kms
        self._resealing = resealing

    def methods(self) -> Methods:
        """Return the methods."""
        return {
            "key_rotate": (KeyRotate, self.key_rotate),
            "key_rotations": (KeyRotations, self.key_rotations),
        }

    async def key_rotate(self, operator: Operator, request: KeyRotate) -> RotationShown:
        """Begin to rotate a key; one rotation of a key at a time."""
        if request.kind == "principal":
            return await self._principal(operator, request.name)
        tenant = NOBODY
        if request.kind != "root":
            found = await self._authority.find_tenant(FindTenant(request.name), ticket=operator.ticket)
            tenant = found.tenant
        elif request.name:
            raise InvalidInputError("there is one root key")
        await self._control.record(operator, "key_rotate", tenant=tenant)
        wanted = RotateKey(request.kind, tenant, request.category)
        return _shown(await self._kms.rotate(wanted, ticket=operator.ticket))

    async def _principal(self, operator: Operator, address: str) -> RotationShown:
        info = await self._control.find(operator, address, kind="user")
        await self._control.record(operator, "key_rotate", tenant=info.tenant, principal=info.principal)
        wanted = RotatePrincipal(info.tenant, info.principal)
        made = await self._kms.rotate_principal(wanted, ticket=operator.ticket)
        await self._authority.publish_key(PublishKey(made.key), ticket=operator.ticket)
        self._resealing.hurry()
        return _shown(made.rotation)

    async def key_rotations(self, operator: Operator, request: KeyRotations) -> RotationsShown:
        """List rotations, or show one."""
        listed = await self._kms.rotations(ListRotations(LISTED_MAX), ticket=operator.ticket)
        shown = [_shown(item) for item in listed.rotations]
        if request.id:
            shown = [item for item in shown if item.id == request.id]
            if not shown:
                raise NotFoundError(public_text="There is no such rotation among the last hundred.")
        return RotationsShown(shown)


def _shown(rotation: Rotation) -> RotationShown:
    return RotationShown(
        rotation.id.hex(),
        rotation.kind,
        "" if rotation.tenant == NOBODY else rotation.tenant.hex(),
        "" if rotation.principal == NOBODY else rotation.principal.hex(),
        rotation.category,
        rotation.new,
        rotation.phase,
        rotation.done,
        rotation.total,
        rotation.started_ms,
        rotation.ended_ms,
    )
