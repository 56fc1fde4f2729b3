"""Custody of tenants' keys, changed on an operator's word and a grant; and the watch over leases.

As with the root key's seal, the steward opens a window with its grant, and the command line itself gives kms
the place and what lets us use the customer's key.
"""

import asyncio
import hashlib
import hmac
import os
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import structlog

from postkeep.base.errors import ConflictError, IntegrityError, PostkeepError, RefusedError
from postkeep.crypto.wrap import KEY_BYTES
from postkeep.model.audit import EventName
from postkeep.services.kms.api import Done
from postkeep.services.kms.custodians import CustodianRegistry
from postkeep.services.kms.custody_api import (
    CheckCustody,
    Custodian,
    OpenCustody,
    SetCustody,
    custodian_of,
    custody_subject,
)
from postkeep.services.kms.hierarchy import Hierarchy
from postkeep.services.kms.rotation import Rotations
from postkeep.services.kms.telling import caller_fields
from postkeep.services.ledger.trail import EventFields, Trail
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

WINDOW_SECONDS_MAX: Final = 300.0
"""Between the yes to a change of custody and the change: the command line goes on by itself."""
RENEWALS_PER_LEASE: Final = 3
"""A custodian that is away for less than two thirds of a lease is not noticed by readers."""

_log = structlog.get_logger(__name__)


class CustodyDesk:
    """The methods of `custody_api` that are about tenants' keys."""

    def __init__(
        self,
        registry: CustodianRegistry,
        hierarchy: Hierarchy,
        rotations: Rotations,
        rows: KmsKeyRows,
        trail: Trail,
        *,
        lease_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._hierarchy = hierarchy
        self._rotations = rotations
        self._rows = rows
        self._trail = trail
        self._lease_seconds = lease_seconds
        self._monotonic = monotonic
        self._windows: dict[bytes, tuple[bytes, str, float]] = {}
        self._one_at_a_time = asyncio.Lock()

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the table that the channel's server takes."""
        return {
            "kms.open_custody": (OpenCustody, self.open_custody),
            "kms.set_custody": (SetCustody, self.set_custody),
            "kms.check_custody": (CheckCustody, self.check_custody),
        }

    async def open_custody(self, grant: Grant, request: OpenCustody) -> Done:
        """Let who knows the key behind `key_digest` change a tenant's custody, once and soon."""
        subject = custody_subject(request.tenant, request.custodian).hex()
        if not hmac.compare_digest(grant.subject, subject):
            raise RefusedError("the grant is for something else", code="refused.subject")
        await self._record(grant, request.tenant, note=f"open {request.custodian.kind or 'root'}")
        until = self._monotonic() + WINDOW_SECONDS_MAX
        self._windows[request.tenant] = (request.key_digest, subject, until)
        return Done()

    async def set_custody(self, grant: Grant, request: SetCustody) -> Done:
        """Change who must open a tenant's key; the old key ends with its slot."""
        custodian = custodian_of(request.place)
        self._check_window(request, custodian)
        note = custodian.kind or "root"
        async with self._one_at_a_time:
            await self._record(grant, request.tenant, note=f"begin {note}")
            try:
                await self._change(request)
            except PostkeepError as error:
                await self._record(
                    grant, request.tenant, note=f"begin {note}", outcome="refused", code=error.code
                )
                raise
            self._windows.pop(request.tenant, None)
            await self._record(grant, request.tenant, note=f"done {note}")
        return Done()

    async def _change(self, request: SetCustody) -> None:
        tenant, name = request.tenant, ""
        if request.place is not None:
            seal = self._registry.seal_of(request.place)
            probe = os.urandom(KEY_BYTES)
            if await seal.unwrap(tenant, await seal.wrap(tenant, probe)) != probe:
                raise IntegrityError("a custodian opens something else than it has wrapped")
            name = await self._registry.add(tenant, request.place)
        await self._rotations.change_custody(tenant, name)
        self._hierarchy.forget_tenant(tenant)
        await self._registry.forget_others(tenant, name)

    async def check_custody(self, grant: Grant, request: CheckCustody) -> Custodian:
        """Say who has custody of a tenant's key; with `ask`, whether the custodian agrees now.

        UnavailableError (`unavailable.custody`) if it does not: nothing of the tenant is readable then.
        """
        row = await self._rows.tenant(request.tenant)
        if row is None:
            raise ConflictError("the tenant has no keys")
        found = custodian_of(await self._registry.place(row.custody) if row.custody else None)
        if request.ask and row.custody:
            try:
                await self._hierarchy.ask_custodian(request.tenant)
            except PostkeepError as error:
                await self._record(grant, request.tenant, note="check", outcome="refused", code=error.code)
                raise
        return found

    async def run(self) -> None:
        """Renew leases until cancelled; what a custodian refuses for a lease is forgotten, and recorded."""
        while True:
            await asyncio.sleep(self._lease_seconds / RENEWALS_PER_LEASE)
            for tenant in await self._hierarchy.renew_leases():
                _log.warning("custodian_refuses", tenant=tenant.hex())
                self._trail.note(
                    EventName.KEY_CUSTODY,
                    tenant=tenant.hex(),
                    outcome="refused",
                    code="unavailable.custody",
                    note="lease",
                )

    def _check_window(self, request: SetCustody, custodian: Custodian) -> None:
        digest, subject, until = self._windows.get(request.tenant, (b"", "", 0.0))
        known = hmac.compare_digest(digest, hashlib.sha256(request.key).digest())
        same = hmac.compare_digest(subject, custody_subject(request.tenant, custodian).hex())
        if not (known and same) or self._monotonic() > until:
            raise RefusedError("no such change of custody is allowed now", code="refused.no_window")

    async def _record(
        self, grant: Grant, tenant: bytes, *, note: str, outcome: str = "ok", code: str = ""
    ) -> None:
        told = EventFields(tenant=tenant.hex(), note=note, outcome=outcome, code=code)
        await self._trail.record(EventName.KEY_CUSTODY, **(caller_fields(grant) | told))
