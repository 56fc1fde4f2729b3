"""`vault.check`: walk every row and say what does not fit together. Empty: consistent."""

import asyncio
from collections.abc import Sequence
from typing import Final

from asyncpg import Record

from postkeep.base.errors import IntegrityError
from postkeep.services.vault import api
from postkeep.services.vault.groups import Stores
from postkeep.stores.packs import HEADER_BYTES, Location, parse_header
from postkeep.stores.postgres import Connection, database_errors
from postkeep.stores.vault_borders import GAPS, borders_around, runs_left
from postkeep.stores.vault_upkeep import PROBLEM_QUERIES, all_slots, histories, live_bodies
from postkeep.tickets.clear import Grant

PROBLEMS_MAX: Final = 1000  # problems named in one report: more say nothing new


class Checking:
    """Reads everything and changes nothing."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def check(self, _grant: Grant, _request: api.CheckStore) -> api.StoreReport:
        """Answer `vault.check`, for the rows as of one moment."""
        problems: list[str] = []
        with database_errors():
            async with (
                self._stores.pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                counts = await connection.fetchrow(
                    "SELECT (SELECT count(*) FROM mailboxes), (SELECT count(*) FROM messages), "
                    "(SELECT count(*) FROM bodies WHERE refs > 0)"
                )
                for name, statement in PROBLEM_QUERIES:
                    rows = await connection.fetch(f"{statement} LIMIT {PROBLEMS_MAX}")
                    problems += [f"{name}: {tenant.hex()} {identifier.hex()}" for tenant, identifier in rows]
                await self._check_runs(connection, problems)
                await self._check_slots(connection, problems)
                await self._check_bodies(connection, problems)
        assert counts is not None
        mailboxes, messages, bodies = counts
        return api.StoreReport(mailboxes, messages, bodies, problems[:PROBLEMS_MAX])

    async def _check_runs(self, connection: Connection, problems: list[str]) -> None:
        """Hold what mailboxes know to have gone against what is not there; what nobody opens has no such."""
        gaps = {(row[0], row[1]): row[3] for row in await connection.fetch(GAPS)}
        async for tenant, mailbox, uid_next, history in histories(connection):
            try:
                gone = borders_around(runs_left(history, uid_next), uid_next)
            except IntegrityError:
                gone = b"twice"
            if gone != gaps.get((tenant, mailbox), b""):
                problems.append(f"expunged messages wrong: {tenant.hex()} {mailbox.hex()}")

    async def _check_slots(self, connection: Connection, problems: list[str]) -> None:
        loop = asyncio.get_running_loop()
        previous = -1
        missing: list[int] = []
        async for slots in all_slots(connection):
            problems += [f"slot used twice: {slot}" for slot in _repeated(slots, previous)]
            previous = slots[-1]
            records = await loop.run_in_executor(self._stores.threads, self._stores.slots.read_many, slots)
            missing += [slot for slot, record in zip(slots, records, strict=True) if record is None]
        if missing:
            # Expunged while we looked: their rows are gone by now. Others are really missing.
            rows = await self._stores.pool.fetch(
                "SELECT slot FROM messages WHERE slot = ANY ($1::bigint[]) "
                "UNION ALL SELECT slot FROM queue WHERE slot = ANY ($1::bigint[]) "
                "UNION ALL SELECT slot FROM pages WHERE slot = ANY ($1::bigint[]) "
                "UNION ALL SELECT slot FROM segments WHERE slot = ANY ($1::bigint[])",
                missing,
            )
            problems += [f"slot empty: {row[0]}" for row in rows]

    async def _check_bodies(self, connection: Connection, problems: list[str]) -> None:
        async for rows in live_bodies(connection):
            for row, found in zip(rows, await self._headers(rows), strict=True):
                if found == (row["tenant"], row["body"], row["length"]):
                    continue
                now = await self._stores.pool.fetchrow(
                    'SELECT pack, "offset" FROM bodies WHERE tenant = $1 AND body = $2 AND refs > 0',
                    row["tenant"],
                    row["body"],
                )
                if now is not None and tuple(now) == (row["pack"], row["offset"]):  # and not moved meanwhile
                    problems.append(f"body not in its pack: {row['tenant'].hex()} {row['body'].hex()}")

    async def _headers(self, rows: Sequence[Record]) -> list[tuple[bytes, bytes, int] | None]:
        """Read the header before each body, and make sure that the last octet of the body is there."""
        loop = asyncio.get_running_loop()

        def read() -> list[tuple[bytes, bytes, int] | None]:
            found: list[tuple[bytes, bytes, int] | None] = []
            for row in rows:
                head = Location(row["pack"], row["offset"] - HEADER_BYTES, HEADER_BYTES)
                tail = Location(row["pack"], row["offset"] + row["length"] - 1, 1)
                try:
                    found.append(parse_header(self._stores.packs.read_many([head, tail])[0]))
                except (OSError, IntegrityError):
                    found.append(None)
            return found

        return await loop.run_in_executor(self._stores.threads, read)


def _repeated(slots: Sequence[int], previous: int) -> list[int]:
    """Find what comes twice in ascending numbers."""
    return [slot for before, slot in zip([previous, *slots], slots, strict=False) if slot == before]
