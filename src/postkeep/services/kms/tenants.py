"""Tenants' keys and the category keys below them: made, unwrapped, kept in memory for a while, forgotten.

```
root key + slot -> [a custodian's key ->] tenant key -> category key
```

A tenant key lies wrapped under the root key and the tenant's slot. A tenant that holds a key of its own has
it wrapped under that one first (`TenantSeal`): both are then needed, and the slot still ends both.
"""

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from postkeep.base.clock import Clock
from postkeep.base.errors import IntegrityError, NotFoundError, UnavailableError
from postkeep.base.secret import Secret
from postkeep.crypto.context import context
from postkeep.crypto.wrap import KEY_BYTES, Wrapper, subkey
from postkeep.model.categories import Category
from postkeep.services.kms.root_generations import RootKeys
from postkeep.stores.kms_keys import CategoryKeyRow, KmsKeyRows, TenantKeyRow
from postkeep.stores.slots import ErasableSlots

TENANTS_CACHED_MAX: Final = 4_096
"""Tenants whose category keys stay unwrapped in memory: some hundred bytes each."""
LEASE_SECONDS: Final = 300.0
"""How long the keys of a tenant that holds a key of its own are used before its custodian is asked again."""
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
    """Where no custodian can be asked, as away from the node: what needs one stays closed."""

    async def seal(self, name: str) -> TenantSeal:
        """Raise UnavailableError (`unavailable.custody`)."""
        raise UnavailableError(
            f"a tenant's key is in the custody of {name}, which can't be asked here",
            code="unavailable.custody",
        )


class CategoryKey(NamedTuple):
    """A generation of a category's key, unwrapped."""

    generation: int
    key: Secret[bytes]


@dataclass(frozen=True, slots=True)
class _Held:
    """A tenant's category keys in memory, by generation: one, or two while the category's is rotated."""

    categories: dict[Category, dict[int, Secret[bytes]]]


