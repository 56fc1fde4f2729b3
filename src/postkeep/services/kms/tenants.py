"""Tenants' keys and the category keys below them: made, unwrapped, kept in memory for a while, forgotten.

```
root key + slot -> [a custodian's key ->] tenant key -> category key
```

A tenant key lies wrapped under the root key and the tenant's slot. A tenant that holds a key of its own has
it wrapped under that one first (`TenantSeal`): both are then needed, and the slot still ends both.
"""

import asyncio
import os
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol

from postkeep.base.clock import Clock
from postkeep.base.errors import IntegrityError, NotFoundError
from postkeep.base.secret import Secret
from postkeep.crypto.context import context
from postkeep.crypto.wrap import KEY_BYTES, Wrapper, subkey
from postkeep.model.categories import Category
from postkeep.stores.kms_keys import KmsKeyRows, TenantKeyRow
from postkeep.stores.slots import ErasableSlots

TENANTS_CACHED_MAX: Final = 4_096
"""Tenants whose category keys stay unwrapped in memory: some hundred bytes each."""
KEYED_CATEGORIES: Final = (Category.SECRET, Category.ACCOUNT)
"""Categories with a key of their own: principals' private keys are `secret`, the directory is `account`.
Content and metadata hang on the principal's key pair."""


class TenantSeal(Protocol):
    """What lies between a tenant's key and the root key: nothing, or a key that the customer holds.

    Both may wait for a device or a service outside; UnavailableError when it does not answer or refuses.
    """

    async def wrap(self, tenant: bytes, key: bytes) -> bytes:
        """Wrap a tenant's key, bound to the tenant."""

    async def unwrap(self, tenant: bytes, wrapped: bytes) -> bytes:
        """Return the tenant's key."""


class Custodians(Protocol):
    """Finds the seal of a custodian."""

    async def seal(self, name: str) -> TenantSeal:
        """Return a custodian's seal by its name, `TenantKeyRow.custody`; never called for the empty one."""


class NoCustodians:
    """No customer holds a key of its own."""

    async def seal(self, name: str) -> TenantSeal:
        """Raise IntegrityError: the row names one that is not there."""
        raise IntegrityError(f"a tenant's key is in the custody of {name}, which is unknown")


@dataclass(frozen=True, slots=True)
class _Held:
    """A tenant's category keys in memory."""

    categories: dict[Category, Secret[bytes]]


class TenantKeys:
    """The one place that unwraps tenants' keys."""

    def __init__(
        self,
        root: Secret[bytes],
        rows: KmsKeyRows,
        slots: ErasableSlots,
        custodians: Custodians,
        clock: Clock,
    ) -> None:
        self._root = root
        self._rows = rows
        self._slots = slots
        self._custodians = custodians
        self._clock = clock
        self._held: OrderedDict[bytes, _Held] = OrderedDict()
        self._forgotten = 0
        """Counts what was forgotten: what was read before is not kept after."""

    async def make(self, tenant: bytes) -> None:
        """Make a tenant's key and its category keys, wrapped under the root key alone."""
        secret = os.urandom(KEY_BYTES)
        slot = (await asyncio.to_thread(self._slots.write_many, [secret]))[0]
        key = os.urandom(KEY_BYTES)
        wrapper = category_wrapper(key)
        categories = {
            category.value: wrapper.wrap(os.urandom(KEY_BYTES), category_path(tenant, category))
            for category in KEYED_CATEGORIES
        }
        wrapped = self._outer(tenant, secret).wrap(key, tenant_path(tenant, ""))
        await self._rows.add_tenant(TenantKeyRow(tenant, slot, wrapped, ""), categories, self._clock.now_ms())

    def held(self, tenant: bytes, category: Category) -> bytes | None:
        """Return a category's key if it is in memory."""
        found = self._held.get(tenant)
        if found is None:
            return None
        self._held.move_to_end(tenant)
        return found.categories[category].reveal()

    async def load(self, tenant: bytes) -> None:
        """Bring a tenant's keys into memory. It may wait for a custodian: call it without holding a lock.

        NotFoundError if there are none, or none any more; what a custodian raises if it refuses.
        """
        while tenant not in self._held:
            before = self._forgotten
            categories = await self._unwrap_categories(tenant)
            if before == self._forgotten:
                self._held[tenant] = _Held(categories)
        while len(self._held) > TENANTS_CACHED_MAX:
            self._held.popitem(last=False)

    async def tenant_key(self, row: TenantKeyRow) -> bytes:
        """Unwrap a tenant's key; NotFoundError if it was destroyed."""
        inner = self._outer(row.tenant, self._slot_secret(row)).unwrap(
            row.wrapped, tenant_path(row.tenant, row.custody)
        )
        if not row.custody:
            return inner
        return await (await self._custodians.seal(row.custody)).unwrap(row.tenant, inner)

    def forget(self, tenant: bytes) -> None:
        """Drop a tenant's keys from memory, and whatever is being read of them now."""
        self._forgotten += 1
        self._held.pop(tenant, None)

    async def _unwrap_categories(self, tenant: bytes) -> dict[Category, Secret[bytes]]:
        row = await self._rows.tenant(tenant)
        if row is None:
            raise NotFoundError("the tenant has no keys, or they were destroyed")
        wrapper = category_wrapper(await self.tenant_key(row))
        keys = {}
        for category in KEYED_CATEGORIES:
            wrapped = await self._rows.category(tenant, category.value)
            if wrapped is None:
                raise IntegrityError("a category key of a tenant is missing")
            keys[category] = Secret(wrapper.unwrap(wrapped, category_path(tenant, category)))
        return keys

    def _outer(self, tenant: bytes, slot_secret: bytes) -> Wrapper:
        path = context("tenant wrapping", tenant)
        return Wrapper(subkey(self._root.reveal(), path, slot_secret))

    def _slot_secret(self, row: TenantKeyRow) -> bytes:
        secret = self._slots.read_many([row.slot])[0]
        if secret is None:
            raise NotFoundError("the tenant's keys were destroyed")
        return secret


def tenant_path(tenant: bytes, custody: str) -> bytes:
    """Return what a wrapped tenant key is bound to."""
    return context("tenant key", tenant, custody) if custody else context("tenant key", tenant)


def category_wrapper(tenant_key: bytes) -> Wrapper:
    """Return what wraps a tenant's category keys."""
    return Wrapper(subkey(tenant_key, context("category wrapping")))


def category_path(tenant: bytes, category: Category) -> bytes:
    """Return what a wrapped category key is bound to."""
    return context("category key", tenant, category.value)
