"""Where people sign in from, sealed for the ledger under a key of each person's own.

The keys come from kms, each once in this process's life, and end with the person's other keys. Without kms
the event is recorded without these values: that somebody signed in is never kept back for want of an address.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec
import structlog

from postkeep.base.errors import PostkeepError
from postkeep.crypto.personal import PersonalSeal
from postkeep.model.audit import PersonalValues
from postkeep.services.kms.api import PersonKey, ReleasedKey

KEYS_MAX: Final = 8_192  # people whose keys are in memory, 1 KB each
KEY_SECONDS_MAX: Final = 2.0  # seconds that a sign-in waits for the key: once for each person
PROGRAM_CHARS_MAX: Final = 128  # characters of what a program calls itself
REASON_CHARS_MAX: Final = 500  # characters of a request's summary
ADDRESS_CHARS_MAX: Final = 64  # characters of an address: IPv6 with a zone

Sealer = Callable[[str, int], str]
"""Seals values for the event with this source and number."""

_log = structlog.get_logger(__name__)


class KeySource(Protocol):
    """What is asked of kms."""

    def person_key(self, request: PersonKey) -> Awaitable[ReleasedKey]:
        """Return a person's own key."""


class PersonKeys:
    """The keys of people who have signed in lately. Use it from one event loop."""

    def __init__(self) -> None:
        self._kms: KeySource | None = None
        self._seals: OrderedDict[tuple[bytes, bytes], PersonalSeal] = OrderedDict()
        self._ended = 0

    def use(self, kms: KeySource) -> None:
        """Ask kms for keys from now on."""
        self._kms = kms

    async def sealer(self, tenant: bytes, principal: bytes, values: PersonalValues) -> Sealer | None:
        """Return what seals these values; None where the person has no key, or kms is away."""
        seal = self._seals.get((tenant, principal)) or await self._fetch(tenant, principal)
        if seal is None:
            return None
        octets = msgspec.json.encode(
            PersonalValues(
                values.address[:ADDRESS_CHARS_MAX],
                values.program[:PROGRAM_CHARS_MAX],
                values.reason[:REASON_CHARS_MAX],
            )
        )
        return lambda source, number: seal.seal(octets, source, number)

    def forget(self, tenant: bytes, principal: bytes = b"") -> None:
        """Let go of a person's key, or with `principal` empty of those of everybody in the tenant."""
        self._ended += 1
        for name in [one for one in self._seals if one[0] == tenant and principal in {b"", one[1]}]:
            del self._seals[name]

    async def _fetch(self, tenant: bytes, principal: bytes) -> PersonalSeal | None:
        if self._kms is None:
            return None
        ended = self._ended
        try:
            async with asyncio.timeout(KEY_SECONDS_MAX):
                released = await self._kms.person_key(PersonKey(tenant, principal))
        except (PostkeepError, TimeoutError) as error:
            code = error.code if isinstance(error, PostkeepError) else "timeout"
            _log.warning("person_key_missing", code=code)
            return None
        seal = PersonalSeal(released.key, tenant, principal)
        if self._ended == ended:  # nobody's key ended while this one was on its way
            self._seals[tenant, principal] = seal
            if len(self._seals) > KEYS_MAX:
                self._seals.popitem(last=False)
        return seal
