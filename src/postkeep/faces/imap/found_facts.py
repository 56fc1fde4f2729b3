"""Rows and facts of the messages that a search has found, in pieces, for sorting and threading."""

from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, TypeVar

from postkeep.faces.imap.account import Account
from postkeep.faces.imap.facts import NO_DATE, FactsPage
from postkeep.faces.imap.loading import load
from postkeep.faces.imap.masks import Found
from postkeep.faces.imap.pages import read_facts
from postkeep.faces.imap.pieces import pieces
from postkeep.faces.imap.row_blocks import Columns
from postkeep.faces.imap.selected import Selected

PIECE: Final = 16_384
"""Messages at once: some ten megabytes of facts."""

T = TypeVar("T")


class FoundPiece:
    """Some of the messages found, in order. What has been expunged meanwhile has no facts: `there` is 0."""

    def __init__(self, account: Account, selected: Selected, runs: list[range]) -> None:
        self.uids = selected.view.uids_in(runs)
        self.there = bytearray(len(self.uids))
        self._account = account
        self._selected = selected
        self._runs = runs
        self._pages: list[tuple[Sequence[int], Sequence[int], FactsPage]] = []

    async def read(self) -> None:
        """Read the facts."""
        async for uids, page in read_facts(self._account, self._selected, self._runs):
            start = bisect_left(self.uids, uids[0])
            places: Sequence[int] = range(start, start + len(uids))
            picks: Sequence[int] = range(len(uids))
            if self.uids[start : start + len(uids)] != uids:
                known = {uid: place for place, uid in enumerate(self.uids)}
                picks = [pick for pick, uid in enumerate(uids) if uid in known]
                places = [known[uids[pick]] for pick in picks]
            self._pages.append((places, picks, page))
            for place in places:
                self.there[place] = 1

    async def rows(self) -> Columns:
        """Return the rows."""
        await load(self._account, self._selected, self._runs)
        return self._selected.view.columns(self._runs)

    def column(self, of_page: Callable[[FactsPage], Sequence[T]], missing: T) -> list[T]:
        """Return one value for each message, as a function gives them for a page."""
        values = [missing] * len(self.uids)
        for places, picks, page in self._pages:
            given = of_page(page)
            for place, pick in zip(places, picks, strict=True):
                values[place] = given[pick]
        return values

    async def sent(self) -> list[int]:
        """Return when each was sent, or else came in (RFC 5256 section 2.2), in milliseconds since 1970."""
        moments = self.column(lambda page: array("q", page.sent_ms), NO_DATE)
        if NO_DATE in moments:
            dates = (await self.rows()).dates
            moments = [
                date if moment == NO_DATE else moment for moment, date in zip(moments, dates, strict=True)
            ]
        return moments


async def read_found(
    account: Account, selected: Selected, found: Found, *, facts: bool
) -> AsyncIterator[FoundPiece]:
    """Yield what has been found in pieces, with `facts` read, or else `there` as the rows have it."""
    for runs in pieces(selected.view, found.runs(), PIECE):
        piece = FoundPiece(account, selected, runs)
        if facts:
            await piece.read()
        else:
            piece.there = bytearray((await piece.rows()).there)
        yield piece
