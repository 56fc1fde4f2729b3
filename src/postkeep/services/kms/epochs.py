"""Opening epochs in bulk, and handing them back in the form that opens cheaply next time."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from postkeep.base.errors import IntegrityError, PostkeepError
from postkeep.crypto import epoch as epochs
from postkeep.crypto import hpke
from postkeep.model.categories import Category
from postkeep.services.kms.api import OpenedEpoch, SealedEpoch
from postkeep.services.kms.principals import PrincipalKeys

EPOCHS_PER_CALL_MAX: Final = 32_768
"""Epochs in one call: about 40 MB sealed to public keys, or 3 MB in the cheap form."""
TURN: Final = 64
"""Epochs opened before other callers get their turn: 0.5 ms of cheap ones, 7 ms of HPKE."""


class EpochOpener:
    """Opens epochs of one principal for some categories."""

    def __init__(self, keys: PrincipalKeys, categories: Iterable[Category]) -> None:
        self._keys = keys
        self._categories = tuple(categories)
        self._private: dict[int, hpke.PrivateKey] = {}

    def open(self, request: SealedEpoch) -> OpenedEpoch:
        """Return the chain starts of one epoch, or the error code of why not."""
        epoch, sealed = request.epoch, request.sealed
        try:
            generation = epochs.sealed_generation(sealed)
            half = self._keys.generations.get(generation)
            if half is None:
                raise IntegrityError("sealed to a generation that is not there")
            if epochs.is_rewrapped(sealed):
                seed = half.rewrapper.open(epoch, sealed)
                cheaper = None
            else:
                private = self._private.get(generation)
                if private is None:
                    private = self._private[generation] = half.private_key()
                seed = epochs.open_seed(private, self._keys.tenant, self._keys.principal, epoch, sealed)
                cheaper = half.rewrapper.rewrap(epoch, seed)
        except PostkeepError as error:
            return OpenedEpoch(epoch, {}, error=error.code)
        starts = epochs.chain_starts(seed)
        return OpenedEpoch(epoch, {category: starts[category] for category in self._categories}, cheaper)

    async def open_all(self, requests: Sequence[SealedEpoch]) -> list[OpenedEpoch]:
        """Open many, giving way to other work in between."""
        opened: list[OpenedEpoch] = []
        for start in range(0, len(requests), TURN):
            opened += map(self.open, requests[start : start + TURN])
            await asyncio.sleep(0)
        return opened
