"""Opening a mailbox, and its rows in columns: what SELECT says without reading a row, rows by UID, and what
has changed since a modseq.

A modseq is given under the lock of the mailbox's row, so who has seen one has seen, or can ask for, every
change up to it: no change with a lower one becomes visible later.
"""

from collections.abc import Mapping

import msgspec

from postkeep.base.errors import NotFoundError
from postkeep.model.categories import Category
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault.answering import begin_record
from postkeep.services.vault.columns import pairs, rows_of
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.rows import mailbox_row
from postkeep.services.vault.rows_api import (
    ROWS_MAX,
    FetchRows,
    Opened,
    OpenMailbox,
    Rows,
    UpdatePage,
    Updates,
)
from postkeep.services.vault.uids import intersect_ranges, merge_ranges
from postkeep.stores.postgres import database_errors
from postkeep.stores.vault_borders import little_endian, merged, runs_left
from postkeep.stores.vault_rows import open_mailbox, read_columns, read_updates
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant


class Opening:
    """`vault.select`, `vault.rows` and `vault.updates`."""

    def __init__(self, stores: Stores, trail: Trail) -> None:
        self._stores = stores
        self._trail = trail

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the methods by their names on the wire."""
        return {
            "vault.select": (OpenMailbox, self.select),
            "vault.rows": (FetchRows, self.rows),
            "vault.updates": (Updates, self.updates),
        }

    async def select(self, grant: Grant, request: OpenMailbox) -> Opened:
        """Answer `vault.select`."""
        with database_errors():
            box = await open_mailbox(self._stores.kept, grant.tenant, request.principal, request.mailbox)
        if box is None:
            raise NotFoundError("no such mailbox")
        left = runs_left(box["history"], box["uid_next"])
        return Opened(
            mailbox_row(box), little_endian(left), box["first_unseen"] or 0, tuple(box["keywords"] or ())
        )

    async def rows(self, grant: Grant, request: FetchRows) -> Rows:
        """Answer `vault.rows`."""
        ranges = merge_ranges(request.uids)
        with database_errors():
            found = await read_columns(
                self._stores.kept, grant.tenant, request.principal, request.mailbox, ranges, ROWS_MAX
            )
        if found is None:
            raise NotFoundError("no such mailbox")
        rows = rows_of(found)
        await self._record(grant, request.principal, request.mailbox, rows)
        return rows

    async def updates(self, grant: Grant, request: Updates) -> UpdatePage:
        """Answer `vault.updates`."""
        since = max(0, request.since_modseq)
        ranges = None if request.uids is None else merge_ranges(request.uids)
        with database_errors():
            found = await read_updates(
                self._stores.kept, grant.tenant, request.principal, request.mailbox, since, ranges, ROWS_MAX
            )
        if found is None:
            raise NotFoundError("no such mailbox")
        rows = rows_of(found)
        gone = merged(found["history"])
        if ranges is not None:
            gone = intersect_ranges(gone, ranges)
        await self._record(grant, request.principal, request.mailbox, rows)
        return UpdatePage(mailbox_row(found), rows, pairs(gone), len(rows) == ROWS_MAX)

    async def _record(self, grant: Grant, principal: bytes, mailbox: bytes, rows: Rows) -> None:
        """Have the ledger know, durably, what is about to go out."""
        if rows.bodies:
            await begin_record(self._trail, grant, principal, mailbox, rows.bodies, Category.METADATA)
