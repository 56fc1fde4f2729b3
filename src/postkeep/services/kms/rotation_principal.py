"""New generations of a principal's key pair: epochs are sealed to the new one, then the old one is destroyed.

kms holds the keys and not the epochs: the steward brings sealed epochs of the principal from the vault, kms
seals them anew under the newest generation, and the steward puts them back. No chain and no seed leaves. When
the vault has none left, and writers have had time to forget the old public key, the old half is destroyed.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from postkeep.base.errors import ConflictError, IntegrityError, NotFoundError, PostkeepError
from postkeep.crypto import epoch as epochs
from postkeep.crypto import hpke
from postkeep.model.categories import Category
from postkeep.services.kms.api import SealedEpoch, SignedPublicKey
from postkeep.services.kms.hierarchy import public_of
from postkeep.services.kms.principals import PrincipalKeys
from postkeep.services.kms.rotation_parts import ERASING, SEALING, RotationParts
from postkeep.stores.kms_rotations import RotationRow

KIND: Final = "principal"
TURN: Final = 16
"""Epochs sealed anew before other callers get their turn: 2 ms of those that no reader has opened yet."""


class PrincipalRotation:
    """Begins new generations, seals epochs to them, and ends the old ones."""

    def __init__(self, parts: RotationParts, retire_seconds: int) -> None:
        self._parts = parts
        self._retire_ms = retire_seconds * 1000

    async def begin(self, principal: bytes) -> tuple[RotationRow, SignedPublicKey]:
        """Make the next generation of a principal's key pair; NotFoundError if it has none."""
        parts = self._parts
        while True:
            pairs = await parts.rows.principal(principal)
            if not pairs:
                raise NotFoundError("the principal has no keys")
            tenant = pairs[0].tenant
            await parts.tenants.load(tenant)
            async with parts.hierarchy.changing:
                parent = parts.tenants.newest(tenant, Category.SECRET)
                if parent is None or await parts.rows.principal(principal) != pairs:
                    continue  # changed meanwhile: look again
                old = pairs[0].generation
                row = parts.new_row(KIND, old, SEALING, tenant, principal)
                async with parts.witness.change():
                    pair = await parts.hierarchy.new_principal(
                        parent, tenant, principal, row.new, queue=pairs[0].queue
                    )
                    wraps = await parts.sharing.wraps_for_next(pair)
                    await parts.rotations.begin_principal(row, pair, wraps)
                parts.hierarchy.drop(principal)
            return row, public_of(pair)

    async def public_key(self, principal: bytes) -> SignedPublicKey:
        """Return the newest generation's public key."""
        pairs = await self._parts.rows.principal(principal)
        if not pairs:
            raise NotFoundError("the principal has no keys")
        return public_of(pairs[0])

    async def reseal(self, principal: bytes, sealed: Sequence[SealedEpoch]) -> list[SealedEpoch]:
        """Seal epochs of older generations to the newest.

        What is under the newest already, or does not open, is left out: it is not ours to change.
        """
        keys = await self._parts.hierarchy.principal(principal)
        private: dict[int, hpke.PrivateKey] = {}
        fresh = []
        for place, item in enumerate(sealed):
            try:
                made = _reseal(keys, private, item)
            except PostkeepError:
                made = None
            if made is not None:
                fresh.append(SealedEpoch(item.epoch, made))
            if place % TURN == TURN - 1:
                await asyncio.sleep(0)
        if not keys.live:
            raise NotFoundError("the principal's keys were destroyed")
        return fresh

    async def retire(self, row: RotationRow) -> bool:
        """End the old generation if writers have had time to forget it; whether it is being destroyed now.

        Call it when the vault has no epoch under it any more.
        """
        parts = self._parts
        if parts.clock.now_ms() < row.started_ms + self._retire_ms:
            return False
        async with parts.hierarchy.changing, parts.witness.change():
            await parts.sharing.end_generation(row.tenant, row.principal, row.old)
            await parts.rotations.drop_principal(row)
            parts.hierarchy.drop(row.principal, row.old)
        return True

    async def step(self, row: RotationRow) -> None:
        """Destroy the old generation's private half."""
        if row.phase != ERASING:
            raise ConflictError("its epochs are still being sealed")
        async with self._parts.hierarchy.changing, self._parts.witness.change():
            await self._parts.erase_old(row)


def _reseal(keys: PrincipalKeys, private: dict[int, hpke.PrivateKey], item: SealedEpoch) -> bytes | None:
    generation = epochs.sealed_generation(item.sealed)
    newest = keys.newest
    if generation >= newest:
        return None
    half = keys.generations.get(generation)
    if half is None:
        raise IntegrityError("sealed to a generation that is not there")
    if epochs.is_rewrapped(item.sealed):
        seed = half.rewrapper.open(item.epoch, item.sealed)
    else:
        if generation not in private:
            private[generation] = half.private_key()
        seed = epochs.open_seed(private[generation], keys.tenant, keys.principal, item.epoch, item.sealed)
    return keys.generations[newest].rewrapper.rewrap(item.epoch, seed)
