"""Tenants' keys that need a customer's key too.

A fresh secret of 32 bytes is wrapped by the customer; from it the key is derived that wraps the tenant's key,
and around both lies the root key's wrap with the tenant's slot as ever:

`version (1) || length (2) || secret under the customer's key || tenant key under a key of the secret`

So neither the customer's server nor anything on the way to it ever sees a tenant's key, and neither the
customer nor the installation can open one without the other.
"""

import os
import struct
from typing import Final, Protocol

import msgspec

from postkeep.base.errors import IntegrityError, UnavailableError
from postkeep.crypto.context import context
from postkeep.crypto.wrap import Wrapper, subkey
from postkeep.services.custody.api import SECRET_BYTES, Place, Unwrap, Value, Wrap
from postkeep.services.kms.signing import NamedKeys

PREFIX: Final = "custodian/"
"""Of the names of named keys in which custodians' places lie, wrapped under the root key."""
VERSION: Final = 1
CALL_SECONDS_MAX: Final = 20.0
"""Longer than the custody process waits for a token (15 s) or a server (10 s)."""
_HEAD: Final = struct.Struct(">BH")


class Custody(Protocol):
    """The way to customers' keys: the custody process."""

    async def wrap(self, request: Wrap) -> Value:
        """Wrap under a customer's key."""

    async def unwrap(self, request: Unwrap) -> Value:
        """Unwrap under a customer's key."""


class CustodianSeal:
    """One customer's key, as a `TenantSeal`."""

    def __init__(self, place: Place, custody: Custody) -> None:
        self._place = place
        self._custody = custody

    async def wrap(self, tenant: bytes, key: bytes) -> bytes:
        """Wrap a tenant's key so that the customer's key is needed to unwrap it."""
        secret = os.urandom(SECRET_BYTES)
        held = (await self._custody.wrap(Wrap(self._place, _path(tenant), secret))).value
        inner = _wrapper(secret, tenant).wrap(key, context("tenant key in custody", tenant, held))
        return _HEAD.pack(VERSION, len(held)) + held + inner

    async def unwrap(self, tenant: bytes, wrapped: bytes) -> bytes:
        """Return the tenant's key; UnavailableError (`unavailable.custody`) if the customer's key refuses."""
        if len(wrapped) < _HEAD.size or wrapped[0] != VERSION:
            raise IntegrityError("not a tenant key in custody of this version")
        end = _HEAD.size + _HEAD.unpack_from(wrapped)[1]
        held, inner = wrapped[_HEAD.size : end], wrapped[end:]
        secret = (await self._custody.unwrap(Unwrap(self._place, _path(tenant), held))).value
        return _wrapper(secret, tenant).unwrap(inner, context("tenant key in custody", tenant, held))


class CustodianRegistry:
    """Custodians by name. A name is made once and never used for another place."""

    def __init__(self, named: NamedKeys, custody: Custody) -> None:
        self._named = named
        self._custody = custody

    async def add(self, tenant: bytes, place: Place) -> str:
        """Keep a custodian's place; return the name."""
        name = f"{PREFIX}{tenant.hex()}/{os.urandom(8).hex()}"
        await self._named.add(name, msgspec.msgpack.encode(place), b"")
        return name

    async def place(self, name: str) -> Place:
        """Return a custodian's place."""
        found = await self._named.get(name)
        if found is None:
            raise IntegrityError(f"a tenant's key is in the custody of {name}, which is unknown")
        return msgspec.msgpack.decode(found[0], type=Place)

    async def seal(self, name: str) -> CustodianSeal:
        """Return a custodian's seal."""
        return CustodianSeal(await self.place(name), self._custody)

    def seal_of(self, place: Place) -> CustodianSeal:
        """Return the seal of a place that has no name yet."""
        return CustodianSeal(place, self._custody)

    async def forget_others(self, tenant: bytes, kept: str) -> None:
        """Forget a tenant's custodians but one: those of earlier changes, and of changes cut short."""
        for name in await self._named.names(f"{PREFIX}{tenant.hex()}/"):
            if name != kept:
                await self._named.remove(name)


class NoCustody:
    """The custody process does not run."""

    async def wrap(self, _request: Wrap) -> Value:
        """Raise UnavailableError."""
        raise _off()

    async def unwrap(self, _request: Unwrap) -> Value:
        """Raise UnavailableError."""
        raise _off()


def _off() -> UnavailableError:
    return UnavailableError(
        "no custody process runs",
        code="unavailable.custody",
        temporary=False,
        public_text="Customers' keys are not in use here: set `transit` or `modules` under [custody].",
    )


def _path(tenant: bytes) -> bytes:
    return context("custody secret", tenant)


def _wrapper(secret: bytes, tenant: bytes) -> Wrapper:
    return Wrapper(subkey(secret, context("custody wrapping", tenant)))
