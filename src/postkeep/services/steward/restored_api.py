"""What an operator asks about what was restored, as values on the wire."""

from typing import Final

import msgspec

from postkeep.services.kms.restored_api import BrokenHistory
from postkeep.services.steward.api import Command

ROOT_DIGITS: Final = 16
"""Of a root, as people compare it; requests' digests, JSON answers and the ledger have all of it."""


class WithheldShow(Command, frozen=True):
    """`steward.withheld`: why kms holds keys back; answers `services.kms.restored_api.Withheld`."""


class KeyAcceptRestored(Command, frozen=True):
    """`steward.key_accept_restored`: have keys of a restored store given again; answers `StoreAccepted`.
    ApprovalNeededError under dual control."""

    state: int = 0
    """The change that the ledger knows of, where the operator has named it; 0: whatever is held."""


class StoreAccepted(msgspec.Struct, frozen=True):
    """Keys are given again."""

    told: int
    """The change that the store counts on from."""
    was: int
    """The change that it was put back at."""


class LedgerAcceptRestored(Command, frozen=True):
    """`steward.ledger_accept_restored`: have heads of a restored ledger signed again; answers
    `HistoryAccepted`. ApprovalNeededError under dual control."""


class HistoryAccepted(msgspec.Struct, frozen=True):
    """Heads are signed again; witnesses know only the lost one."""

    history: BrokenHistory
