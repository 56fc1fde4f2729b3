"""The backup worker as other modules see it. Asking takes a module ticket; destroying, a grant."""

from postkeep.model.warrant import Warrant
from postkeep.services.backup import api
from postkeep.tickets.channel import Link

DESTROY_SECONDS_MAX = 600.0
"""Removing a backup looks through what the others need: minutes for a large target far away."""


class BackupClient:
    """Calls to the worker over one link (`run/backup.sock`)."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def still_holding(self, tenant: bytes, principal: bytes, before_ms: int) -> api.BackupsLeft:
        """Say which backups made before a moment still hold keys; UnavailableError if the target is away."""
        return await self._link.call(
            "backup.still_holding", api.StillHolding(tenant, principal, before_ms), api.BackupsLeft
        )

    async def find_backup(self, backup: str) -> None:
        """Raise NotFoundError if there is no backup of this id."""
        await self._link.call("backup.find", api.Find(backup), api.Done)

    async def destroy_backup(self, warrant: Warrant, *, ticket: bytes) -> None:
        """Remove a backup; harmless to repeat."""
        await self._link.call(
            "backup.destroy",
            api.Destroy(warrant),
            api.Done,
            ticket=ticket,
            timeout_seconds=DESTROY_SECONDS_MAX,
        )
