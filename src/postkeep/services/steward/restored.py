"""The steward's methods for what was restored: the way on for a key store, and for a ledger."""

from postkeep.base.errors import InvalidInputError, NotFoundError
from postkeep.base.ids import NOBODY
from postkeep.services.kms.client import KmsClient
from postkeep.services.kms.restored_api import (
    AcceptLedger,
    AcceptRestored,
    Withheld,
    history_subject,
    restored_subject,
)
from postkeep.services.steward.approvals import Approvals, GrantToken
from postkeep.services.steward.control import Control, Operator
from postkeep.services.steward.desk import Methods
from postkeep.services.steward.restored_api import (
    ROOT_DIGITS,
    HistoryAccepted,
    KeyAcceptRestored,
    LedgerAcceptRestored,
    StoreAccepted,
    WithheldShow,
)


class RestoredDesk:
    """Asks kms what it holds back, gets the grant, and has kms go on."""

    def __init__(self, control: Control, approvals: Approvals, kms: KmsClient) -> None:
        self._control = control
        self._approvals = approvals
        self._kms = kms

    def methods(self) -> Methods:
        """Return the methods."""
        return {
            "withheld": (WithheldShow, self.withheld),
            "key_accept_restored": (KeyAcceptRestored, self.key_accept_restored),
            "ledger_accept_restored": (LedgerAcceptRestored, self.ledger_accept_restored),
        }

    async def withheld(self, operator: Operator, _request: WithheldShow) -> Withheld:
        """Say why keys are held back."""
        return await self._kms.withheld(ticket=operator.ticket)

    async def key_accept_restored(self, operator: Operator, request: KeyAcceptRestored) -> StoreAccepted:
        """Have keys of a restored store given again."""
        withheld = await self._kms.withheld(ticket=operator.ticket)
        store = withheld.store
        if store is None:
            raise NotFoundError(
                code="not_found.restored", public_text="No restored key store waits: keys are given."
            )
        if request.state not in {0, store.told}:
            raise InvalidInputError(
                code="invalid.restored",
                public_text=f"The key store that waits counts on from change {store.told}.",
            )
        summary = f"Use a restored key store: at change {store.was}, while {store.told} was known"
        grant = await self._grant(
            operator, "key_restore", restored_subject(store, withheld.approvals), summary, withheld
        )
        await self._control.record(operator, "key_accept_restored", objects=[store.id])
        await self._kms.accept_restored(AcceptRestored(store.id), ticket=grant.token)
        await self._approvals.done(grant)
        return StoreAccepted(store.told, store.was)

    async def ledger_accept_restored(
        self, operator: Operator, _request: LedgerAcceptRestored
    ) -> HistoryAccepted:
        """Have heads of a restored ledger signed again."""
        withheld = await self._kms.withheld(ticket=operator.ticket)
        history = withheld.history
        if history is None:
            raise NotFoundError(
                code="not_found.broken_history",
                public_text="The ledger extends what was signed of it: there is nothing to accept.",
            )
        lost, shown = history.lost, history.shown
        summary = (
            f"Give up the signed ledger head of {lost.size} entries ({lost.root.hex()[:ROOT_DIGITS]}) and go "
            f"on from {shown.size} entries ({shown.root.hex()[:ROOT_DIGITS]})"
        )
        grant = await self._grant(
            operator, "ledger_restore", history_subject(history, withheld.approvals), summary, withheld
        )
        await self._control.record(operator, "ledger_accept_restored", objects=[lost.root])
        await self._kms.accept_ledger(AcceptLedger(history), ticket=grant.token)
        await self._approvals.done(grant)
        return HistoryAccepted(history)

    async def _grant(
        self, operator: Operator, kind: str, subject: bytes, summary: str, withheld: Withheld
    ) -> GrantToken:
        return await self._approvals.grant_for(
            operator, kind, NOBODY, NOBODY, subject, summary, withheld.approvals
        )
