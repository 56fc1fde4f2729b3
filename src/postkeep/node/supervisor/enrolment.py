"""A module instance's way to its module ticket: enrol once with the supervisor's secret, then renew."""

import asyncio
from pathlib import Path
from typing import Final

import structlog

from postkeep.base.clock import SystemClock
from postkeep.base.errors import PostkeepError, RefusedError, UnavailableError
from postkeep.base.secret import Secret
from postkeep.services.authority.api import Enrol, ModuleTicket, RenewModule
from postkeep.tickets import token as tokens
from postkeep.tickets.channel import Link
from postkeep.tickets.identity import Anchors, ModuleIdentity

_RETRY_SECONDS: Final = 0.02
"""Between attempts while the authority is starting: a try costs one connect to a missing socket."""
_RENEW_RETRY_SECONDS: Final = 1.0
_CALL_SECONDS_MAX: Final = 5.0
_RENEW_AT_SHARE: Final = 0.5
"""Renew when this share of a ticket's life is over: the other half bridges an authority that restarts."""


class Enrolling:
    """Gets and renews the ticket of one instance."""

    def __init__(self, identity: ModuleIdentity, anchors: Anchors, run_dir: Path) -> None:
        self._identity = identity
        self._anchors = anchors
        self._socket = run_dir / "authority.sock"
        self._secret = Secret(b"")
        self._given = asyncio.Event()

    def give(self, secret: bytes) -> None:
        """Take a one-time secret; a later one replaces it (the authority has started anew)."""
        self._secret = Secret(secret)
        self._given.set()

    async def enrol(self) -> None:
        """Exchange the secret for a ticket; waits for the authority as long as it takes."""
        while True:
            await self._given.wait()
            link = Link(self._identity, self._anchors, "authority", self._socket)
            try:
                request = Enrol(
                    module=self._identity.module,
                    instance=self._identity.instance,
                    secret=self._secret.reveal(),
                    public_key=self._identity.public_key,
                )
                answer = await link.call(
                    "authority.enrol", request, ModuleTicket, timeout_seconds=_CALL_SECONDS_MAX
                )
            except UnavailableError:
                await asyncio.sleep(_RETRY_SECONDS)
            except RefusedError:
                # The authority may not have heard of us yet, or has started anew: a new secret will come.
                structlog.get_logger().warning("enrolment_refused")
                await asyncio.sleep(_RETRY_SECONDS * 10)
            else:
                self._given.clear()
                self._secret = Secret(b"")
                self._identity.ticket = answer.ticket
                return
            finally:
                await link.close()

    async def keep(self) -> None:
        """Renew the ticket at half of its life, for ever."""
        while True:
            ticket = tokens.read(self._identity.ticket)[0].ticket
            due = ticket.issued + (ticket.expires - ticket.issued) * _RENEW_AT_SHARE
            await asyncio.sleep(max(_RENEW_RETRY_SECONDS, due - SystemClock().now_seconds()))
            try:
                await self._renew()
            except RefusedError:
                if self._given.is_set():
                    await self.enrol()
                else:
                    structlog.get_logger().warning("renewal_refused")
            except PostkeepError as error:
                structlog.get_logger().warning("renewal_failed", code=error.code)

    async def _renew(self) -> None:
        link = Link(self._identity, self._anchors, "authority", self._socket)
        try:
            answer = await link.call(
                "authority.renew_module", RenewModule(), ModuleTicket, timeout_seconds=_CALL_SECONDS_MAX
            )
        finally:
            await link.close()
        self._identity.ticket = answer.ticket
