"""New generations of people's keys, carried through: the vault's epochs go by kms to the newest key.

kms has the keys and the vault the epochs; the steward walks between them with an operation ticket for just
that, and sees nothing but sealed values. Everything it does may be done again, so nothing of it is
remembered: what there is to do is asked of kms each time.
"""

import asyncio
import contextlib
from typing import Final

import structlog

from postkeep.base.clock import Clock
from postkeep.base.errors import NotFoundError, PostkeepError
from postkeep.services.authority.api import IssueOperation, PublishKey
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.kms.api import SealedEpoch
from postkeep.services.kms.rotation_api import (
    EPOCHS_PER_RESEAL_MAX,
    NewGeneration,
    ResealWork,
    RetireGeneration,
    RewrapEpochs,
    RotatePrincipal,
)
from postkeep.services.kms.rotation_client import RotationClient
from postkeep.services.vault.api import EpochRow, OldEpochs, ResealEpochs
from postkeep.services.vault.client import VaultClient

PURPOSE: Final = "reseal"
EVERY_SECONDS: Final = 60.0
"""Between looks at what there is to do; an operator's rotation is begun at once."""
AGAIN_SECONDS: Final = 5.0
"""After a keeper was away: it is back within seconds, and a rotation should not wait for the next look."""
DUE_PER_ROUND: Final = 100
"""People who get new keys in one round: 100,000 take 17 hours, a small part of their year."""

_log = structlog.get_logger(__name__)


class Resealing:
    """Does what kms says there is to do for people's keys."""

    def __init__(
        self,
        authority: AuthorityClient,
        kms: RotationClient,
        vault: VaultClient,
        clock: Clock,
        principal_days: float,
    ) -> None:
        """`principal_days`: how old a person's newest key pair may grow; 0: they are renewed by hand only."""
        self._authority = authority
        self._kms = kms
        self._vault = vault
        self._clock = clock
        self._age_ms = int(principal_days * 86_400_000)
        self._wanted = asyncio.Event()

    def hurry(self) -> None:
        """Look at once what there is to do."""
        self._wanted.set()

    async def run(self) -> None:
        """Go on until cancelled."""
        pause_seconds = EVERY_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                carried = await self.round()
            except PostkeepError as error:
                _log.info("resealing_waits", code=error.code)
                carried = False
            pause_seconds = EVERY_SECONDS if carried else AGAIN_SECONDS

    async def round(self) -> bool:
        """Give new keys to those who are due, and take on what waits for epochs; False: some have to wait."""
        ticket = (await self._authority.issue_operation(IssueOperation(PURPOSE))).ticket
        before_ms = self._clock.now_ms() - self._age_ms if self._age_ms else 0
        work = await self._kms.reseal_work(ResealWork(before_ms, DUE_PER_ROUND), ticket=ticket)
        rotations = list(work.rotations)
        for due in work.due:
            wanted = RotatePrincipal(due.tenant, due.principal)
            made = await self._kms.rotate_principal(wanted, ticket=ticket)
            rotations.append(made)
        carried = True
        for rotation in rotations:
            try:
                await self._carry_through(rotation, ticket)
            except PostkeepError as error:
                _log.info("resealing_waits", code=error.code)
                carried = False
        return carried

    async def _carry_through(self, made: NewGeneration, ticket: bytes) -> None:
        tenant, principal = made.rotation.tenant, made.rotation.principal
        with contextlib.suppress(NotFoundError):  # it may be gone from the directory, and its mail not yet
            await self._authority.publish_key(PublishKey(made.key), ticket=ticket)
        while True:
            wanted = OldEpochs(tenant, principal, made.rotation.new, EPOCHS_PER_RESEAL_MAX)
            found = await self._vault.old_epochs(wanted, ticket=ticket)
            if not found.epochs:
                break
            sealed = await self._kms.rewrap_epochs(
                RewrapEpochs(
                    principal,
                    [SealedEpoch(item.epoch, item.sealed) for item in found.epochs],
                    left=found.left - len(found.epochs),
                ),
                ticket=ticket,
            )
            if not sealed.epochs:
                _log.warning("epochs_do_not_open", count=len(found.epochs))
                return  # the old key stays: what does not open with it today is looked at by a person
            fresh = [EpochRow(item.epoch, item.sealed) for item in sealed.epochs]
            await self._vault.reseal_epochs(ResealEpochs(tenant, principal, fresh), ticket=ticket)
        await self._kms.retire_generation(RetireGeneration(principal), ticket=ticket)
