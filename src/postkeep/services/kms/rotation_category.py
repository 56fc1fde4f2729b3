"""Rotation of a category's key: everything wrapped under one generation is taken to the next, in batches.

`secret` wraps principals' private halves and persons' keys. `account` wraps one data key, which stays the
same: keyed hashes and verifiers made with it can't be computed anew
(docs/adr/0012-generations-that-end-with-a-slot.md).
"""

import asyncio
import os
from typing import Final

from postkeep.base.errors import ConflictError, InvalidInputError, NotFoundError
from postkeep.crypto.wrap import KEY_BYTES
from postkeep.model.categories import Category
from postkeep.services.kms.principals import (
    data_key_of,
    data_key_path,
    data_key_wrapper,
    rewrap_half,
    rewrap_person_key,
)
from postkeep.services.kms.rotation_parts import BATCH_ROWS, REWRAPPING, TURN, RotationParts
from postkeep.services.kms.tenants import KEYED_CATEGORIES, CategoryKey, wrap_category
from postkeep.stores.kms_rotations import RotationRow

KIND: Final = "category"


class CategoryRotation:
    """Begins rotations of category keys, and takes them on step by step."""

    def __init__(self, parts: RotationParts) -> None:
        self._parts = parts

    async def begin(self, tenant: bytes, category: str) -> RotationRow:
        """Make the next generation of a category's key; what is wrapped from now on is wrapped under it."""
        parts = self._parts
        if category not in KEYED_CATEGORIES:
            raise InvalidInputError(
                public_text=f"The categories with keys are: {', '.join(KEYED_CATEGORIES)}."
            )
        kind = Category(category)
        while True:
            before = await parts.rows.tenant(tenant)
            if before is None:
                raise NotFoundError("the tenant has no keys")
            tenant_key = await parts.tenants.tenant_key(before)
            await parts.tenants.load(tenant)
            async with parts.hierarchy.changing:
                newest = parts.tenants.newest(tenant, kind)
                if await parts.rows.tenant(tenant) != before or newest is None:
                    continue  # rotated or destroyed meanwhile: look again
                row = parts.new_row(KIND, newest.generation, REWRAPPING, tenant, category=category)
                async with parts.witness.change():
                    secrets, slots = await parts.tenants.new_slots(1)
                    key = wrap_category(
                        tenant_key, tenant, category, row.new, os.urandom(KEY_BYTES), secrets[0], slots[0]
                    )
                    data_key = self._first_data_key(newest, tenant, kind)
                    await parts.rotations.begin_category(row, key, data_key, parts.clock.now_ms())
                parts.tenants.forget(tenant)
            return row

    @staticmethod
    def _first_data_key(newest: CategoryKey, tenant: bytes, category: Category) -> bytes | None:
        """Wrap what was derived from the first generation so far, so that it survives it."""
        if category is not Category.ACCOUNT or newest.generation != 1:
            return None
        key = newest.key.reveal()
        wrapper = data_key_wrapper(key, tenant, category.value, 1)
        return wrapper.wrap(data_key_of(key, tenant, category.value), data_key_path(tenant, category.value))

    async def step(self, row: RotationRow) -> None:
        """Take one step; each is durable before the next."""
        if row.phase == REWRAPPING:
            keys = await self._both(row)
            if keys is None:
                return  # the generations were read before the rotation began: they are read anew
            if row.category == Category.SECRET:
                more = await self._rewrap_halves(row, *keys) or await self._rewrap_people(row, *keys)
            else:
                more = await self._rewrap_data_key(row, *keys)
            if not more:
                await self._drop(row)
        else:
            async with self._parts.hierarchy.changing, self._parts.witness.change():
                await self._parts.erase_old(row)

    async def _both(self, row: RotationRow) -> tuple[bytes, bytes] | None:
        tenants = self._parts.tenants
        await tenants.load(row.tenant)
        category = Category(row.category)
        old = tenants.held(row.tenant, category, row.old)
        new = tenants.held(row.tenant, category, row.new)
        return None if old is None or new is None else (old, new)

    async def _rewrap_halves(self, row: RotationRow, old: bytes, new: bytes) -> bool:
        """Take a batch of private halves on; whether there may be more."""
        parts = self._parts
        batch = await parts.rotations.wraps(row.tenant, row.old, row.position, BATCH_ROWS)
        if not batch:
            if not row.position:
                return False
            # What was made while the walk went on lies behind it: look once more from the beginning.
            await parts.rotations.rewind(row)
            return True
        secrets = parts.slots.read_many([item.slot for item in batch])
        done: list[tuple[bytes, int, bytes]] = []
        for place, (item, secret) in enumerate(zip(batch, secrets, strict=True)):
            wrapped = item.wrapped  # one that is destroyed stays as dead as it is
            if secret is not None:
                wrapped = rewrap_half(old, new, row.tenant, item, secret)
            done.append((item.principal, item.generation, wrapped))
            if place % TURN == TURN - 1:
                await asyncio.sleep(0)
        await parts.rotations.rewrap(row, done, batch[-1].principal)
        return True

    async def _rewrap_people(self, row: RotationRow, old: bytes, new: bytes) -> bool:
        parts = self._parts
        batch = await parts.rotations.people(row.tenant, row.old, BATCH_ROWS)
        secrets = parts.slots.read_many([item.slot for item in batch])
        done = [
            (item.principal, rewrap_person_key(old, new, item, secret) if secret else item.wrapped)
            for item, secret in zip(batch, secrets, strict=True)
        ]
        if done:
            await parts.rotations.rewrap_people(row, done)
        return bool(batch)

    async def _rewrap_data_key(self, row: RotationRow, old: bytes, new: bytes) -> bool:
        parts = self._parts
        found = await parts.rows.data_key(row.tenant, row.category)
        if found is None or found[0] != row.old:
            return False
        path = data_key_path(row.tenant, row.category)
        key = data_key_wrapper(old, row.tenant, row.category, row.old).unwrap(found[1], path)
        wrapped = data_key_wrapper(new, row.tenant, row.category, row.new).wrap(key, path)
        await parts.rotations.rewrap_data_key(row, wrapped)
        return True

    async def _drop(self, row: RotationRow) -> None:
        """End the old generation, unless something came under it at the last moment."""
        parts = self._parts
        async with parts.hierarchy.changing:
            try:
                async with parts.witness.change():
                    await parts.rotations.drop_category(row)
            except ConflictError:
                return
            parts.tenants.forget(row.tenant)
