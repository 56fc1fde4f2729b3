"""What every kind of rotation works with, and the end that all have in common."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from postkeep.base.clock import Clock
from postkeep.base.errors import NotFoundError
from postkeep.base.ids import NOBODY, new_id
from postkeep.base.secret import Secret
from postkeep.services.kms.hierarchy import Hierarchy
from postkeep.services.kms.root_generations import RootKeys
from postkeep.services.kms.sharing import Sharing
from postkeep.services.kms.signing import NamedKeys
from postkeep.services.kms.tenants import TenantKeys
from postkeep.services.kms.witness import StoreWitness
from postkeep.stores.kms_installation import KmsInstallationRows
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.kms_rotations import KmsRotationRows, RotationRow
from postkeep.stores.slots import ErasableSlots

BATCH_ROWS: Final = 1_000
"""Rows wrapped anew in one transaction: 40 ms of work, so that little is done twice after a crash."""
TURN: Final = 32
"""Rows wrapped anew before other callers get their turn: about 1 ms."""

REWRAPPING, SEALING, ERASING = "rewrapping", "sealing", "erasing"
"""Phases: rows are taken to the new key; epochs are sealed to it; the old key is being destroyed."""


RootHeir: TypeAlias = Callable[[Secret[bytes], Secret[bytes]], Awaitable[None]]
"""Hears of the old and the new root key, as the seal keeps them, before the new one is sealed in its place;
after a crash again of the same two. What has to outlive the old one is durable when it returns."""


class RootHolder(Protocol):
    """The root key as it is sealed; `RootCustody` is one."""

    @property
    def root(self) -> Secret[bytes]:
        """The root key."""

    async def replace(self, root: Secret[bytes]) -> None:
        """Seal another root key in the place of the present one, durably, and destroy what sealed that."""


@dataclass(frozen=True, slots=True)
class RotationParts:
    """The key store, as rotations see it."""

    custody: RootHolder
    roots: RootKeys
    named: NamedKeys
    installation: KmsInstallationRows
    tenants: TenantKeys
    hierarchy: Hierarchy
    rows: KmsKeyRows
    rotations: KmsRotationRows
    slots: ErasableSlots
    sharing: Sharing
    witness: StoreWitness
    clock: Clock
    heirs: tuple[RootHeir, ...] = ()

    def new_row(  # noqa: PLR0917 - a row's fields in the row's order
        self,
        kind: str,
        old: int,
        phase: str,
        tenant: bytes = NOBODY,
        principal: bytes = NOBODY,
        category: str = "",
        old_slot: int | None = None,
    ) -> RotationRow:
        """Name a rotation from one generation to the next."""
        now_ms = self.clock.now_ms()
        return RotationRow(
            new_id(),
            kind,
            tenant,
            principal,
            category,
            old,
            old + 1,
            phase,
            old_slot,
            b"",
            0,
            0,
            now_ms,
            None,
        )

    async def latest(self, row: RotationRow) -> RotationRow:
        """Return a rotation's row as it is now; NotFoundError if it has gone."""
        found = await self.rotations.find(row.id)
        if found is None:
            raise NotFoundError("the rotation's row has gone")
        return found

    async def erase_old(self, row: RotationRow) -> None:
        """Destroy what the old generation can't be opened without; again and again does no harm."""
        if row.old_slot is not None:
            await asyncio.to_thread(self.slots.erase_many, [row.old_slot])
