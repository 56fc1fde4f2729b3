"""An authority with staff, dual control and the steward's side of it: what the tests of governance drive."""

import hashlib
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from tests.authority_world import Office, run

from postkeep.base.errors import ApprovalNeededError
from postkeep.base.ids import NOBODY, new_id
from postkeep.services.authority import governance_api as api
from postkeep.services.authority.api import ModuleTicket
from postkeep.services.steward.approvals import Approvals
from postkeep.services.steward.control import Operator
from postkeep.tickets.channel import Link
from postkeep.tickets.identity import ModuleIdentity
from postkeep.tickets.verify import Verifier

T = TypeVar("T")
DIGEST = hashlib.sha256(b"hold the key outside").digest()


def password_of(name: str) -> str:
    return f"the password of {name}"


class Desk:
    """One command line: the machine's operator, or a staff member who has signed in."""

    def __init__(self, office: Office, name: str = "") -> None:
        self._office = office
        self._name = name
        self.ticket = b""

    async def ask(self, method: str, request: msgspec.Struct, reply: type[T]) -> T:
        """Sign in afresh and call the authority, as a command does."""
        office = self._office
        identity = ModuleIdentity("cli", "cli.test")
        newcomer, link = (Link(identity, office.anchors, "authority", office.path) for _ in range(2))
        for one in (newcomer, link):
            one._verifier = Verifier(office.anchors, office.clock)
        try:
            if self._name:
                sign_in = api.StaffSignIn(self._name, password_of(self._name))
                admitted = await newcomer.call("authority.staff_sign_in", sign_in, ModuleTicket)
                identity.ticket, self.ticket = admitted.ticket, admitted.staff
            else:
                identity.ticket = office.mint.module("cli", "cli.test", identity.thumbprint)[1]
                self.ticket = office.mint.staff("cli", "cli.test", identity.thumbprint, session=new_id())[1]
            return await link.call(f"authority.{method}", request, reply, ticket=self.ticket)
        finally:
            await newcomer.close()
            await link.close()

    async def create(self, name: str, *roles: str) -> api.StaffInfo:
        request = api.StaffCreate(new_id(), name, list(roles), password_of(name))
        return await self.ask("staff_create", request, api.StaffInfo)

    async def vote(self, request: bytes, *, approve: bool = True) -> api.RequestInfo:
        return await self.ask("decide_request", api.DecideRequest(request, approve, "seen"), api.RequestInfo)

    async def governed(self) -> api.DualControlInfo:
        return await self.ask("dual_control", api.DualControl(), api.DualControlInfo)

    async def switch(self, *, on: bool) -> api.DualControlInfo:
        return await self.ask("set_dual_control", api.SetDualControl(on), api.DualControlInfo)


class Hall:
    """An office with approvers and dual control, and the steward's side."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.root = Desk(office)
        self.ann, self.bob, self.cleo = (Desk(office, name) for name in ("ann", "bob", "cleo"))
        self.approvals = Approvals(office.admin)

    async def open(self, *, on: bool = True) -> None:
        for name in ("ann", "bob", "cleo"):
            await self.root.create(name, "approver")
            await Desk(self.office, name).governed()
        assert (await self.root.switch(on=on)).on is on

    def operator(self, staff: bytes = NOBODY) -> Operator:
        """The steward's view of a command: a staff ticket narrowed to it, here minted for it."""
        steward = self.office.steward
        principal = b"" if staff == NOBODY else staff
        ticket = self.office.mint.staff(
            "steward", steward.instance, steward.thumbprint, session=new_id(), principal=principal
        )[1]
        return Operator(ticket, b"", "", staff=staff)

    async def ask(
        self, staff: bytes = NOBODY, digest: bytes = DIGEST, principal: bytes = NOBODY, approvals: int = 0
    ) -> Any:
        what = ("custody", self.office.tenant, principal, digest, "hold its key", approvals)
        return await self.approvals.grant_for(self.operator(staff), *what)

    async def needed(self, **kwargs: Any) -> bytes:
        """Ask, be told to get approvals, and return the request."""
        with pytest.raises(ApprovalNeededError) as refused:
            await self.ask(**kwargs)
        request = bytes.fromhex(refused.value.code.removeprefix("approval_needed."))
        assert request.hex() in refused.value.public_text
        return request

    def renew_steward(self) -> None:
        """After a jump of the clock: fresh module tickets, as modules renew theirs by themselves."""
        for identity in (self.office.steward, self.office.identity):
            module = self.office.mint.module(identity.module, identity.instance, identity.thumbprint)
            identity.ticket = module[1]
        self.approvals = Approvals(self.office.client(self.office.steward))


def in_hall(dsn: str, run_dir: Path, scenario: Any) -> None:
    async def whole(office: Office) -> None:
        hall = Hall(office)
        await hall.open()
        await scenario(hall)

    run(dsn, run_dir, whole)
