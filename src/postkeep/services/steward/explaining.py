"""The steward's method that gathers what explains an entry of the ledger."""

from typing import Final

import msgspec

from postkeep.base.errors import NotFoundError
from postkeep.model.audit import AuditEvent
from postkeep.services.ledger.api import Entries
from postkeep.services.ledger.client import LedgerClient
from postkeep.services.ledger.explanation import Explanation, explain, issued_ms
from postkeep.services.steward import api
from postkeep.services.steward.control import Operator
from postkeep.services.steward.desk import Methods
from postkeep.tickets.mint import TICKET_SECONDS_MAX

WINDOW_MS: Final = (TICKET_SECONDS_MAX + 60) * 1000
"""How long after its issue a ticket can still have been used, and its events have come in."""

SCANNED_MAX: Final = 20_000
"""Entries looked through on each side: a quarter of an hour of a busy node, some 6 MB."""

PIECE: Final = 1000
"""Entries in one question."""

_decoder = msgspec.json.Decoder(AuditEvent)


class ExplainDesk:
    """Reads around an entry."""

    def __init__(self, ledger: LedgerClient) -> None:
        self._ledger = ledger

    def methods(self) -> Methods:
        """Return the methods."""
        return {"explain": (api.Explain, self.explain)}

    async def explain(self, operator: Operator, request: api.Explain) -> Explanation:
        """Explain an entry; NotFoundError if the ledger has none of this number."""
        index = request.index
        found = await self._read(operator, index, 1) if index >= 0 else []
        if not found:
            raise NotFoundError(public_text=f"The ledger has no entry {index}.")
        event = found[0][1]
        begin_ms = (issued_ms(event.ticket) or event.time_ms) - 60_000
        earlier, whole_before = await self._backward(operator, index, begin_ms)
        later, whole_after = await self._forward(operator, index, begin_ms + WINDOW_MS)
        return explain(index, event, [*earlier, *later], complete=whole_before and whole_after)

    async def _backward(
        self, operator: Operator, index: int, begin_ms: int
    ) -> tuple[list[tuple[int, AuditEvent]], bool]:
        """Read back to a time; whether it was reached."""
        read: list[tuple[int, AuditEvent]] = []
        while index > 0 and len(read) < SCANNED_MAX:
            start = max(0, index - PIECE)
            piece = await self._read(operator, start, index - start)
            if not piece:
                break
            read = [*piece, *read]
            index = start
            if piece[0][1].time_ms < begin_ms:
                return read, True
        return read, index == 0

    async def _forward(
        self, operator: Operator, index: int, end_ms: int
    ) -> tuple[list[tuple[int, AuditEvent]], bool]:
        read: list[tuple[int, AuditEvent]] = []
        while len(read) < SCANNED_MAX:
            piece = await self._read(operator, index + 1 + len(read), PIECE)
            read += piece
            if not piece or piece[-1][1].time_ms > end_ms:
                return read, True
        return read, False

    async def _read(self, operator: Operator, start: int, count: int) -> list[tuple[int, AuditEvent]]:
        """Read `count` entries, fewer at the end of the log."""
        read: list[tuple[int, AuditEvent]] = []
        while len(read) < count:
            asked = Entries(start + len(read), count - len(read))
            listed = await self._ledger.entries(asked, ticket=operator.ticket)
            if not listed.entries:
                break
            read += [
                (listed.start + place, _decoder.decode(entry)) for place, entry in enumerate(listed.entries)
            ]
        return read
