"""Rows of ceilings: who is stopped, until when."""

from typing import NamedTuple

from postkeep.stores.kms_rows import KmsRows


class StopRow(NamedTuple):
    """A person or a module instance for whom no epochs are opened for a while."""

    kind: str
    subject: str
    since_ms: int
    until_ms: int


class KmsCeilingRows(KmsRows):
    """The table of stops in the database of kms."""

    async def all(self, now_ms: int) -> list[StopRow]:
        """Return the stops in force, and forget those that have ended."""
        await self._run("DELETE FROM ceiling_stops WHERE until_ms <= $1", now_ms)
        rows = await self._all(
            "SELECT kind, subject, since_ms, until_ms FROM ceiling_stops ORDER BY since_ms"
        )
        return [StopRow(*row) for row in rows]

    async def add(self, row: StopRow) -> None:
        """Remember a stop; one that is there lasts longer."""
        await self._run(
            "INSERT INTO ceiling_stops (kind, subject, since_ms, until_ms) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (kind, subject) DO UPDATE SET until_ms = excluded.until_ms",
            *row,
        )

    async def remove(self, kind: str, subject: str) -> bool:
        """Lift a stop; whether there was one."""
        gone = await self._value(
            "DELETE FROM ceiling_stops WHERE kind = $1 AND subject = $2 RETURNING true", kind, subject
        )
        return bool(gone)
