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
from postkeep.base.errors import ConflictError, NotFoundError
from postkeep.base.secret import Secret
from postkeep.crypto import hpke
from postkeep.crypto.context import context
from postkeep.crypto.directory_key import public_key_statement
from postkeep.crypto.epoch import EpochRewrapper
from postkeep.crypto.wrap import KEY_BYTES, Wrapper, subkey
from postkeep.model.categories import Category
from postkeep.services.kms.api import SignedPublicKey
from postkeep.services.kms.signing import SigningKeys
from postkeep.services.kms.tenants import TenantKeys
from postkeep.services.kms.witness import StoreWitness
from postkeep.stores.kms_keys import KmsKeyRows, PrincipalKeyRow
from postkeep.stores.slots import ErasableSlots

PRINCIPALS_CACHED_MAX: Final = 16_384
"""Principals whose private keys stay unwrapped in memory: about 4 KiB each."""
FIRST_GENERATION: Final = 1


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
        tenants: TenantKeys,
        rows: KmsKeyRows,
        slots: ErasableSlots,
        signing: SigningKeys,
        *,
        witness: StoreWitness,
        clock: Clock,
    ) -> None:
        self._tenants = tenants
        self._rows = rows
        self._slots = slots
        self._signing = signing
        self._witness = witness
        self._clock = clock
        # Held while keys are made, loaded or destroyed, so that nothing destroyed is loaded meanwhile.
        self._changing = asyncio.Lock()
        self._principals: OrderedDict[bytes, PrincipalKeys] = OrderedDict()

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
                await self._tenants.make(tenant)
            return True

    async def provision_principal(
        self, tenant: bytes, principal: bytes, *, queue: bool
    ) -> tuple[SignedPublicKey, bool]:
        """Make a principal's key pair, or return the one there is, with whether it was made now.

        ConflictError if its keys were destroyed, or it exists elsewhere or as something else; NotFoundError
        if the tenant has no keys.
        """
        while True:
            async with self._changing:
                if await self._rows.was_shredded(tenant, principal):
                    raise ConflictError("the principal's keys were destroyed")
                rows = await self._rows.principal(principal)
                if rows:
                    if rows[0].tenant != tenant or rows[0].queue != queue:
                        raise ConflictError("the principal exists in another tenant, or as something else")
                    return _public(rows[0]), False
                parent = self._tenants.held(tenant, Category.SECRET)
                if parent is not None:
                    async with self._witness.change():
                        row = await self._new_principal(parent, tenant, principal, queue=queue)
                        await self._rows.add_principal(row, self._clock.now_ms())
                    return _public(row), True
            await self._tenants.load(tenant)

    async def principal(self, principal: bytes) -> PrincipalKeys:
        """Return a principal's private keys; NotFoundError if there are none, or none any more."""
        found = self._principals.get(principal)
        if found is not None:
            self._principals.move_to_end(principal)
            return found
        while True:
            async with self._changing:
                found = self._principals.get(principal)
                if found is not None:  # somebody else has loaded it meanwhile
                    return found
                rows = await self._rows.principal(principal)
                if not rows:
                    raise NotFoundError("the principal has no keys")
                tenant = rows[0].tenant
                parent = self._tenants.held(tenant, Category.SECRET)
                if parent is not None:
                    return self._keep(self._unwrap_principal(parent, rows))
            await self._tenants.load(tenant)  # may wait for a custodian outside: nobody else waits with it

    def _keep(self, keys: PrincipalKeys) -> PrincipalKeys:
        self._principals[keys.principal] = keys
        while len(self._principals) > PRINCIPALS_CACHED_MAX:
            self._principals.popitem(last=False)
        return keys

    async def data_key(self, tenant: bytes, category: Category) -> bytes:
        """Return the key under which a category's own keeper seals; the category key itself stays here."""
        while (parent := self._tenants.held(tenant, category)) is None:
            await self._tenants.load(tenant)
        return subkey(parent, context("data key", tenant, category.value))

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
            self._forget(tenant, principal)  # once more: a tenant's keys are loaded outside the lock
            return len(slots)

    def _forget(self, tenant: bytes, principal: bytes) -> None:
        candidates = [self._principals.get(principal)] if principal else list(self._principals.values())
        gone = [keys for keys in candidates if keys is not None and keys.tenant == tenant]
        for keys in gone:
            keys.live = False
            keys.generations.clear()
            del self._principals[keys.principal]
        if not principal:
            self._tenants.forget(tenant)

    async def _new_slot(self) -> tuple[bytes, int]:
        secret = os.urandom(KEY_BYTES)
        written = await asyncio.to_thread(self._slots.write_many, [secret])
        return secret, written[0]

    async def _new_principal(
        self, parent: bytes, tenant: bytes, principal: bytes, *, queue: bool
    ) -> PrincipalKeyRow:
        secret, slot = await self._new_slot()
        seeds = hpke.new_private_seeds()
        public_key = hpke.PrivateKey(seeds).public_bytes
        generation = FIRST_GENERATION
        wrapper = Wrapper(_principal_wrapping(parent, tenant, principal, generation, secret))
        wrapped = wrapper.wrap(seeds, _principal_path(tenant, principal, generation, queue, public_key))
        statement = public_key_statement(tenant, principal, generation, public_key)
        signature = self._signing.directory.sign(statement)
        return PrincipalKeyRow(tenant, principal, generation, queue, slot, wrapped, public_key, signature)

    def _unwrap_principal(self, parent: bytes, rows: list[PrincipalKeyRow]) -> PrincipalKeys:
        tenant, principal, queue = rows[0].tenant, rows[0].principal, rows[0].queue
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


def _public(row: PrincipalKeyRow) -> SignedPublicKey:
    return SignedPublicKey(row.tenant, row.principal, row.generation, row.public_key, row.signature)


def _principal_wrapping(
    category_key: bytes, tenant: bytes, principal: bytes, generation: int, slot_secret: bytes
) -> bytes:
    path = context("principal wrapping", tenant, principal, generation)
    return subkey(category_key, path, slot_secret)


def _principal_path(tenant: bytes, principal: bytes, generation: int, queue: int, public_key: bytes) -> bytes:
    return context("principal key", tenant, principal, generation, int(queue), public_key)
