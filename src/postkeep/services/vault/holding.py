"""Legal holds as the vault enforces them: nothing that one covers is destroyed, by whatever way it is asked.

Who removes something on an order is refused, with the holds named. An owner who expunges is not: the messages
go out of the owner's sight and stay, wraps and all, until no hold covers them any more.
"""

from typing import Final

from asyncpg import Record

from postkeep.base.clock import Clock
from postkeep.base.errors import InvalidInputError
from postkeep.services.destruction.hold import held_error
from postkeep.services.vault import api, destruction_api
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.validation import check_id
from postkeep.stores.postgres import Source, database_errors, in_transaction
from postkeep.stores.vault_holds import (
    HoldRow,
    add_hold,
    bury_free,
    drop_hold,
    holds_on,
    tenants_with_held,
)
from postkeep.tickets.clear import Grant

KIND_CHARS_MAX: Final = 40  # characters of the class of a reason


class Holding:
    """`vault.hold`, `vault.release_hold`, and the question that everyone asks who destroys something."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock

    async def hold(self, _grant: Grant, request: destruction_api.Hold) -> api.Done:
        """Answer `vault.hold`."""
        for identifier in (request.hold, request.tenant, *filter(None, (request.principal, request.mailbox))):
            check_id(identifier)
        if (request.mailbox and not request.principal) or not 0 < len(request.kind) <= KIND_CHARS_MAX:
            raise InvalidInputError(
                "a hold on a mailbox names its owner, and every hold the class of its reason"
            )
        row = HoldRow(
            request.tenant, request.hold, request.principal, request.mailbox, request.kind, request.until_ms
        )
        await in_transaction(self._stores.pool, lambda connection: add_hold(connection, row))
        return api.Done()

    async def release(self, _grant: Grant, request: destruction_api.ReleaseHold) -> api.Done:
        """Answer `vault.release_hold`. What it alone kept is destroyed by the next upkeep."""
        await in_transaction(
            self._stores.pool, lambda connection: drop_hold(connection, request.tenant, request.hold)
        )
        await self.bury_free(request.tenant)
        return api.Done()

    async def bury_free(self, tenant: bytes | None = None) -> int:
        """Hand over to destruction what no hold covers any more; None: of all tenants."""
        with database_errors():
            tenants = [tenant] if tenant is not None else await tenants_with_held(self._stores.pool)
        count = 0
        for one in tenants:
            now_ms = self._clock.now_ms()
            count += await in_transaction(
                self._stores.pool,
                lambda connection, one=one, now_ms=now_ms: bury_free(connection, one, now_ms),  # type: ignore[misc]
            )
        return count

    async def covers(
        self, source: Source, tenant: bytes, *, principal: bytes = b"", mailbox: bytes = b""
    ) -> bool:
        """Say whether any hold covers it. In a transaction: ask after its principal is locked."""
        return bool(await self._on(source, tenant, principal, mailbox))

    async def check_free(
        self, source: Source, tenant: bytes, *, principal: bytes = b"", mailbox: bytes = b""
    ) -> None:
        """Raise RefusedError, naming the holds, where one covers any of it."""
        rows = await self._on(source, tenant, principal, mailbox)
        if rows:
            raise held_error([(row["hold"], row["kind"]) for row in rows])

    async def _on(self, source: Source, tenant: bytes, principal: bytes, mailbox: bytes) -> list[Record]:
        return await holds_on(source, tenant, self._clock.now_ms(), principal=principal, mailbox=mailbox)
