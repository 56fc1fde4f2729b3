"""A restored key store under the root key of today.

A backup from before a rotation hangs on the root key of its time. Whoever restores it holds today's; the
former one comes from the target, wrapped under its successors. Here everything is wrapped anew, as the
rotation itself would, before the store is served: the former key is needed no more, and its holders open
nothing.
"""

import hmac
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from postkeep.base.clock import Clock
from postkeep.base.errors import IntegrityError, NotFoundError
from postkeep.base.secret import Secret
from postkeep.services.kms.hierarchy import Hierarchy
from postkeep.services.kms.root import fits_check
from postkeep.services.kms.root_generations import RootKeys, open_root_keys
from postkeep.services.kms.rotation_parts import ERASING, RotationParts
from postkeep.services.kms.rotation_upper import ROOT, RootRotation
from postkeep.services.kms.sharing import Sharing
from postkeep.services.kms.signing import NamedKeys, open_signing_keys
from postkeep.services.kms.tenants import NoCustodians, TenantKeys
from postkeep.services.kms.witness import StoreWitness
from postkeep.stores.kms_installation import KmsInstallationRows
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.kms_rotations import KmsRotationRows, RotationRow
from postkeep.stores.kms_shares import KmsShareRows
from postkeep.stores.slots import ErasableSlots

if TYPE_CHECKING:
    import asyncpg


class _Held:
    """A root key that no file seals: a `RootHolder`."""

    def __init__(self, root: Secret[bytes]) -> None:
        self.root = root

    async def replace(self, root: Secret[bytes]) -> None:
        self.root = root


async def root_of_store(
    roots: Sequence[Secret[bytes]], installation: KmsInstallationRows, slots: ErasableSlots
) -> tuple[Secret[bytes], RootKeys]:
    """Return which of these root keys a restored store hangs on, and its generations in force.

    IntegrityError (`backup_root`) if it is none of them, or if its slot was destroyed since.
    """
    checks = await installation.root_checks()
    for root in roots:
        if checks and fits_check(root, checks[0].wrapped):
            try:
                return root, await open_root_keys(root, installation, slots)
            except NotFoundError:
                break
    raise IntegrityError(
        "the store hangs on a root key that is not there",
        code="backup_root",
        public_text="The root key has been rotated since this backup, and its own key stream has ended: "
        "the keys in it open no more. Take a newer backup.",
    )


async def take_over(
    roots: Sequence[Secret[bytes]],
    pool: "asyncpg.Pool[asyncpg.Record]",
    slots: ErasableSlots,
    scratch: Path,
    clock: Clock,
) -> bool:
    """Bring a restored store under the first of these root keys; whether it was under another one.

    `scratch`: a directory for the witness of the changes, which the restored node is not to have. Errors as
    `root_of_store`.
    """
    installation = KmsInstallationRows(pool)
    root, generations = await root_of_store(roots, installation, slots)
    if hmac.compare_digest(root.reveal(), roots[0].reveal()):
        return False
    parts = await _parts(root, generations, pool, slots, scratch, clock)
    rotation = RootRotation(parts)
    for row in await parts.rotations.open():
        if row.kind == ROOT:  # it was under way when the backup was made
            await _finish(parts, rotation, row)
    while not hmac.compare_digest(parts.custody.root.reveal(), roots[0].reveal()):
        await _finish(parts, rotation, await rotation.begin(roots[0]))
    return True


async def _parts(  # noqa: PLR0917 - what a key store consists of
    root: Secret[bytes],
    generations: RootKeys,
    pool: "asyncpg.Pool[asyncpg.Record]",
    slots: ErasableSlots,
    scratch: Path,
    clock: Clock,
) -> RotationParts:
    installation, rows = KmsInstallationRows(pool), KmsKeyRows(pool)
    witness = StoreWitness(scratch, rows, slots)
    witness.state = max(await rows.state(), slots.state)
    named = NamedKeys(generations, installation, clock)
    tenants = TenantKeys(generations, rows, slots, NoCustodians(), clock)
    signing = await open_signing_keys(named, clock)
    hierarchy = Hierarchy(tenants, rows, slots, signing, witness=witness, clock=clock)
    return RotationParts(
        _Held(root),
        generations,
        named,
        installation,
        tenants,
        hierarchy,
        rows,
        KmsRotationRows(pool),
        slots,
        Sharing(hierarchy, KmsShareRows(pool), slots, witness, clock),
        witness,
        clock,
    )


async def _finish(parts: RotationParts, rotation: RootRotation, row: RotationRow) -> None:
    await rotation.step(row)
    while row.phase != ERASING:
        row = await parts.latest(row)
        await rotation.step(row)
    await parts.rotations.end(row, parts.clock.now_ms())
