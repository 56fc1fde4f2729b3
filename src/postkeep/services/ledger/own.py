"""The owner's view: the entries about one person, for that person's own ticket and nobody else's."""

from typing import Final

import msgspec

from postkeep.base.errors import InvalidInputError, RefusedError
from postkeep.base.ids import NOBODY
from postkeep.services.ledger import api
from postkeep.services.ledger.journal import Journal
from postkeep.services.ledger.tenants import TenantBook, concerned_decoder
from postkeep.stores.ledger_log import LedgerLog
from postkeep.tickets.clear import Grant

OWN_ENTRIES_MAX: Final = 256  # entries in one page: at most so many bundles are read for it
TIME_MS_MAX: Final = 2**53  # milliseconds: the year 287396
INDEX_MAX: Final = 2**62


class OwnView:
    """Answers `ledger.own`."""

    def __init__(self, log: LedgerLog, journal: Journal, tenants: TenantBook) -> None:
        self._log = log
        self._journal = journal
        self._tenants = tenants

    async def page(self, grant: Grant, request: api.Own) -> api.OwnPage:
        """Return the newest entries about the ticket's person below an index, in a range of time."""
        if NOBODY in {grant.principal, grant.tenant}:
            raise RefusedError("the ticket is no person's", code="refused.principal")
        if not 0 < request.count <= OWN_ENTRIES_MAX:
            raise InvalidInputError(f"a page has 1 to {OWN_ENTRIES_MAX} entries")
        if not (0 <= request.since_ms <= TIME_MS_MAX and 0 <= request.until_ms <= TIME_MS_MAX):
            raise InvalidInputError("no such time")
        found = await self._tenants.about(
            grant.tenant + grant.principal,
            before=request.before if 0 <= request.before < INDEX_MAX else INDEX_MAX,
            since_ms=request.since_ms,
            until_ms=request.until_ms or TIME_MS_MAX,
            count=request.count,
        )
        entries = await self._journal.run(self._log.pick, found)
        own = (grant.tenant.hex(), grant.principal.hex())
        page = [
            api.OwnEntry(index, entry)
            for index, entry in zip(found, entries, strict=True)
            if _person(entry) == own  # whatever the index says: nobody is shown another's
        ]
        return api.OwnPage(page, found[-1] if len(found) == request.count else -1)


def _person(entry: bytes) -> tuple[str, str]:
    try:
        told = concerned_decoder.decode(entry)
    except msgspec.MsgspecError:
        return "", ""
    return told.tenant, told.principal
