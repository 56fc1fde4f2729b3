"""Sharing of keys: an owner's private halves, wrapped again for each reader, and nothing else to read by.

```
reader's own key + secret of a slot -> wrap key -> the owner's private half, one generation
```

The reader's own key ends with the reader's keys, the slot when the share is taken back. What opens epochs for
a reader comes out of such a wrap each time: nothing that is in memory for the owner serves the reader.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, LimitError, NotFoundError, RefusedError
from postkeep.base.secret import Secret
from postkeep.crypto.context import context
from postkeep.crypto.epoch import EpochRewrapper
from postkeep.crypto.wrap import Wrapper, subkey
from postkeep.services.kms.api import SignedPublicKey
from postkeep.services.kms.hierarchy import Hierarchy
from postkeep.services.kms.principals import PrincipalKeys, PrivateHalf
from postkeep.services.kms.witness import StoreWitness
from postkeep.stores.kms_keys import PrincipalKeyRow
from postkeep.stores.kms_shares import KmsShareRows, ShareRow, ShareWrapRow
from postkeep.stores.slots import ErasableSlots

READERS_MAX: Final = 1_000
"""Readers of one owner: each takes a wrap of every generation, and a rotation makes them all anew."""


class Sharing:
    """Makes, opens and ends the wraps of shares."""

    def __init__(
        self,
        hierarchy: Hierarchy,
        rows: KmsShareRows,
        slots: ErasableSlots,
        witness: StoreWitness,
        clock: Clock,
    ) -> None:
        self._hierarchy = hierarchy
        self._rows = rows
        self._slots = slots
        self._witness = witness
        self._clock = clock

    async def standing(self, tenant: bytes, owner: bytes, reader: bytes) -> ShareRow:
        """Return a share that is in force; RefusedError if there is none."""
        found = await self._rows.find(tenant, owner, reader)
        if found is None or not found.stands(self._clock.now_ms()):
            raise RefusedError("the ticket is not for this principal's keys", code="refused.principal")
        return found

    async def open(self, tenant: bytes, owner: bytes, reader: bytes) -> PrincipalKeys:
        """Return an owner's private halves as a reader's wraps give them; RefusedError without a share."""
        await self.standing(tenant, owner, reader)
        wraps = await self._rows.wraps(tenant, owner, reader)
        key = await self._hierarchy.person_key(tenant, reader)
        secrets = await asyncio.to_thread(self._slots.read_many, [row.slot for row in wraps])
        halves = {
            row.generation: _unwrap(key, row, secret)
            for row, secret in zip(wraps, secrets, strict=True)
            if secret is not None
        }
        if not halves:
            raise RefusedError("the share has just been taken back", code="refused.principal")
        return PrincipalKeys(tenant, owner, queue=False, generations=halves)

    async def share(self, keys: PrincipalKeys, share: ShareRow) -> bool:
        """Share an owner's keys, as the granter has opened them, with a reader; again: change the terms.

        False if they have been rotated or destroyed since they were opened: open them again. NotFoundError if
        the reader has no keys in this company.
        """
        reader_key = await self._hierarchy.person_key(share.tenant, share.reader)
        async with self._hierarchy.changing:
            if keys.generations.keys() != await self._hierarchy.generations(share.owner):
                return False
            readers = await self._rows.of_owner(share.tenant, share.owner)
            if len(readers) >= READERS_MAX and share.reader not in {row.reader for row in readers}:
                raise LimitError(public_text=f"A mailbox can be shared with {READERS_MAX} people.")
            there = await self._rows.wraps(share.tenant, share.owner, share.reader)
            missing = keys.generations.keys() - {row.generation for row in there}
            async with self._witness.change():
                await self._rows.add(share, await self._wrap(share, reader_key, keys, sorted(missing)))
            return True

    async def take_back(self, tenant: bytes, owner: bytes, reader: bytes) -> bool:
        """Erase what a reader opens an owner's epochs with; False if there was no share."""
        async with self._hierarchy.changing:
            if await self._rows.find(tenant, owner, reader) is None:
                return False
            async with self._witness.change():
                wraps = await self._rows.wraps(tenant, owner, reader)
                await asyncio.to_thread(self._slots.erase_many, [row.slot for row in wraps])
                await self._rows.drop(tenant, owner, reader)
        return True

    async def ended(self, limit: int) -> list[ShareRow]:
        """Return shares whose end has passed and that have not been taken back yet."""
        return await self._rows.ended(self._clock.now_ms(), limit)

    async def of_owner(self, tenant: bytes, owner: bytes) -> list[ShareRow]:
        """Return the shares of an owner that are in force."""
        now_ms = self._clock.now_ms()
        return [row for row in await self._rows.of_owner(tenant, owner) if row.stands(now_ms)]

    async def wraps_for_next(self, pair: PrincipalKeyRow) -> list[ShareWrapRow]:
        """Wrap the next generation for everybody with whom the owner shares.

        Call it with the lock held and the tenant's keys loaded, inside a change.
        """
        wraps: list[ShareWrapRow] = []
        shares = await self.of_owner(pair.tenant, pair.principal)
        if not shares:
            return wraps
        half = self._hierarchy.half_of(pair)
        keys = PrincipalKeys(pair.tenant, pair.principal, queue=False, generations={pair.generation: half})
        for share in shares:
            try:
                reader_key = await self._hierarchy.held_person_key(pair.tenant, share.reader)
            except NotFoundError:
                continue  # destroyed: there is nobody to wrap it for
            wraps += await self._wrap(share, reader_key, keys, [pair.generation])
        return wraps

    async def end_generation(self, tenant: bytes, owner: bytes, generation: int) -> None:
        """Erase all readers' wraps of a generation that ends. Call it with the lock held, inside a change."""
        wraps = await self._rows.wraps_of_generation(tenant, owner, generation)
        await asyncio.to_thread(self._slots.erase_many, [row.slot for row in wraps])
        await self._rows.drop_generation(tenant, owner, generation)

    async def provision(self, tenant: bytes, owner: bytes, manager: bytes) -> tuple[SignedPublicKey, bool]:
        """Make a key pair that one person manages from its first moment on, or return it if there is such.

        ConflictError if the pair is there and somebody else's to give: nobody on the staff adds readers.
        """
        share = ShareRow(tenant, owner, manager, manages=True, until_ms=None)
        reader_key = await self._hierarchy.person_key(tenant, manager)

        async def store(pair: PrincipalKeyRow) -> None:
            half = self._hierarchy.half_of(pair)
            keys = PrincipalKeys(tenant, owner, queue=False, generations={pair.generation: half})
            await self._rows.add(share, await self._wrap(share, reader_key, keys, [pair.generation]), pair)

        key, made = await self._hierarchy.provision_principal(tenant, owner, queue=False, store=store)
        if not made:
            row = await self._rows.find(tenant, owner, manager)
            if row is None or not row.manages:
                raise ConflictError(
                    public_text="The mailbox is there already: whoever manages it shares it with others."
                )
        return key, made

    async def _wrap(
        self, share: ShareRow, reader_key: bytes, keys: PrincipalKeys, generations: Sequence[int]
    ) -> list[ShareWrapRow]:
        secrets, slots = await self._hierarchy.new_slots(len(generations))
        return [
            _wrapped(share, reader_key, generation, keys.generations[generation], secret, slot)
            for generation, secret, slot in zip(generations, secrets, slots, strict=True)
        ]


def _wrapped(  # noqa: PLR0917 - what a wrap is made of
    share: ShareRow, reader_key: bytes, generation: int, half: PrivateHalf, secret: bytes, slot: int
) -> ShareWrapRow:
    path = _path(share.tenant, share.owner, share.reader, generation)
    wrapped = Wrapper(subkey(reader_key, path, secret)).wrap(half.seeds.reveal(), path)
    return ShareWrapRow(share.tenant, share.owner, share.reader, generation, slot, wrapped)


def _unwrap(reader_key: bytes, row: ShareWrapRow, secret: bytes) -> PrivateHalf:
    path = _path(row.tenant, row.owner, row.reader, row.generation)
    seeds = Wrapper(subkey(reader_key, path, secret)).unwrap(row.wrapped, path)
    return PrivateHalf(Secret(seeds), EpochRewrapper(seeds, row.tenant, row.owner, row.generation))


def _path(tenant: bytes, owner: bytes, reader: bytes, generation: int) -> bytes:
    """Return what a wrap is bound to."""
    return context("share", tenant, owner, reader, generation)
