"""The key hierarchy at work: root, tenant, category, principal; made, opened and destroyed.

```
root key -> tenant key -> category key -> principal's key pair
              ^ slot                          ^ slot
```

A key with a slot is wrapped under a key derived from its parent and a random secret in an erasable slot.
Erasing the slot makes every copy of the wrapped key useless, in whatever backup or log it still lies.
"""

import asyncio
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, IntegrityError, NotFoundError
from postkeep.base.secret import Secret
from postkeep.crypto import hpke
from postkeep.crypto.context import context
from postkeep.crypto.directory_key import public_key_statement
from postkeep.crypto.epoch import EpochRewrapper
from postkeep.crypto.wrap import KEY_BYTES, Wrapper, subkey
from postkeep.model.categories import Category
from postkeep.services.kms.api import SignedPublicKey
from postkeep.services.kms.signing import SigningKeys
from postkeep.services.kms.witness import StoreWitness
from postkeep.stores.kms_keys import KmsKeyRows, PrincipalKeyRow, TenantKeyRow
from postkeep.stores.slots import ErasableSlots

PRINCIPALS_CACHED_MAX: Final = 16_384
"""Principals whose private keys stay unwrapped in memory: about 4 KiB each."""
TENANTS_CACHED_MAX: Final = 4_096
"""Tenants whose category keys stay unwrapped in memory: some hundred bytes each."""
FIRST_GENERATION: Final = 1
KEYED_CATEGORIES: Final = (Category.SECRET, Category.ACCOUNT)
"""Categories with a key of their own: principals' private keys are `secret`, the directory is `account`.
Content and metadata hang on the principal's key pair."""


@dataclass(frozen=True, slots=True)
class PrivateHalf:
    """One generation of a principal's private key, unwrapped.

    The HPKE key is built when it is needed: after the first opening of an epoch only the rewrapper is, and
    it takes a third of the memory.
    """

    seeds: Secret[bytes]
    rewrapper: EpochRewrapper

    def private_key(self) -> hpke.PrivateKey:
        """Return the key to open HPKE with (about 0.15 ms)."""
        return hpke.PrivateKey(self.seeds.reveal())


@dataclass(slots=True)
class PrincipalKeys:
    """A principal's private keys by generation. `live` goes false the moment they are shredded."""

    tenant: bytes
    principal: bytes
    queue: bool
    generations: dict[int, PrivateHalf]
    live: bool = field(default=True)


