"""Rotation of keys: begun on an operator's word, gone on with in the background, taken up after a crash.

A new generation is made; both serve while rows are taken from the old to the new in batches; then the old one
is destroyed. Where a rotation is stands in its row, which moves on in the same transaction as what it is
about. The ledger knows of each before it begins and of its end.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, Unpack

import structlog

from postkeep.base.errors import ConflictError, InvalidInputError, NotFoundError, PostkeepError
from postkeep.base.ids import NOBODY
from postkeep.model.audit import EventName
from postkeep.services.kms import rotation_category, rotation_principal
from postkeep.services.kms.api import SignedPublicKey
from postkeep.services.kms.rotation_category import CategoryRotation
from postkeep.services.kms.rotation_parts import ERASING, SEALING, RotationParts
from postkeep.services.kms.rotation_principal import PrincipalRotation
from postkeep.services.kms.rotation_upper import ROOT, TENANT, RootRotation, TenantRotation
from postkeep.services.ledger.trail import EventFields
from postkeep.stores.kms_rotations import RotationRow

RETRY_SECONDS: Final = 5.0
"""Before a rotation that could not go on is tried again: a custodian or the ledger may be away."""
VOID: Final = "void"
"""The phase of a rotation whose key was destroyed meanwhile."""

_log = structlog.get_logger(__name__)


class Events(Protocol):
    """Where events are recorded: a `Trail`."""

    async def record(self, event: EventName, **fields: Unpack[EventFields]) -> int:
        """Return when the event is durable; UnavailableError if it is not in time."""


class Rotations:
    """All rotations of one key store. `run` takes them on."""

    def __init__(self, parts: RotationParts, trail: Events, retire_seconds: int) -> None:
        self._parts = parts
        self._trail = trail
        self._root = RootRotation(parts)
        self._tenant = TenantRotation(parts)
        self._category = CategoryRotation(parts)
        self.principals = PrincipalRotation(parts, retire_seconds)
        self._begun = asyncio.Event()
        self._beginning = asyncio.Lock()

    async def begin(
        self,
        kind: str,
        fields: EventFields,
        *,
        tenant: bytes = NOBODY,
        principal: bytes = NOBODY,
        category: str = "",
    ) -> RotationRow:
        """Begin a rotation, or return the one of this key that is under way.

        NotFoundError if the key is not there; UnavailableError without the ledger.
        """
        begin = self._beginner(kind, tenant, principal, category)
        async with self._beginning:
            found = await self._parts.rotations.open_of(kind, tenant, principal, category)
            if found is None:
                await self._trail.record(EventName.KEY_ROTATE, **(fields | EventFields(note=f"{kind} begin")))
                found = await begin()
        self._begun.set()
        return found

    async def change_custody(self, tenant: bytes, custody: str) -> None:
        """Give a tenant a new key in another custody (empty: the root key's alone); the old key ends.

        ConflictError while the tenant's key is being rotated.
        """
        async with self._beginning:
            if await self._parts.rotations.open_of(TENANT, tenant, NOBODY, "") is not None:
                raise ConflictError(public_text="The company's key is being rotated: try again in a moment.")
            await self._tenant.begin(tenant, custody)
        self._begun.set()

    def _beginner(
        self, kind: str, tenant: bytes, principal: bytes, category: str
    ) -> Callable[[], Awaitable[RotationRow]]:
        beginners: dict[str, Callable[[], Awaitable[RotationRow]]] = {
            ROOT: self._root.begin,
            TENANT: lambda: self._tenant.begin(tenant),
            rotation_category.KIND: lambda: self._category.begin(tenant, category),
            rotation_principal.KIND: lambda: self._begin_principal(principal),
        }
        if kind not in beginners:
            raise InvalidInputError(f"no keys of the kind {kind!r} are rotated")
        return beginners[kind]

    async def _begin_principal(self, principal: bytes) -> RotationRow:
        return (await self.principals.begin(principal))[0]

    async def begin_principal(
        self, tenant: bytes, principal: bytes, fields: EventFields
    ) -> tuple[RotationRow, SignedPublicKey]:
        """Begin a new generation of a principal's keys, or return the one under way, and its public key."""
        row = await self.begin(rotation_principal.KIND, fields, tenant=tenant, principal=principal)
        return row, await self.principals.public_key(principal)

    async def is_rotating(self, tenant: bytes, principal: bytes) -> bool:
        """Whether a principal's keys are being rotated: the next generation waits for that."""
        kind = rotation_principal.KIND
        return await self._parts.rotations.open_of(kind, tenant, principal, "") is not None

    async def all(self, limit: int) -> list[RotationRow]:
        """Return rotations under way and ended, the latest first."""
        return await self._parts.rotations.all(limit)

    async def sealing(self) -> list[RotationRow]:
        """Return the principals' rotations that wait for epochs from the vault."""
        return [row for row in await self._parts.rotations.open() if row.phase == SEALING]

    async def count_sealed(self, principal: bytes, sealed: int, left: int) -> None:
        """Note how many epochs were sealed anew, and how many there are left."""
        for row in await self.sealing():
            if row.principal == principal:
                done = row.done + sealed
                await self._parts.rotations.count(row, done, done + left)

    async def retire(self, principal: bytes) -> bool:
        """Destroy a principal's old generation, as no epoch is left under it; False if it is too early."""
        for row in await self.sealing():
            if row.principal == principal and not await self.principals.retire(row):
                return False
        self._begun.set()
        return True

    async def run(self) -> None:
        """Take on what is under way, and what is begun, until cancelled."""
        while True:
            try:
                waiting = await self.advance()
            except PostkeepError as error:
                _log.info("rotation_waits", code=error.code, detail=error.detail)
                waiting = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS if waiting else None):
                    await self._begun.wait()
            self._begun.clear()

    async def advance(self) -> bool:
        """Take every rotation as far as it goes now; whether one has to be tried again later."""
        waiting = False
        for row in await self._parts.rotations.open():
            if row.phase == SEALING:
                continue
            try:
                await self._finish(row)
            except PostkeepError as error:
                _log.info("rotation_waits", kind=row.kind, code=error.code, detail=error.detail)
                waiting = True
        return waiting

    async def _finish(self, row: RotationRow) -> None:
        phase = "done"
        while True:
            try:
                await self._step(row)
            except NotFoundError:
                if row.tenant == NOBODY and row.kind == ROOT:
                    raise
                if await self._parts.rows.tenant(row.tenant) is not None:
                    raise
                phase = VOID
            if phase == VOID or row.phase == ERASING:
                break
            row = await self._parts.latest(row)
        await self._trail.record(
            EventName.KEY_ROTATE,
            tenant="" if row.tenant == NOBODY else row.tenant.hex(),
            principal="" if row.principal == NOBODY else row.principal.hex(),
            category=row.category,
            count=row.done,
            state=self._parts.witness.state,
            note=f"{row.kind} {phase}",
        )
        await self._parts.rotations.end(row, self._parts.clock.now_ms(), phase)
        _log.info("key_rotated", kind=row.kind, phase=phase, generation=row.new, rows=row.done)

    async def _step(self, row: RotationRow) -> None:
        steps = {
            ROOT: self._root.step,
            TENANT: self._tenant.step,
            rotation_category.KIND: self._category.step,
            rotation_principal.KIND: self.principals.step,
        }
        await steps[row.kind](row)
