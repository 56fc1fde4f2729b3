"""Following the authority's feed: revocations and directory changes reach this process in about a second."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from postkeep.base.errors import PostkeepError
from postkeep.tickets.revocations import Revocation, RevocationView

WAIT_SECONDS: Final = 4.0
"""How long the authority may hold a poll open; well below what counts as stale."""

RETRY_SECONDS: Final = 0.25
"""Pause after a failure: the authority restarts in about a second."""

_log = logging.getLogger(__name__)


class Page(Protocol):
    """One answer of the feed."""

    @property
    def position(self) -> int:
        """Of the last revocation in it."""

    @property
    def revocations(self) -> Sequence[Revocation]:
        """New ones."""

    @property
    def directory_version(self) -> int:
        """Changes with every change of the directory."""


class FeedSource(Protocol):
    """Where pages come from: the authority's client."""

    async def poll_feed(self, since: int, directory_version: int, wait_seconds: float) -> Page:
        """Wait for revocations after `since` or another directory version; at most `wait_seconds`."""


async def follow_feed(
    authority: FeedSource,
    view: RevocationView,
    on_revoked: Callable[[Revocation], None] | None = None,
    on_directory: Callable[[int], None] | None = None,
) -> None:
    """Keep `view` current until cancelled.

    `on_revoked` is called once per revocation, after the view knows it, so that a face can cut the sessions
    concerned; `on_directory` with each directory version seen, the first one included.
    """
    version = -1
    while True:
        try:
            page = await authority.poll_feed(view.position, version, WAIT_SECONDS)
        except PostkeepError as error:
            _log.debug("feed_unavailable", extra={"code": error.code})
            await asyncio.sleep(RETRY_SECONDS)
            continue
        for revocation in page.revocations:
            view.learn(revocation)
        view.heard(page.position)
        for revocation in page.revocations:
            if on_revoked is not None:
                on_revoked(revocation)
        if page.directory_version != version:
            version = page.directory_version
            if on_directory is not None:
                on_directory(version)