class Hierarchy:
    """Keys of tenants and principals: the one place that unwraps them."""

    def __init__(
        self,
        root: Secret[bytes],
        rows: KmsKeyRows,
        slots: ErasableSlots,
        signing: SigningKeys,
        *,
        witness: StoreWitness,
        clock: Clock,
    ) -> None:
        self._root = root
        self._rows = rows
        self._slots = slots
        self._signing = signing
        self._witness = witness
        self._clock = clock
        # Held while keys are made, loaded or destroyed, so that nothing destroyed is loaded meanwhile.
        self._changing = asyncio.Lock()
        self._principals: OrderedDict[bytes, PrincipalKeys] = OrderedDict()
        self._tenants: OrderedDict[bytes, dict[Category, Secret[bytes]]] = OrderedDict()

    @property
    def state(self) -> int:
        """How many changes the key store has seen."""
        return self._witness.state

    @property
    def cached(self) -> int:
        """How many principals' keys are in memory."""
        return len(self._principals)

    async def provision_tenant(self, tenant: bytes) -> bool:
        """Make a tenant's keys; False if it has them. ConflictError if they were destroyed."""
        async with self._changing:
            if await self._rows.was_shredded(tenant, b""):
                raise ConflictError("the tenant's keys were destroyed")
            if await self._rows.tenant(tenant) is not None:
                return False
            async with self._witness.change():
                await self._make_tenant(tenant)
            return True

    async def _make_tenant(self, tenant: bytes) -> None:
        secret, slot = await self._new_slot()
        key = os.urandom(KEY_BYTES)
        wrapped = Wrapper(_tenant_wrapping(self._root, tenant, secret)).wrap(key, _tenant_path(tenant))
        wrapper = _category_wrapper(key)
        categories = {
            category.value: wrapper.wrap(os.urandom(KEY_BYTES), _category_path(tenant, category))
            for category in KEYED_CATEGORIES
        }
        row = TenantKeyRow(tenant, slot, wrapped)
        await self._rows.add_tenant(row, categories, self._clock.now_ms())

    async def provision_principal(
        self, tenant: bytes, principal: bytes, *, queue: bool
    ) -> tuple[SignedPublicKey, bool]:
        """Make a principal's key pair, or return the one there is, with whether it was made now.

        ConflictError if its keys were destroyed, or it exists elsewhere or as something else; NotFoundError
        if the tenant has no keys.
        """
        async with self._changing:
            if await self._rows.was_shredded(tenant, principal):
                raise ConflictError("the principal's keys were destroyed")
            rows = await self._rows.principal(principal)
            if rows:
                if rows[0].tenant != tenant or rows[0].queue != queue:
                    raise ConflictError("the principal exists in another tenant, or as something else")
                return _public(rows[0]), False
            async with self._witness.change():
                row = await self._new_principal(tenant, principal, queue=queue)
                await self._rows.add_principal(row, self._clock.now_ms())
            return _public(row), True

    async def principal(self, principal: bytes) -> PrincipalKeys:
        """Return a principal's private keys; NotFoundError if there are none, or none any more."""
        found = self._principals.get(principal)
        if found is not None:
            self._principals.move_to_end(principal)
            return found
        async with self._changing:
            rows = await self._rows.principal(principal)
            if not rows:
                raise NotFoundError("the principal has no keys")
            keys = await self._unwrap_principal(rows)
            self._principals[principal] = keys
            while len(self._principals) > PRINCIPALS_CACHED_MAX:
                self._principals.popitem(last=False)
            return keys

    async def data_key(self, tenant: bytes, category: Category) -> bytes:
        """Return the key under which a category's own keeper seals; the category key itself stays here."""
        async with self._changing:
            return subkey(
                await self._category_key(tenant, category), context("data key", tenant, category.value)
            )

    async def shred(self, tenant: bytes, principal: bytes) -> int:
        """Destroy a principal's keys, or (empty principal) all of a tenant's; return how many there were.

        Each step is durable before the next, and the whole may be repeated after a crash.
        """
        async with self._changing:
            async with self._witness.change():
                slots = await self._rows.slots_of(tenant, principal)
                await self._rows.mark_shredded(tenant, principal, self._clock.now_ms())
                self._forget(tenant, principal)
                await asyncio.to_thread(self._slots.erase_many, slots)
                await self._rows.delete(tenant, principal)
            return len(slots)

    def _forget(self, tenant: bytes, principal: bytes) -> None:
        candidates = [self._principals.get(principal)] if principal else list(self._principals.values())
        gone = [keys for keys in candidates if keys is not None and keys.tenant == tenant]
        for keys in gone:
            keys.live = False
            keys.generations.clear()
            del self._principals[keys.principal]
        if not principal:
            self._tenants.pop(tenant, None)

    async def _new_slot(self) -> tuple[bytes, int]:
        secret = os.urandom(KEY_BYTES)
        written = await asyncio.to_thread(self._slots.write_many, [secret])
        return secret, written[0]

    async def _new_principal(self, tenant: bytes, principal: bytes, *, queue: bool) -> PrincipalKeyRow:
        parent = await self._category_key(tenant, Category.SECRET)
        secret, slot = await self._new_slot()
        seeds = hpke.new_private_seeds()
        public_key = hpke.PrivateKey(seeds).public_bytes
        generation = FIRST_GENERATION
        wrapper = Wrapper(_principal_wrapping(parent, tenant, principal, generation, secret))
        wrapped = wrapper.wrap(seeds, _principal_path(tenant, principal, generation, queue, public_key))
        statement = public_key_statement(tenant, principal, generation, public_key)
        signature = self._signing.directory.sign(statement)
        return PrincipalKeyRow(tenant, principal, generation, queue, slot, wrapped, public_key, signature)

    async def _unwrap_principal(self, rows: list[PrincipalKeyRow]) -> PrincipalKeys:
        tenant, principal, queue = rows[0].tenant, rows[0].principal, rows[0].queue
        parent = await self._category_key(tenant, Category.SECRET)
        generations = {}
        for row, secret in zip(rows, self._slots.read_many([row.slot for row in rows]), strict=True):
            if secret is None:
                raise NotFoundError("the principal's keys were destroyed")
            wrapper = Wrapper(_principal_wrapping(parent, tenant, principal, row.generation, secret))
            path = _principal_path(row.tenant, principal, row.generation, row.queue, row.public_key)
            seeds = wrapper.unwrap(row.wrapped, path)
            rewrapper = EpochRewrapper(seeds, tenant, principal, row.generation)
            generations[row.generation] = PrivateHalf(Secret(seeds), rewrapper)
        return PrincipalKeys(tenant, principal, queue, generations)

    async def _category_key(self, tenant: bytes, category: Category) -> bytes:
        """Return a category's key, unwrapping the tenant's once. Call it with the lock held."""
        cached = self._tenants.get(tenant)
        if cached is None:
            cached = await self._unwrap_tenant(tenant)
            self._tenants[tenant] = cached
            while len(self._tenants) > TENANTS_CACHED_MAX:
                self._tenants.popitem(last=False)
        else:
            self._tenants.move_to_end(tenant)
        return cached[category].reveal()

    async def _unwrap_tenant(self, tenant: bytes) -> dict[Category, Secret[bytes]]:
        row = await self._rows.tenant(tenant)
        secret = None if row is None else self._slots.read_many([row.slot])[0]
        if row is None or secret is None:
            raise NotFoundError("the tenant has no keys, or they were destroyed")
        wrapping = Wrapper(_tenant_wrapping(self._root, tenant, secret))
        wrapper = _category_wrapper(wrapping.unwrap(row.wrapped, _tenant_path(tenant)))
        keys = {}
        for category in KEYED_CATEGORIES:
            wrapped = await self._rows.category(tenant, category.value)
            if wrapped is None:
                raise IntegrityError("a category key of a tenant is missing")
            keys[category] = Secret(wrapper.unwrap(wrapped, _category_path(tenant, category)))
        return keys


def _public(row: PrincipalKeyRow) -> SignedPublicKey:
    return SignedPublicKey(row.tenant, row.principal, row.generation, row.public_key, row.signature)


def _tenant_path(tenant: bytes) -> bytes:
    return context("tenant key", tenant)


def _tenant_wrapping(root: Secret[bytes], tenant: bytes, slot_secret: bytes) -> bytes:
    return subkey(root.reveal(), context("tenant wrapping", tenant), slot_secret)


def _category_wrapper(tenant_key: bytes) -> Wrapper:
    return Wrapper(subkey(tenant_key, context("category wrapping")))


def _category_path(tenant: bytes, category: Category) -> bytes:
    return context("category key", tenant, category.value)


def _principal_wrapping(
    category_key: bytes, tenant: bytes, principal: bytes, generation: int, slot_secret: bytes
) -> bytes:
    path = context("principal wrapping", tenant, principal, generation)
    return subkey(category_key, path, slot_secret)


def _principal_path(tenant: bytes, principal: bytes, generation: int, queue: int, public_key: bytes) -> bytes:
    return context("principal key", tenant, principal, generation, int(queue), public_key)
