"""The key hierarchy at work: root, tenant, category, principal; made, opened and destroyed.

```
root key -> tenant key -> category key -> principal's key pair
   ^ slot      ^ slot         ^ slot            ^ slot
```

A key with a slot is wrapped under a key derived from its parent and a random secret in an erasable slot.
Erasing the slot makes every copy of the wrapped key useless, in whatever backup or log it still lies.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, NotFoundError, PostkeepError, UnavailableError
from postkeep.model.categories import Category
from postkeep.services.destruction.hold import held_error
from postkeep.services.kms.api import SignedPublicKey
from postkeep.services.kms.principals import (
    PrincipalKeys,
    PrivateHalf,
    data_key_of,
    data_key_path,
    data_key_wrapper,
    new_pair,
    new_person_key,
    unwrap_half,
    unwrap_person_key,
)
from postkeep.services.kms.signing import SigningKeys
from postkeep.services.kms.tenants import CategoryKey, TenantKeys
from postkeep.services.kms.witness import StoreWitness
from postkeep.stores.kms_keys import KmsKeyRows, PrincipalKeyRow
from postkeep.stores.slots import ErasableSlots

HALVES_CACHED_MAX: Final = 32_768
"""Private halves that stay unwrapped in memory, of all principals together: about 3 KB each, 100 MB in
all."""
FIRST_GENERATION: Final = 1


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
        self.changing = asyncio.Lock()
        """Held while keys are made, loaded or destroyed, so that nothing destroyed is loaded meanwhile."""
        self._principals: OrderedDict[bytes, PrincipalKeys] = OrderedDict()
        self._halves = 0

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
        async with self.changing:
            if await self._rows.was_shredded(tenant, b""):
                raise ConflictError("the tenant's keys were destroyed")
            if await self._rows.tenant(tenant) is not None:
                return False
            async with self._witness.change():
                await self._tenants.make(tenant)
            return True

    async def provision_principal(
        self,
        tenant: bytes,
        principal: bytes,
        *,
        queue: bool,
        store: Callable[[PrincipalKeyRow], Awaitable[None]] | None = None,
    ) -> tuple[SignedPublicKey, bool]:
        """Make a principal's key pair, or return the newest there is, with whether it was made now.

        `store` makes the new pair's row durable, with what else has to come with it; None: the row alone.
        ConflictError if its keys were destroyed, or it exists elsewhere or as something else; NotFoundError
        if the tenant has no keys.
        """
        while True:
            async with self.changing:
                if await self._rows.was_shredded(tenant, principal):
                    raise ConflictError("the principal's keys were destroyed")
                rows = await self._rows.principal(principal)
                if rows:
                    if rows[0].tenant != tenant or rows[0].queue != queue:
                        raise ConflictError("the principal exists in another tenant, or as something else")
                    return public_of(rows[0]), False
                parent = self._tenants.newest(tenant, Category.SECRET)
                if parent is not None:
                    async with self._witness.change():
                        row = await self.new_principal(
                            parent, tenant, principal, FIRST_GENERATION, queue=queue
                        )
                        await (store or self._rows.add_principal)(row)
                    return public_of(row), True
            await self._tenants.load(tenant)

    async def new_principal(
        self, parent: CategoryKey, tenant: bytes, principal: bytes, generation: int, *, queue: bool
    ) -> PrincipalKeyRow:
        """Make a generation of a key pair, its slot durable. Call it with the lock held, inside a change."""
        secrets, slots = await self._tenants.new_slots(1)
        return new_pair(
            parent,
            tenant,
            principal,
            generation,
            secrets[0],
            slots[0],
            self._signing.directory.sign,
            self._clock.now_ms(),
            queue=queue,
        )

    async def principal(self, principal: bytes) -> PrincipalKeys:
        """Return a principal's private keys; NotFoundError if there are none, or none any more."""
        found = self._principals.get(principal)
        if found is not None and not self._tenants.lapsed(found.tenant):
            self._principals.move_to_end(principal)
            return found
        while True:
            async with self.changing:
                found = self._principals.get(principal)
                if found is not None and not self._tenants.lapsed(found.tenant):
                    return found  # somebody else has loaded it meanwhile
                rows = await self._rows.principal(principal)
                if not rows:
                    raise NotFoundError("the principal has no keys")
                keys = self._unwrap_principal(rows)
                if keys is not None:
                    return self._keep(keys)
            await self._tenants.load(rows[0].tenant)  # may wait for a custodian: nobody else waits with it

    def _keep(self, keys: PrincipalKeys) -> PrincipalKeys:
        self._principals[keys.principal] = keys
        self._halves += len(keys.generations)
        while self._halves > HALVES_CACHED_MAX and len(self._principals) > 1:
            self._let_go(next(iter(self._principals)))
        return keys

    def _let_go(self, principal: bytes) -> PrincipalKeys | None:
        """Take a principal's keys out of memory."""
        keys = self._principals.pop(principal, None)
        if keys is not None:
            self._halves -= len(keys.generations)
        return keys

    async def data_key(self, tenant: bytes, category: Category) -> bytes:
        """Return the key under which a category's own keeper seals; the category key itself stays here."""
        while True:
            async with self.changing:
                row = await self._rows.data_key(tenant, category.value)
                generation = FIRST_GENERATION if row is None else row[0]
                parent = self._tenants.held(tenant, category, generation)
                if parent is not None and row is None:
                    return data_key_of(parent, tenant, category.value)
                if parent is not None and row is not None:
                    wrapper = data_key_wrapper(parent, tenant, category.value, generation)
                    return wrapper.unwrap(row[1], data_key_path(tenant, category.value))
            await self._tenants.load(tenant)

    async def person_key(self, tenant: bytes, principal: bytes) -> bytes:
        """Return a person's own key, made at first use: it ends with the person's other keys.

        NotFoundError if they were destroyed, or the person has none.
        """
        while True:
            async with self.changing:
                if await self._rows.was_shredded(tenant, principal):
                    raise NotFoundError("the principal's keys were destroyed")
                row = await self._rows.person(tenant, principal)
                newest = self._tenants.newest(tenant, Category.SECRET)
                if newest is not None and row is None:
                    if not any(pair.tenant == tenant for pair in await self._rows.principal(principal)):
                        raise NotFoundError("the principal has no keys")
                    async with self._witness.change():
                        secrets, slots = await self._tenants.new_slots(1)
                        row = new_person_key(newest, tenant, principal, secrets[0], slots[0])
                        await self._rows.add_person(row)
                if row is not None and self._tenants.held(tenant, Category.SECRET, row.parent) is not None:
                    return await self.held_person_key(tenant, principal)
            await self._tenants.load(tenant)

    async def held_person_key(self, tenant: bytes, principal: bytes) -> bytes:
        """Return a person's own key that there is already; NotFoundError if it was destroyed.

        Call it with the lock held and the tenant's keys loaded.
        """
        row = await self._rows.person(tenant, principal)
        if row is None:
            raise NotFoundError("the person has no key")
        return unwrap_person_key(self._parent(tenant, row.parent), row, self._slots.read(row.slot))

    def half_of(self, row: PrincipalKeyRow) -> PrivateHalf:
        """Unwrap the private half of a pair; call it with the lock held and the tenant's keys loaded."""
        return unwrap_half(self._parent(row.tenant, row.parent), row, self._slots.read(row.slot))

    async def generations(self, principal: bytes) -> frozenset[int]:
        """Return the generations that a principal's key pair has now."""
        return frozenset(row.generation for row in await self._rows.principal(principal))

    async def new_slots(self, count: int) -> tuple[list[bytes], list[int]]:
        """Fill slots with fresh secrets, durably; return secrets and slots. Call it inside a change."""
        return await self._tenants.new_slots(count)

    def _parent(self, tenant: bytes, generation: int) -> bytes:
        parent = self._tenants.held(tenant, Category.SECRET, generation)
        if parent is None:
            raise UnavailableError("the tenant's keys were taken out of memory meanwhile")
        return parent

    async def shred(self, tenant: bytes, principal: bytes) -> int:
        """Destroy a principal's keys, or (empty principal) all of a tenant's; return how many there were.

        Each step is durable before the next, and the whole may be repeated after a crash.
        """
        async with self.changing:
            held = await self._rows.holds_on(tenant, principal, self._clock.now_ms())
            if held:
                raise held_error([(row.hold, row.kind) for row in held])
            async with self._witness.change():
                slots = await self._rows.slots_of(tenant, principal)
                await self._rows.mark_shredded(tenant, principal, self._clock.now_ms())
                self._forget(tenant, principal)
                await asyncio.to_thread(self._slots.erase_many, slots)
                await self._rows.delete(tenant, principal)
            self._forget(tenant, principal)  # once more: a tenant's keys are loaded outside the lock
            return len(slots)

    def lease_left(self, tenant: bytes) -> float:
        """Return for how many seconds a tenant's opened keys may be used; 0: no custodian limits it."""
        return self._tenants.lease_left(tenant)

    async def ask_custodian(self, tenant: bytes) -> None:
        """Ask a tenant's custodian now; what is in memory goes if it refuses, and the refusal is raised."""
        try:
            await self._tenants.renew(tenant)
        except PostkeepError:
            self.forget_tenant(tenant)
            raise

    def forget_tenant(self, tenant: bytes) -> None:
        """Take everything of a tenant out of memory."""
        self._forget(tenant, b"")

    async def renew_leases(self) -> list[bytes]:
        """Ask the custodians of all tenants in use; forget those whose lease is over, and return them."""
        refused = []
        for tenant in self._tenants.leased():
            try:
                await self._tenants.renew(tenant)
            except PostkeepError:
                if self._tenants.lapsed(tenant):
                    self.forget_tenant(tenant)
                    refused.append(tenant)
        return refused

    def drop(self, principal: bytes, generation: int | None = None) -> None:
        """Take a principal's keys out of memory, to be read anew, or one generation that has ended."""
        keys = self._let_go(principal)
        if keys is not None and generation is not None:
            keys.generations.pop(generation, None)

    def _forget(self, tenant: bytes, principal: bytes) -> None:
        candidates = [self._principals.get(principal)] if principal else list(self._principals.values())
        gone = [keys for keys in candidates if keys is not None and keys.tenant == tenant]
        for keys in gone:
            self._let_go(keys.principal)
            keys.live = False
            keys.generations.clear()
        if not principal:
            self._tenants.forget(tenant)

    def _unwrap_principal(self, rows: list[PrincipalKeyRow]) -> PrincipalKeys | None:
        """Unwrap all generations; None if the tenant's keys have to be loaded first."""
        tenant, principal, queue = rows[0].tenant, rows[0].principal, rows[0].queue
        generations = {}
        for row, secret in zip(rows, self._slots.read_many([row.slot for row in rows]), strict=True):
            parent = self._tenants.held(tenant, Category.SECRET, row.parent)
            if parent is None:
                return None
            if secret is None:
                raise NotFoundError("the principal's keys were destroyed")
            generations[row.generation] = unwrap_half(parent, row, secret)
        return PrincipalKeys(tenant, principal, queue, generations)


def public_of(row: PrincipalKeyRow) -> SignedPublicKey:
    """Return the public half, as it is handed out."""
    return SignedPublicKey(row.tenant, row.principal, row.generation, row.public_key, row.signature)
