"""Reading what searches compare: sealed search texts, many messages to one answer.

As with every read of sealed data, the ledger has it before the answer goes out.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
from asyncpg import Record

from postkeep.model.categories import Category
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault import search_api
from postkeep.services.vault.answering import begin_record, need_mailbox, read_chosen
from postkeep.services.vault.groups import Stores
from postkeep.services.vault.uids import merge_ranges
from postkeep.stores.packs import Location
from postkeep.stores.postgres import database_errors
from postkeep.stores.vault_search import read_texts
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024  # octets of texts in one answer, below the channel's frame
ANSWER_TEXTS_MAX: Final = 8192  # texts in one answer: some 50 ms of looking up


class Searching:
    """`vault.texts`."""

    def __init__(self, stores: Stores, trail: Trail) -> None:
        self._stores = stores
        self._trail = trail

    def handlers(self) -> dict[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the methods by name."""
        return {"vault.texts": (search_api.FetchTexts, self.texts)}

    async def texts(self, grant: Grant, request: search_api.FetchTexts) -> search_api.TextList:
        """Answer `vault.texts`."""
        ranges = merge_ranges(request.uids)
        place = grant.tenant, request.principal, request.mailbox
        found: list[Record] = []

        async def choose() -> list[Record]:
            with database_errors():
                found[:] = await read_texts(self._stores.pool, *place, ranges, ANSWER_TEXTS_MAX + 1)
            return _fitting(found)

        def record(rows: list[Record]) -> asyncio.Task[int]:
            bodies = [row[1] for row in rows]
            return begin_record(
                self._trail, grant, request.principal, request.mailbox, bodies, Category.CONTENT
            )

        read = await read_chosen(choose, record, self._read)
        if read is None:
            await need_mailbox(self._stores.pool, *place)
            return search_api.TextList([])
        rows, texts = read
        return search_api.TextList(texts, more=len(rows) < len(found))

    async def _read(self, rows: Sequence[Record]) -> list[search_api.SealedText]:
        """Read texts and wraps; what has been expunged meanwhile is left out."""
        stores = self._stores

        def read() -> tuple[list[bytes], list[bytes | None]]:
            places = [Location(row[5], row[6], row[7]) for row in rows if row[7]]
            return stores.packs.read_many(places), stores.slots.read_many([row[4] for row in rows])

        texts, wraps = await asyncio.get_running_loop().run_in_executor(stores.threads, read)
        rest = iter(texts)
        found = []
        for row, wrapped in zip(rows, wraps, strict=True):
            text = next(rest) if row[7] else b""
            if wrapped is not None:
                found.append(search_api.SealedText(row[0], row[1], row[2], row[3], wrapped, text))
        return found


def _fitting(rows: Sequence[Record]) -> list[Record]:
    """Return as many rows, from the first, as one answer holds: one at least."""
    left = ANSWER_BYTES_MAX
    for number, row in enumerate(rows[:ANSWER_TEXTS_MAX]):
        left -= row[7]
        if left < 0 and number:
            return list(rows[:number])
    return list(rows[:ANSWER_TEXTS_MAX])
