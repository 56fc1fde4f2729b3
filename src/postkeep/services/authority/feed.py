"""The feed that every module follows: revocations in order, and the directory's version."""

import asyncio
from collections.abc import Iterable
from typing import Final

from postkeep.services.authority.api import FeedPage, Revocation
from postkeep.stores.authority_access import RevocationRow
from postkeep.tickets.revocations import KEPT_MS, RevocationView

WAIT_SECONDS_MAX: Final = 8.0
"""A poll is answered after this long at the latest: views go stale at ten."""


class FeedLog:
    """Revocations that some ticket may still be old enough for, and who waits for the next one."""

    def __init__(self, view: RevocationView) -> None:
        self._view = view
        self._rows: list[RevocationRow] = []
        self._version = 0
        self._news = asyncio.Event()

    @property
    def version(self) -> int:
        """The directory's version."""
        return self._version

    def load(self, rows: Iterable[RevocationRow], version: int) -> None:
        """Start from what the database holds."""
        for row in rows:
            self.revoked(row)
        self.changed(version)

    def revoked(self, row: RevocationRow) -> None:
        """Tell everybody of a revocation that is durable."""
        self._rows.append(row)
        horizon = row.before_ms - KEPT_MS
        if self._rows[0].before_ms < horizon:
            self._rows = [kept for kept in self._rows if kept.before_ms >= horizon]
        self._view.learn(row)
        self._wake()

    def changed(self, version: int) -> None:
        """Tell everybody of a change of the directory."""
        self._version = max(self._version, version)
        self._wake()

    async def next_page(self, since: int, directory_version: int, wait_seconds: float) -> FeedPage:
        """Return what is new, at once if something is, otherwise when it comes or the wait is over."""
        deadline = asyncio.get_running_loop().time() + min(max(0.0, wait_seconds), WAIT_SECONDS_MAX)
        while True:
            position = self._rows[-1].position if self._rows else since
            # A caller ahead of us followed a database that is no more: it starts over.
            start = since if since <= position else 0
            fresh = [row for row in self._rows if row.position > start]
            if fresh or self._version != directory_version:
                return self._page(max(position, 0), fresh)
            remaining = deadline - asyncio.get_running_loop().time()
            if remaining <= 0:
                return self._page(position, [])
            news = self._news
            try:
                async with asyncio.timeout(remaining):
                    await news.wait()
            except TimeoutError:
                continue

    def _page(self, position: int, rows: list[RevocationRow]) -> FeedPage:
        revocations = [Revocation(row.scope, row.subject, row.before_ms) for row in rows]
        return FeedPage(position, revocations, self._version)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
