"""The custody process, as kms sees it."""

from typing import Final

from postkeep.services.custody import api
from postkeep.tickets.channel import Link

CALL_SECONDS_MAX: Final = 20.0
"""Longer than the custody process waits for a token (15 s) or a key server (10 s)."""


class CustodyClient:
    """Calls over one link; every method may raise UnavailableError (`unavailable.custody`)."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def wrap(self, request: api.Wrap) -> api.Value:
        """Wrap under a customer's key."""
        return await self._link.call("custody.wrap", request, api.Value, timeout_seconds=CALL_SECONDS_MAX)

    async def unwrap(self, request: api.Unwrap) -> api.Value:
        """Unwrap under a customer's key."""
        return await self._link.call("custody.unwrap", request, api.Value, timeout_seconds=CALL_SECONDS_MAX)
