"""The root key's generations: one, or two while everything below is wrapped anew.

What the seal keeps is never used by itself: each generation has an erasable slot, and what hangs on the
generation hangs on both. Erasing the slot ends the generation, whatever copies of the sealed root key and of
old rows still lie about.

```
effective root of generation g = subkey(root key, ctx("root generation", g), slot's secret)
```
"""

import asyncio
import os
from collections.abc import Mapping
from typing import Final, Self

from postkeep.base.errors import IntegrityError, NotFoundError
from postkeep.base.secret import Secret
from postkeep.crypto.context import context
from postkeep.crypto.wrap import KEY_BYTES, Wrapper, subkey
from postkeep.services.kms.root import fits_check
from postkeep.stores.kms_installation import KmsInstallationRows, RootCheckRow
from postkeep.stores.slots import ErasableSlots

FIRST_GENERATION: Final = 1


class RootKeys:
    """The effective root keys in force, by generation. What is wrapped now is wrapped under the newest."""

    def __init__(self, keys: Mapping[int, Secret[bytes]]) -> None:
        self._keys = dict(keys)

    @classmethod
    def single(cls, key: Secret[bytes]) -> Self:
        """One key, of the first generation."""
        return cls({FIRST_GENERATION: key})

    @property
    def current(self) -> int:
        """The newest generation."""
        return max(self._keys)

    def key(self, generation: int) -> bytes:
        """Return a generation's key; IntegrityError if it has been destroyed or never was."""
        found = self._keys.get(generation)
        if found is None:
            raise IntegrityError(f"something is wrapped under root key {generation}, which is not there")
        return found.reveal()

    def add(self, generation: int, key: Secret[bytes]) -> None:
        """Bring the next generation into force."""
        self._keys[generation] = key

    def forget(self, generation: int) -> None:
        """Drop a generation that nothing hangs on any more."""
        self._keys.pop(generation, None)


async def open_root_keys(root: Secret[bytes], rows: KmsInstallationRows, slots: ErasableSlots) -> RootKeys:
    """Return the generations in force, from the root key that the seal gave (`root.unseal_root`)."""
    checks = await rows.root_checks()
    if checks[0].slot is None and await _give_slot(rows, slots):
        checks = await rows.root_checks()
    keys: dict[int, Secret[bytes]] = {}
    opened = next(check for check in checks if fits_check(root, check.wrapped))
    keys[opened.generation] = effective(root, opened, slots)
    for check in checks:
        if check.handed is not None and check.generation - 1 in keys:
            below = Secret(take_handed(keys[check.generation - 1], check.generation, check.handed))
            keys[check.generation] = effective(below, check, slots)
    return RootKeys(keys)


def effective(root: Secret[bytes], check: RootCheckRow, slots: ErasableSlots) -> Secret[bytes]:
    """Join a root key with its generation's slot; NotFoundError if that is erased."""
    if check.slot is None:
        return root
    secret = slots.read_many([check.slot])[0]
    if secret is None:
        raise NotFoundError("this generation of the root key was destroyed")
    return join(root, check.generation, secret)


def join(root: Secret[bytes], generation: int, slot_secret: bytes) -> Secret[bytes]:
    """Join a root key with the secret in its generation's slot."""
    return Secret(subkey(root.reveal(), context("root generation", generation), slot_secret))


def hand_over(present: Secret[bytes], generation: int, root: Secret[bytes]) -> bytes:
    """Wrap the next root key under the present generation, until the seal holds it."""
    return _handing(present, generation).wrap(root.reveal(), _handed_path(generation))


def take_handed(present: Secret[bytes], generation: int, handed: bytes) -> bytes:
    """Return the next root key, as it is sealed."""
    return _handing(present, generation).unwrap(handed, _handed_path(generation))


def _handing(present: Secret[bytes], generation: int) -> Wrapper:
    return Wrapper(subkey(present.reveal(), context("root handing over", generation)))


def _handed_path(generation: int) -> bytes:
    return context("next root key", generation)


async def _give_slot(rows: KmsInstallationRows, slots: ErasableSlots) -> bool:
    """Give the first generation its slot while nothing hangs on it; an older store keeps having none."""
    written = await asyncio.to_thread(slots.write_many, [os.urandom(KEY_BYTES)])
    return await rows.set_first_root_slot(written[0])
