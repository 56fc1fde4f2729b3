"""Rotation of the keys at the top: the root key, and a tenant's key.

The root key: the next one is made, handed over under the present one, and everything is wrapped under it row
by row; then the seal takes it in the place of the old one, and the old generation's slot is erased.

A tenant's key has a handful of rows below it: they change with it in one transaction.
"""

import asyncio
import os

from postkeep.base.errors import ConflictError, NotFoundError
from postkeep.base.secret import Secret
from postkeep.crypto.wrap import KEY_BYTES
from postkeep.model.categories import Category
from postkeep.services.kms.root import fits_check, make_check
from postkeep.services.kms.root_generations import hand_over, join, take_handed
from postkeep.services.kms.rotation_parts import BATCH_ROWS, ERASING, REWRAPPING, TURN, RotationParts
from postkeep.services.kms.tenants import wrap_category
from postkeep.stores.kms_installation import NamedKeyRow
from postkeep.stores.kms_keys import CategoryKeyRow
from postkeep.stores.kms_rotations import RotationRow

ROOT, TENANT = "root", "tenant"


class RootRotation:
    """Begins the rotation of the root key, and takes it on step by step."""

    def __init__(self, parts: RotationParts) -> None:
        self._parts = parts

    async def begin(self, root: Secret[bytes] | None = None) -> RotationRow:
        """Make the next root key, or take the one given; what is wrapped from now on is wrapped under it."""
        parts = self._parts
        async with parts.hierarchy.changing:
            old = parts.roots.current
            row = parts.new_row(ROOT, old, REWRAPPING)
            root = root or Secret(os.urandom(KEY_BYTES))
            async with parts.witness.change():
                secrets, slots = await parts.tenants.new_slots(1)
                handed = hand_over(Secret(parts.roots.key(old)), row.new, root)
                await parts.rotations.begin_root(row, make_check(root), slots[0], handed)
            parts.roots.add(row.new, join(root, row.new, secrets[0]))
        return row

    async def step(self, row: RotationRow) -> None:
        """Take one step; each is durable before the next."""
        if row.phase == REWRAPPING:
            if not await self._rewrap_tenants(row) and not await self._rewrap_named(row):
                await self._switch(row)
        else:
            async with self._parts.hierarchy.changing, self._parts.witness.change():
                await self._parts.erase_old(row)

    async def _rewrap_tenants(self, row: RotationRow) -> bool:
        parts = self._parts
        batch = await parts.rotations.tenants_under(row.old, BATCH_ROWS)
        done: list[tuple[bytes, bytes, bytes]] = []
        for place, item in enumerate(batch):
            rewrapped = (
                parts.tenants.rewrap_outer(item) or item
            )  # one that is destroyed stays as dead as it is
            done.append((item.tenant, item.wrapped, rewrapped.wrapped))
            if place % TURN == TURN - 1:
                await asyncio.sleep(0)
        if done:
            await parts.rotations.rewrap_tenants(row, done)
        return bool(batch)

    async def _rewrap_named(self, row: RotationRow) -> bool:
        parts = self._parts
        batch = await parts.rotations.named_under(row.old, BATCH_ROWS)
        done = [
            (name, wrapped, parts.named.rewrap(name, NamedKeyRow(wrapped, public, row.old)).wrapped)
            for name, wrapped, public in batch
        ]
        if done:
            await parts.rotations.rewrap_named(row, done)
        return bool(batch)

    async def _switch(self, row: RotationRow) -> None:
        """Seal the new root key in the place of the old one, and end the old generation."""
        parts = self._parts
        async with parts.hierarchy.changing:
            check = next(
                item for item in await parts.installation.root_checks() if item.generation == row.new
            )
            if not fits_check(parts.custody.root, check.wrapped):
                if check.handed is None:
                    raise NotFoundError("the next root key is neither sealed nor handed over")
                present = Secret(parts.roots.key(row.old))
                root = Secret(take_handed(present, row.new, check.handed))
                for heir in parts.heirs:
                    await heir(parts.custody.root, root)
                await parts.custody.replace(root)
            try:
                async with parts.witness.change():
                    await parts.rotations.drop_root(row)
            except ConflictError:
                return  # a row came under the old key at the last moment: it is taken on first
            parts.roots.forget(row.old)


class TenantRotation:
    """Rotates a tenant's key."""

    def __init__(self, parts: RotationParts) -> None:
        self._parts = parts

    async def begin(self, tenant: bytes, custody: str | None = None) -> RotationRow:
        """Put a new tenant key in the place of the old one; with `custody`, give it to that custodian.

        Its present custodian must open the old key, and the new one wraps the new key.
        """
        parts = self._parts
        while True:
            before = await parts.rows.tenant(tenant)
            if before is None:
                raise NotFoundError("the tenant has no keys")
            tenant_key = await parts.tenants.tenant_key(before)
            secrets, slots = await parts.tenants.new_slots(1)
            fresh = os.urandom(KEY_BYTES)
            key = before._replace(slot=slots[0], generation=before.generation + 1)
            if custody is not None:
                key = key._replace(custody=custody)
            key = await parts.tenants.wrap_tenant(key, fresh, secrets[0])
            async with parts.hierarchy.changing:
                if await parts.rows.tenant(tenant) != before:
                    await asyncio.to_thread(parts.slots.erase_many, slots)
                    continue
                row = parts.new_row(TENANT, before.generation, ERASING, tenant, old_slot=before.slot)
                async with parts.witness.change():
                    categories = await self._below(tenant, tenant_key, fresh)
                    await parts.rotations.replace_tenant(row, before, key, categories)
                parts.tenants.forget(tenant)
            return row

    async def _below(self, tenant: bytes, old: bytes, new: bytes) -> list[CategoryKeyRow]:
        """Wrap the tenant's category keys under the new key, each with its own slot if it had none."""
        parts = self._parts
        rows = await parts.rows.categories(tenant)
        keys = parts.tenants.unwrap_categories(old, tenant, rows)
        made = []
        for row in rows:
            if row.slot is None:
                secrets, slots = await parts.tenants.new_slots(1)
                secret, slot = secrets[0], slots[0]
            else:
                secret, slot = parts.slots.read(row.slot), row.slot
            key = keys[Category(row.category)][row.generation].reveal()
            made.append(wrap_category(new, tenant, row.category, row.generation, key, secret, slot))
        return made

    async def step(self, row: RotationRow) -> None:
        """Destroy the old key."""
        async with self._parts.hierarchy.changing, self._parts.witness.change():
            await self._parts.erase_old(row)
