"""What an export reads with: the grant of its request, held by a key of this process for some minutes.

Each renewal signs in again and has the approvals counted anew; the key before it goes with its tickets.
"""

import os
import resource
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Self

from postkeep.node.cli.operator import StaffLogin, admit
from postkeep.node.sandbox.libc import PR_SET_DUMPABLE, prctl
from postkeep.node.supervisor import believed
from postkeep.services.authority.api import Done
from postkeep.services.authority.governance_api import CloseRequest, ExportTickets, IssueExport
from postkeep.services.export.keys import Keepers
from postkeep.services.kms.client import KmsClient
from postkeep.services.vault.client import VaultClient
from postkeep.tickets.channel import Link
from postkeep.tickets.identity import ModuleIdentity

RENEW_SECONDS: Final = 240.0
"""The sign-in's own ticket ends after 300, the module's after 600: both are good for the page under way."""


def keep_memory_private() -> None:
    """Have no memory of this process dumped to a disk, nor read by another process of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


class ExportSession:
    """Keeps keepers at hand that know this process and its grant."""

    def __init__(self, data: Path, run: Path, request: bytes, login: StaffLogin | None) -> None:
        self._data = data
        self._run = run
        self._request = request
        self._login = login
        self._links = AsyncExitStack()
        self._keepers: Keepers | None = None
        self._authority: Link
        self._staff = b""
        self._until = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._links.aclose()

    async def keepers(self) -> Keepers:
        """Return whom to ask now; ApprovalNeededError where the approvals do not stand, or no longer."""
        if self._keepers is None or time.monotonic() >= self._until:
            self._keepers = await self._renew()
            self._until = time.monotonic() + RENEW_SECONDS
        return self._keepers

    async def close_request(self) -> None:
        """Have nothing read on this request again."""
        await self._sign_in()
        close = CloseRequest(self._request)
        await self._authority.call("authority.close_request", close, Done, ticket=self._staff)

    async def _sign_in(self) -> ModuleIdentity:
        """Come with a new key, and let go of what was held by the one before."""
        await self._links.aclose()
        self._links = AsyncExitStack()
        identity = ModuleIdentity("cli", f"cli.{os.getpid()}")
        admitted = await admit(self._link(identity, "authority"), self._login)
        identity.ticket, self._staff = admitted.ticket, admitted.staff
        self._authority = self._link(identity, "authority")
        return identity

    async def _renew(self) -> Keepers:
        identity = await self._sign_in()
        tickets = await self._authority.call(
            "authority.issue_export", IssueExport(self._request), ExportTickets, ticket=self._staff
        )
        mine = identity.acting_as("export", tickets.instance, tickets.module)
        vault, kms = self._link(mine, "vault"), self._link(mine, "kms")
        return Keepers(VaultClient(vault), KmsClient(kms), tickets.grant)

    def _link(self, identity: ModuleIdentity, keeper: str) -> Link:
        made = Link(identity, believed.read(self._data), keeper, self._run / f"{keeper}.sock")
        self._links.push_async_callback(made.close)
        return made
