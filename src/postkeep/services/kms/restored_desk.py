"""The key service's methods for what was restored: why keys are held back, and the way out."""

from collections.abc import Mapping

import msgspec

from postkeep.model.audit import EventName
from postkeep.services.kms.api import Done
from postkeep.services.kms.checkpoints import Checkpointer
from postkeep.services.kms.restoration import Restoration, check_grant
from postkeep.services.kms.restored_api import (
    AcceptLedger,
    AcceptRestored,
    GetWithheld,
    Withheld,
    history_subject,
)
from postkeep.services.kms.telling import caller_fields
from postkeep.services.ledger.api import TreeHead
from postkeep.services.ledger.trail import EventFields, Trail
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant


class RestoredDesk:
    """The methods of `restored_api`."""

    def __init__(self, restoration: Restoration, checkpointer: Checkpointer, trail: Trail) -> None:
        self._restoration = restoration
        self._checkpointer = checkpointer
        self._trail = trail

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the table that the channel's server takes."""
        return {
            "kms.withheld": (GetWithheld, self.withheld),
            "kms.accept_restored": (AcceptRestored, self.accept_restored),
            "kms.accept_ledger": (AcceptLedger, self.accept_ledger),
        }

    async def withheld(self, _grant: Grant, _request: GetWithheld) -> Withheld:
        """Say why keys are held back."""
        restoration = self._restoration
        return Withheld(restoration.store, self._checkpointer.broken, restoration.approvals)

    async def accept_restored(self, grant: Grant, request: AcceptRestored) -> Done:
        """Give keys of a restored store again."""
        await self._restoration.accept(grant, request.id)
        return Done()

    async def accept_ledger(self, grant: Grant, request: AcceptLedger) -> Done:
        """Forget the head that the ledger contradicts, and sign on from the ledger as it is."""
        history, approvals = request.history, self._restoration.approvals
        check_grant(grant, "ledger_restore", history_subject(history, approvals), approvals)

        async def record(goes_on: TreeHead) -> None:
            lost = history.lost
            renamed = "" if lost.origin == goes_on.origin else f", was {lost.origin}"
            told = EventFields(
                count=lost.size,
                digest=lost.root.hex(),
                note=f"goes on from {goes_on.size} {goes_on.root.hex()}{renamed}, by request {grant.request}",
            )
            await self._trail.record(EventName.LEDGER_ACCEPT, **(caller_fields(grant) | told))

        await self._checkpointer.accept(history, record)
        return Done()
