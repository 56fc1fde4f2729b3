"""The root key's seal, changed on an operator's word and a grant.

The steward, who holds the grant, opens a window; through it the command line gives kms the new secret itself,
so that no third process ever has it. The ledger knows of it before it begins, and of its end before the
answer.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from postkeep.base.errors import InvalidInputError, PostkeepError, RefusedError
from postkeep.base.secret import Secret
from postkeep.model.audit import EventName
from postkeep.services.kms.api import Done
from postkeep.services.kms.custody_api import (
    RESEAL_SECONDS_MAX,
    OpenReseal,
    Reseal,
    Resealed,
    reseal_subject,
)
from postkeep.services.kms.root_change import RootCustody
from postkeep.services.kms.root_kinds import RootKind
from postkeep.services.kms.telling import caller_fields
from postkeep.services.ledger.trail import EventFields, Trail
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

SECRET_BYTES_MAX: Final = 1024
"""As much as the supervisor holds."""
SECRET_BYTES_MIN: Final = {RootKind.PASSPHRASE: 12, RootKind.PKCS11: 4, RootKind.SHARES: 32, RootKind.FILE: 0}
"""A passphrase of twelve octets is still a poor one; PINs are as short as tokens allow."""


class RootDesk:
    """The methods of `custody_api` that are about the root key."""

    def __init__(
        self, custody: RootCustody, trail: Trail, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._custody = custody
        self._trail = trail
        self._monotonic = monotonic
        self._window: tuple[RootKind, bytes, float] | None = None

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the table that the channel's server takes."""
        return {
            "kms.open_reseal": (OpenReseal, self.open_reseal),
            "kms.reseal": (Reseal, self.reseal),
        }

    async def open_reseal(self, grant: Grant, request: OpenReseal) -> Done:
        """Open the window; a window opened before is closed by it."""
        if not hmac.compare_digest(grant.subject, reseal_subject(request.kind).hex()):
            raise RefusedError("the grant is for something else", code="refused.subject")
        self._custody.check_target(request.kind)
        if len(request.key_digest) != hashlib.sha256().digest_size:
            raise InvalidInputError("a window's key is named by a SHA-256")
        await self._record(grant, note=f"open {request.kind}")
        self._window = (request.kind, request.key_digest, self._monotonic() + RESEAL_SECONDS_MAX)
        return Done()

    async def reseal(self, grant: Grant, request: Reseal) -> Resealed:
        """Seal the root key in the way that the window is for; the old seal no longer opens."""
        self._check_window(request)
        least = SECRET_BYTES_MIN[request.kind]
        if not least <= len(request.secret) <= SECRET_BYTES_MAX:
            raise InvalidInputError(
                code="bad_secret",
                public_text=f"What opens the root key has {least} to {SECRET_BYTES_MAX} octets.",
            )
        roster = request.roster.roster() if request.roster is not None else None
        if (request.kind is RootKind.SHARES) != (roster is not None):
            raise InvalidInputError("shares come with a roster, and nothing else does")
        await self._record(grant, note=f"begin {request.kind}")
        try:
            old = await self._custody.reseal(request.kind, Secret(request.secret), roster)
        except PostkeepError as error:
            await self._record(grant, note=f"begin {request.kind}", outcome="refused", code=error.code)
            raise
        self._window = None
        await self._record(grant, note=f"done {old} {request.kind}")
        return Resealed(old, request.kind)

    def _check_window(self, request: Reseal) -> None:
        if self._window is None or self._monotonic() > self._window[2]:
            raise RefusedError(
                "no change of the seal is allowed now",
                code="refused.no_window",
                public_text="No change of the root key's seal is open, or it was opened too long ago.",
            )
        kind, digest, _ = self._window
        known = hmac.compare_digest(digest, hashlib.sha256(request.key).digest())
        if not known or kind is not request.kind:
            raise RefusedError("the window is somebody else's", code="refused.no_window")

    async def _record(self, grant: Grant, **more: str) -> None:
        told = EventFields(
            note=more.get("note", ""), outcome=more.get("outcome", "ok"), code=more.get("code", "")
        )
        await self._trail.record(EventName.KEY_SEAL, **(caller_fields(grant) | told))
