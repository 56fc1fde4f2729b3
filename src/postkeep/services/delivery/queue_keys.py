"""The public keys of outbound queues, asked for now and then: one per company, one for the installation."""

import time
from collections.abc import Callable
from typing import Final, Protocol

from postkeep.services.authority.api import QueueKey
from postkeep.services.kms.api import SignedPublicKey

KNOWN_SECONDS: Final = 300.0
"""How long a key is not asked for again: keys change by rotation, and the old one still opens."""

KEYS_MAX: Final = 10_000
"""Keys kept, 1.4 KB each."""


class QueueKeySource(Protocol):
    """The authority, as far as this needs it."""

    async def queue_key(self, request: QueueKey) -> SignedPublicKey:
        """Give the public key of a tenant's queue."""


class QueueKeyCache:
    """Queue keys by tenant. Their signatures are checked where an epoch is begun (`epochs.EpochBook`)."""

    def __init__(self, authority: QueueKeySource, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._authority = authority
        self._monotonic = monotonic
        self._known: dict[bytes, tuple[SignedPublicKey, float]] = {}

    async def get(self, tenant: bytes) -> SignedPublicKey:
        """Return the key of a tenant's queue (NOBODY: the installation's). Raises UnavailableError."""
        key, until = self._known.get(tenant, (None, 0.0))
        if key is None or until <= self._monotonic():
            key = await self._authority.queue_key(QueueKey(tenant))
            if len(self._known) >= KEYS_MAX:
                self._known.clear()
            self._known[tenant] = (key, self._monotonic() + KNOWN_SECONDS)
        return key