class TenantKeys:
    """The one place that unwraps tenants' keys."""

    def __init__(
        self,
        roots: RootKeys,
        rows: KmsKeyRows,
        slots: ErasableSlots,
        custodians: Custodians,
        clock: Clock,
        *,
        lease_seconds: float = LEASE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lease_seconds = lease_seconds
        self._monotonic = monotonic
        self._leases: dict[bytes, float] = {}
        """Until when the keys of tenants with a custodian may be used, on the monotonic clock."""
        self._roots = roots
        self._rows = rows
        self._slots = slots
        self._custodians = custodians
        self._clock = clock
        self._held: OrderedDict[bytes, _Held] = OrderedDict()
        self._forgotten = 0
        """Counts what was forgotten: what was read before is not kept after."""

    async def make(self, tenant: bytes) -> None:
        """Make a tenant's key and its category keys, wrapped under the root key alone."""
        secrets, slots = await self.new_slots(1 + len(KEYED_CATEGORIES))
        key = os.urandom(KEY_BYTES)
        categories = [
            wrap_category(key, tenant, category.value, 1, os.urandom(KEY_BYTES), secrets[place], slots[place])
            for place, category in enumerate(KEYED_CATEGORIES, 1)
        ]
        row = self.wrap_outer(TenantKeyRow(tenant, slots[0], b"", ""), key, secrets[0])
        await self._rows.add_tenant(row, categories, self._clock.now_ms())

    async def new_slots(self, count: int) -> tuple[list[bytes], list[int]]:
        """Fill slots with fresh secrets, durably; return the secrets and the slots."""
        secrets = [os.urandom(KEY_BYTES) for _ in range(count)]
        return secrets, list(await asyncio.to_thread(self._slots.write_many, secrets))

    def newest(self, tenant: bytes, category: Category) -> CategoryKey | None:
        """Return the newest generation of a category's key if it is in memory."""
        found = self._found(tenant)
        if found is None:
            return None
        generation = max(found.categories[category])
        return CategoryKey(generation, found.categories[category][generation])

    def held(self, tenant: bytes, category: Category, generation: int) -> bytes | None:
        """Return a generation of a category's key if the tenant's keys are in memory.

        IntegrityError if they are and this generation is none of them.
        """
        found = self._found(tenant)
        if found is None:
            return None
        if generation not in found.categories[category]:
            raise IntegrityError("a key is wrapped under a generation that is not there")
        return found.categories[category][generation].reveal()

    async def load(self, tenant: bytes) -> None:
        """Bring a tenant's keys into memory. It may wait for a custodian: call it without holding a lock.

        NotFoundError if there are none, or none any more; what a custodian raises if it refuses.
        """
        while self._found(tenant) is None:
            await self.renew(tenant)
        while len(self._held) > TENANTS_CACHED_MAX:
            self._held.popitem(last=False)

    async def renew(self, tenant: bytes) -> None:
        """Read a tenant's keys anew, asking the custodian; errors as `load`."""
        before, asked = self._forgotten, self._monotonic()
        row = await self._rows.tenant(tenant)
        if row is None:
            raise NotFoundError("the tenant has no keys, or they were destroyed")
        categories = await self._unwrap_categories(row)
        if before != self._forgotten:
            return
        self._held[tenant] = _Held(categories)
        if row.custody:
            self._leases[tenant] = asked + self.lease_seconds
        else:
            self._leases.pop(tenant, None)

    def lapsed(self, tenant: bytes) -> bool:
        """Whether the custodian of a tenant's keys has not agreed to their use for too long."""
        return tenant in self._leases and self._monotonic() >= self._leases[tenant]

    def lease_left(self, tenant: bytes) -> float:
        """Return for how many seconds the tenant's keys may be used; 0: it has no custodian."""
        return max(0.001, self._leases[tenant] - self._monotonic()) if tenant in self._leases else 0.0

    def leased(self) -> list[bytes]:
        """Return the tenants with a custodian whose keys were used since the start."""
        return [*self._leases]

    def _found(self, tenant: bytes) -> "_Held | None":
        found = self._held.get(tenant)
        if found is None or self.lapsed(tenant):
            return None
        self._held.move_to_end(tenant)
        return found

    async def tenant_key(self, row: TenantKeyRow) -> bytes:
        """Unwrap a tenant's key; NotFoundError if it was destroyed."""
        inner = self.unwrap_outer(row)
        if not row.custody:
            return inner
        return await (await self._custodians.seal(row.custody)).unwrap(row.tenant, inner)

    async def wrap_tenant(self, row: TenantKeyRow, key: bytes, slot_secret: bytes) -> TenantKeyRow:
        """Wrap a tenant's key under its custodian's, if it has one, and the newest root key."""
        if row.custody:
            key = await (await self._custodians.seal(row.custody)).wrap(row.tenant, key)
        return self.wrap_outer(row, key, slot_secret)

    def unwrap_outer(self, row: TenantKeyRow) -> bytes:
        """Take the root key's wrap off: what is inside may still be under a custodian's key."""
        secret = self._slots.read_many([row.slot])[0]
        if secret is None:
            raise NotFoundError("the tenant's keys were destroyed")
        return self._outer(row, secret).unwrap(row.wrapped, tenant_path(row.tenant, row.custody))

    def wrap_outer(self, row: TenantKeyRow, inner: bytes, slot_secret: bytes) -> TenantKeyRow:
        """Return the row with what is inside wrapped under the newest root key."""
        row = row._replace(root=self._roots.current)
        wrapped = self._outer(row, slot_secret).wrap(inner, tenant_path(row.tenant, row.custody))
        return row._replace(wrapped=wrapped)

    def rewrap_outer(self, row: TenantKeyRow) -> TenantKeyRow | None:
        """Return the row under the newest root key; None if the tenant's keys were destroyed meanwhile."""
        secret = self._slots.read_many([row.slot])[0]
        return None if secret is None else self.wrap_outer(row, self.unwrap_outer(row), secret)

    def forget(self, tenant: bytes) -> None:
        """Drop a tenant's keys from memory, and whatever is being read of them now; a lease goes on."""
        self._forgotten += 1
        self._held.pop(tenant, None)

    async def _unwrap_categories(self, row: TenantKeyRow) -> dict[Category, dict[int, Secret[bytes]]]:
        tenant = row.tenant
        found = self.unwrap_categories(
            await self.tenant_key(row), tenant, await self._rows.categories(tenant)
        )
        if not all(found[category] for category in KEYED_CATEGORIES):
            raise IntegrityError("a category key of a tenant is missing")
        return found

    def unwrap_categories(
        self, tenant_key: bytes, tenant: bytes, rows: Sequence[CategoryKeyRow]
    ) -> dict[Category, dict[int, Secret[bytes]]]:
        """Unwrap a tenant's category keys; NotFoundError if one was destroyed."""
        keys: dict[Category, dict[int, Secret[bytes]]] = {category: {} for category in KEYED_CATEGORIES}
        for row in rows:
            secret = None if row.slot is None else self._slots.read_many([row.slot])[0]
            if row.slot is not None and secret is None:
                raise NotFoundError("the tenant's keys were destroyed")
            wrapper = category_wrapper(tenant_key, tenant, row.category, row.generation, secret)
            path = category_path(tenant, row.category, None if secret is None else row.generation)
            keys[Category(row.category)][row.generation] = Secret(wrapper.unwrap(row.wrapped, path))
        return keys

    def _outer(self, row: TenantKeyRow, slot_secret: bytes) -> Wrapper:
        path = context("tenant wrapping", row.tenant)
        return Wrapper(subkey(self._roots.key(row.root), path, slot_secret))


def tenant_path(tenant: bytes, custody: str) -> bytes:
    """Return what a wrapped tenant key is bound to."""
    return context("tenant key", tenant, custody) if custody else context("tenant key", tenant)


def wrap_category(  # noqa: PLR0917 - a key's path in its order
    tenant_key: bytes,
    tenant: bytes,
    category: str,
    generation: int,
    key: bytes,
    slot_secret: bytes,
    slot: int,
) -> CategoryKeyRow:
    """Wrap a generation of a category's key under the tenant's and its slot."""
    wrapper = category_wrapper(tenant_key, tenant, category, generation, slot_secret)
    wrapped = wrapper.wrap(key, category_path(tenant, category, generation))
    return CategoryKeyRow(category, generation, slot, wrapped)


def category_wrapper(
    tenant_key: bytes, tenant: bytes, category: str, generation: int, slot_secret: bytes | None
) -> Wrapper:
    """Return what wraps a generation of a category's key; without a slot, as all once were."""
    if slot_secret is None:
        return Wrapper(subkey(tenant_key, context("category wrapping")))
    return Wrapper(
        subkey(tenant_key, context("category wrapping", tenant, category, generation), slot_secret)
    )


def category_path(tenant: bytes, category: str, generation: int | None) -> bytes:
    """Return what a wrapped category key is bound to; without a generation, as all once were."""
    if generation is None:
        return context("category key", tenant, category)
    return context("category key", tenant, category, generation)
