"""The epochs that this writer has open: one per principal and key generation, the least used forgotten."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from postkeep.base.clock import Clock
from postkeep.crypto.directory_key import check_public_key
from postkeep.crypto.epoch import EpochStep, EpochWriter
from postkeep.services.kms.api import SignedPublicKey
from postkeep.services.vault.api import NewEpoch

WRITERS_MAX: Final = 20_000
"""Open epochs, some 2 KB each. Forgetting one costs 0.3 ms and 1.2 KB of storage at its next message."""


class OpenEpoch:
    """An epoch with the value that makes the vault know it, sent along until the vault has said so."""

    __slots__ = ("acknowledged", "announcement", "writer")

    def __init__(self, writer: EpochWriter) -> None:
        self.writer = writer
        self.announcement = NewEpoch(writer.tenant, writer.principal, writer.epoch, writer.sealed)
        self.acknowledged = False


class EpochBook:
    """Gives each message its step of the right epoch; begins a new epoch where none is usable."""

    def __init__(
        self, directory_key: Callable[[], bytes], clock: Clock, *, writers_max: int = WRITERS_MAX
    ) -> None:
        self._directory_key = directory_key
        self._clock = clock
        self._writers_max = writers_max
        self._open: OrderedDict[tuple[bytes, bytes, int], OpenEpoch] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def take(self, key: SignedPublicKey) -> tuple[OpenEpoch, EpochStep]:
        """Return the next step for a principal.

        A key that kms has not signed raises IntegrityError: it is checked before an epoch begins, and an
        epoch that is open stays sealed to the key it began with.
        """
        place = (key.tenant, key.principal, key.generation)
        now = self._clock.now_seconds()
        found = self._open.get(place)
        if found is None or not found.writer.usable(now):
            found = self._begin(key, now)
            self._open[place] = found
            if len(self._open) > self._writers_max:
                self._open.popitem(last=False)
        self._open.move_to_end(place)
        return found, found.writer.take()

    def _begin(self, key: SignedPublicKey, now: int) -> OpenEpoch:
        check_public_key(
            self._directory_key(), key.tenant, key.principal, key.generation, key.public_key, key.signature
        )
        return OpenEpoch(EpochWriter(key.tenant, key.principal, key.generation, key.public_key, now))
