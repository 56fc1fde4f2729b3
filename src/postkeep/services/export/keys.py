"""The keys for one page of an export: epochs opened with the grant, kept while pages need them."""

import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from postkeep.base.errors import IntegrityError
from postkeep.crypto.epoch import EpochReader
from postkeep.services.kms.api import OpenEpochs, SealedEpoch
from postkeep.services.kms.client import KmsClient
from postkeep.services.vault.api import EpochRow
from postkeep.services.vault.client import VaultClient

EPOCHS_PER_CALL: Final = 2_000  # epochs in one call to kms: some hundred milliseconds of its time


class Keepers(NamedTuple):
    """Whom an export reads from, and with what."""

    vault: VaultClient
    kms: KmsClient
    ticket: bytes
    """The grant: it names the one person whose mail it is."""


class KeyWindow:
    """Opens what a page needs with one call to kms, and forgets what it does not need."""

    def __init__(self, principal: bytes) -> None:
        self._principal = principal
        self._readers: dict[bytes, EpochReader] = {}
        self._until: float | None = None
        """When they must be opened anew, where the company holds a key of its own."""

    async def need(self, rows: Sequence[EpochRow], keepers: Keepers) -> None:
        """Have these epochs open and no others. One that can't be opened is left out."""
        if self._until is not None and time.monotonic() >= self._until:
            self._readers, self._until = {}, None
        self._readers = {row.epoch: self._readers[row.epoch] for row in rows if row.epoch in self._readers}
        missing = [SealedEpoch(row.epoch, row.sealed) for row in rows if row.epoch not in self._readers]
        for start in range(0, len(missing), EPOCHS_PER_CALL):
            request = OpenEpochs(self._principal, missing[start : start + EPOCHS_PER_CALL])
            answer = await keepers.kms.open_epochs(request, ticket=keepers.ticket)
            if answer.lease_seconds:
                until = time.monotonic() + answer.lease_seconds
                self._until = until if self._until is None else min(self._until, until)
            for opened in answer.epochs:
                if not opened.error:
                    chains = {category.value: start for category, start in opened.chains.items()}
                    self._readers[opened.epoch] = EpochReader(opened.epoch, chains)

    def wrap_key(self, category: str, epoch: bytes, index: int) -> bytes:
        """Return one wrap key; IntegrityError for an epoch that is not open."""
        reader = self._readers.get(epoch)
        if reader is None:
            raise IntegrityError("the epoch could not be opened")
        return reader.wrap_key(category, index)
