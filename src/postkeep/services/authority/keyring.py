"""The authority's side of the ticket keys that kms keeps: fetched at the start, exchanged now and then.

Who checks tickets must have heard of a key before the first ticket signed with it comes along. So a new key
is published first, and signs a moment later; the one before it goes on being believed until the last ticket
that it signed has expired.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, PostkeepError, UnavailableError
from postkeep.model.audit import EventName
from postkeep.services.authority import api
from postkeep.services.kms.api import TicketKeys
from postkeep.services.ledger.trail import EventFields
from postkeep.tickets.identity import thumbprint
from postkeep.tickets.mint import Mint

FIRST_SETTLE_SECONDS: Final = 0.25
"""Between publishing a key at the start and signing with it: nobody has anything to sign in with yet."""

SETTLE_SECONDS: Final = 2.0
"""The same at a rotation: the supervisor tells every process in milliseconds, however busy the machine is in
seconds. Far below what kms allows for the handover."""

RETRY_SECONDS: Final = 1.0
"""Between questions to kms after a rotation whose answer was lost."""

CHECK_SECONDS: Final = 3600.0
"""How often the age of the key is looked at."""

DAY_MS: Final = 86_400_000

_log = structlog.get_logger(__name__)


class KeySource(Protocol):
    """Where the keys come from: the client of kms."""

    async def ticket_keys(self) -> TicketKeys:
        """Return the keys."""

    async def rotate_ticket_key(self) -> TicketKeys:
        """Make the next one, and return the keys."""


class Keyring:
    """Has the mint sign with the key that kms says, and everybody believe it."""

    def __init__(  # noqa: PLR0917 - what it stands between
        self,
        kms: KeySource,
        mint: Mint,
        publish: Callable[[str, bytes], None],
        retire: Callable[[bytes, float], None],
        note: Callable[[EventName, EventFields], None],
        clock: Clock,
    ) -> None:
        """`publish` has a key believed; `retire` ends that after some seconds."""
        self._kms = kms
        self._mint = mint
        self._publish = publish
        self._retire = retire
        self._note = note
        self._clock = clock
        self._keys: TicketKeys | None = None
        self._one_at_a_time = asyncio.Lock()
        self._in_doubt = asyncio.Event()

    async def fetch(self) -> None:
        """Take the keys as they are; raises what kms answers."""
        async with self._one_at_a_time:
            await self._take(await self._kms.ticket_keys(), FIRST_SETTLE_SECONDS)

    async def rotate(self) -> api.TicketKeyInfo:
        """Exchange the key; ConflictError where the last exchange is not over yet."""
        async with self._one_at_a_time:
            before = self._keys
            try:
                keys = await self._kms.rotate_ticket_key()
            except UnavailableError:
                self._in_doubt.set()  # it may have been made, and its answer lost
                raise
            await self._take(keys, SETTLE_SECONDS if before else FIRST_SETTLE_SECONDS)
        return api.TicketKeyInfo(
            thumbprint(keys.public_key),
            keys.created_ms,
            thumbprint(keys.previous) if keys.previous else "",
            keys.previous_until_ms,
        )

    async def keep(self, days_max: float) -> None:
        """Exchange the key when it has reached an age, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._in_doubt.wait()
            try:
                if self._in_doubt.is_set():
                    await self.fetch()
                    self._in_doubt.clear()
                if self._keys and self._clock.now_ms() - self._keys.created_ms > days_max * DAY_MS:
                    await self.rotate()
            except ConflictError:
                continue
            except PostkeepError as error:
                _log.warning("ticket_key_rotation_failed", code=error.code)
                await asyncio.sleep(RETRY_SECONDS)

    async def _take(self, keys: TicketKeys, settle_seconds: float) -> None:
        if keys.previous:
            self._publish("authority", keys.previous)
            self._retire(keys.previous, max(0.0, (keys.previous_until_ms - self._clock.now_ms()) / 1000))
        if self._keys is not None and keys.public_key == self._keys.public_key:
            return
        self._publish("authority", keys.public_key)
        # The whole key, so that an old ticket can still be checked in an investigation.
        self._note(
            EventName.AUTHORITY_KEY,
            EventFields(rule="signs tickets", digest=thumbprint(keys.public_key), note=keys.public_key.hex()),
        )
        await asyncio.sleep(settle_seconds)
        self._mint.adopt(Ed25519PrivateKey.from_private_bytes(keys.seed).sign)
        self._keys = keys
