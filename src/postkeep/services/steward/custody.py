"""Custody of keys: the steward gets the grant and opens the way; secrets never pass through it."""

from postkeep.base.ids import NOBODY
from postkeep.services.kms.client import KmsClient
from postkeep.services.kms.custody_api import OpenReseal, reseal_subject
from postkeep.services.steward.api import Done
from postkeep.services.steward.approvals import Approvals
from postkeep.services.steward.control import Control, Operator
from postkeep.services.steward.custody_api import KeyReseal
from postkeep.services.steward.desk import Methods

CUSTODY = "custody"


class CustodyDesk:
    """The methods of `custody_api`."""

    def __init__(self, control: Control, approvals: Approvals, kms: KmsClient) -> None:
        self._control = control
        self._approvals = approvals
        self._kms = kms

    def methods(self) -> Methods:
        """Return the methods."""
        return {"key_reseal": (KeyReseal, self.key_reseal)}

    async def key_reseal(self, operator: Operator, request: KeyReseal) -> Done:
        """Have kms expect a change of the root key's seal; ApprovalNeededError under dual control."""
        subject = reseal_subject(request.kind)
        summary = f"Seal the root key by: {request.kind.value}"
        grant = await self._approvals.grant_for(operator, CUSTODY, NOBODY, NOBODY, subject, summary)
        await self._control.record(operator, "key_reseal")
        await self._kms.open_reseal(OpenReseal(request.kind, request.key_digest), ticket=grant.token)
        await self._approvals.done(grant)
        return Done()
