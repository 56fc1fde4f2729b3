"""G1, G2, TM-17, TM-18: staff, requests, approvals and grants over a real channel and a real PostgreSQL."""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from tests.integration.test_authority import Office, run

from postkeep.base.errors import (
    ApprovalNeededError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)
from postkeep.base.ids import NOBODY, new_id
from postkeep.model.audit import EventName
from postkeep.model.ticket import Action, TicketKind
from postkeep.services.authority import governance_api as api
from postkeep.services.authority.api import Done, ModuleTicket
from postkeep.services.authority.requests import REQUEST_SECONDS
from postkeep.services.authority.throttle import PAIR_FAILURES_MAX
from postkeep.services.steward.approvals import Approvals
from postkeep.services.steward.control import Operator
from postkeep.tickets import token as tokens
from postkeep.tickets.channel import Link
from postkeep.tickets.identity import ModuleIdentity
from postkeep.tickets.verify import Verifier

T = TypeVar("T")
DIGEST = hashlib.sha256(b"delete the person").digest()


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

    async def open(self) -> None:
        for name in ("ann", "bob", "cleo"):
            await self.root.create(name, "approver")
            await Desk(self.office, name).governed()
        assert (await self.root.switch(on=True)).on

    def operator(self, staff: bytes = NOBODY) -> Operator:
        """The steward's view of a command: a staff ticket narrowed to it, here minted for it."""
        steward = self.office.steward
        principal = b"" if staff == NOBODY else staff
        ticket = self.office.mint.staff(
            "steward", steward.instance, steward.thumbprint, session=new_id(), principal=principal
        )[1]
        return Operator(ticket, b"", "", staff=staff)

    async def ask(self, staff: bytes = NOBODY, digest: bytes = DIGEST, principal: bytes = NOBODY) -> Any:
        return await self.approvals.grant_for(
            self.operator(staff), "destroy", self.office.tenant, principal, digest, "delete a person"
        )

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


def test_without_dual_control_an_act_is_granted_at_once_and_the_ledger_says_by_policy(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario(office: Office) -> None:
        hall = Hall(office)
        principal = await office.person("alice")
        grant = await hall.ask(principal=principal)
        ticket = tokens.read(grant.token)[0].ticket
        assert ticket.kind is TicketKind.GRANT
        assert (ticket.purpose, ticket.request) == ("destroy", grant.request.hex())
        assert (ticket.tenant, ticket.principal) == (office.tenant.hex(), principal.hex())
        assert ticket.subject == DIGEST.hex()
        assert Action.KEY_SHRED in ticket.actions
        assert ticket.holder == office.steward.thumbprint
        assert ticket.expires - ticket.issued == 900
        (opened,) = office.events.named(EventName.REQUEST_OPEN)
        assert opened["note"] == f"{grant.request.hex()} destroy by-policy"
        (granted,) = office.events.named(EventName.REQUEST_GRANT)
        assert (granted["ticket"], granted["count"], granted["actor"]) == (ticket.id, 0, "operator")
        await hall.approvals.done(grant)
        await hall.approvals.done(grant)
        with pytest.raises(RefusedError) as refused:
            await hall.approvals.renew(grant.request)
        assert refused.value.code == "refused.request_ended"
        assert (await hall.ask(principal=principal)).request != grant.request

    run(dsn, tmp_path, scenario)


def test_under_dual_control_two_others_approve_and_the_same_command_then_goes_through(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario(hall: Hall) -> None:
        request = await hall.needed()
        assert await hall.needed() == request
        assert (await hall.ann.vote(request)).approvals == 1
        assert await hall.needed() == request
        info = await hall.bob.vote(request)
        assert (info.state, info.approvals, info.approvals_needed) == ("approved", 2, 2)
        assert {vote.name for vote in info.votes} == {"ann", "bob"}
        grant = await hall.ask()
        assert grant.request == request
        again = await hall.approvals.renew(request)
        assert again.token != grant.token
        await hall.approvals.done(grant)
        assert await hall.needed() != request
        assert await hall.needed(digest=b"x" * 32) != request
        events = [name for name, fields in hall.office.events.seen if request.hex() in fields.get("note", "")]
        kinds = [name for name in events if name.startswith("request.")]
        assert kinds == [
            EventName.REQUEST_OPEN,
            EventName.REQUEST_DECIDE,
            EventName.REQUEST_DECIDE,
            EventName.REQUEST_GRANT,
            EventName.REQUEST_GRANT,
            EventName.REQUEST_CLOSE,
        ]
        votes = hall.office.events.named(EventName.REQUEST_DECIDE)
        assert [vote["note"].split()[1] for vote in votes] == ["approve", "approve"]
        assert len({vote["actor"] for vote in votes}) == 2
        assert not any("ann" in str(fields) for _, fields in hall.office.events.seen)

    in_hall(dsn, tmp_path, scenario)


def test_nobody_approves_twice_their_own_or_without_the_role(dsn: str, tmp_path: Path) -> None:
    async def scenario(hall: Hall) -> None:
        request = await hall.needed()
        await hall.ann.vote(request)
        for who, code in ((hall.ann, "refused.request_voted"), (hall.root, "refused.action")):
            with pytest.raises(RefusedError) as refused:
                await who.vote(request)
            assert refused.value.code == code
        assert await hall.needed() == request
        listed = await hall.root.ask("staff_list", api.StaffAll(), api.StaffList)
        ann = next(one for one in listed.staff if one.name == "ann")
        own = await hall.needed(staff=ann.staff, digest=b"o" * 32)
        with pytest.raises(RefusedError) as refused:
            await hall.ann.vote(own)
        assert refused.value.code == "refused.request_own"
        await hall.bob.vote(own)
        with pytest.raises(ApprovalNeededError):
            await hall.approvals.renew(own)

    in_hall(dsn, tmp_path, scenario)


def test_an_approver_disabled_between_vote_and_grant_does_not_count(dsn: str, tmp_path: Path) -> None:
    async def scenario(hall: Hall) -> None:
        request = await hall.needed()
        await hall.ann.vote(request)
        await hall.bob.vote(request)
        await hall.root.ask("staff_status", api.StaffStatus("ann", False), api.StaffInfo)
        with pytest.raises(ApprovalNeededError):
            await hall.approvals.renew(request)
        with pytest.raises(RefusedError):
            await hall.ann.governed()
        info = await hall.root.ask("show_request", api.ShowRequest(request), api.RequestInfo)
        assert [vote.counts for vote in info.votes] == [False, True]
        await hall.cleo.vote(request)
        assert (await hall.ask()).request == request

    in_hall(dsn, tmp_path, scenario)


def test_a_request_expires_by_the_time_inside_it(dsn: str, tmp_path: Path) -> None:
    """G3: no job is needed for an expired approval to be refused."""

    async def scenario(hall: Hall) -> None:
        request = await hall.needed()
        await hall.ann.vote(request)
        await hall.bob.vote(request)
        hall.office.clock.advance(REQUEST_SECONDS)
        hall.renew_steward()
        with pytest.raises(RefusedError) as refused:
            await hall.approvals.renew(request)
        assert refused.value.code == "refused.request_ended"
        info = await hall.root.ask("show_request", api.ShowRequest(request), api.RequestInfo)
        assert info.state == "expired"
        assert await hall.needed() != request

    in_hall(dsn, tmp_path, scenario)


def test_a_declined_or_withdrawn_request_leads_nowhere(dsn: str, tmp_path: Path) -> None:
    async def scenario(hall: Hall) -> None:
        first = await hall.needed()
        await hall.ann.vote(first)
        assert (await hall.bob.vote(first, approve=False)).state == "declined"
        with pytest.raises(RefusedError):
            await hall.cleo.vote(first)
        second = await hall.needed()
        assert second != first
        withdraw = api.WithdrawRequest(second)
        with pytest.raises(RefusedError):
            await hall.ann.ask("withdraw_request", withdraw, api.RequestInfo)
        assert (await hall.root.ask("withdraw_request", withdraw, api.RequestInfo)).state == "withdrawn"
        open_now = await hall.root.ask("list_requests", api.ListRequests(), api.RequestList)
        assert open_now.requests == []
        everything = await hall.root.ask("list_requests", api.ListRequests(everything=True), api.RequestList)
        assert [one.id for one in everything.requests if one.kind == "destroy"] == [second, first]

    in_hall(dsn, tmp_path, scenario)


def test_requests_made_before_dual_control_are_no_stock_for_afterwards(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        hall = Hall(office)
        stock = await office.admin.open_request(
            api.OpenRequest("destroy", office.tenant, NOBODY, DIGEST, ""), ticket=office.staff
        )
        assert stock.state == "approved"
        await hall.open()
        with pytest.raises(ApprovalNeededError):
            await hall.approvals.renew(stock.id)

    run(dsn, tmp_path, scenario)


def test_the_steward_can_not_vote_whatever_ticket_it_holds(dsn: str, tmp_path: Path) -> None:
    async def scenario(hall: Hall) -> None:
        request = await hall.needed()
        listed = await hall.root.ask("staff_list", api.StaffAll(), api.StaffList)
        steward = hall.office.steward
        for one in listed.staff:
            stolen = hall.office.mint.staff(
                "cli",
                "cli.test",
                steward.thumbprint,
                session=new_id(),
                principal=one.staff,
                roles=one.roles,
            )[1]
            with pytest.raises(RefusedError) as refused:
                await hall.office.admin._link.call(
                    "authority.decide_request",
                    api.DecideRequest(request, approve=True),
                    api.RequestInfo,
                    ticket=stolen,
                )
            assert refused.value.code in {"refused.method", "refused.module"}
        assert await hall.needed() == request

    in_hall(dsn, tmp_path, scenario)


def test_without_the_ledger_no_vote_counts_and_nothing_is_granted(dsn: str, tmp_path: Path) -> None:
    async def scenario(hall: Hall) -> None:
        request = await hall.needed()
        await hall.ann.vote(request)
        events = hall.office.events
        recorded = events.record

        async def away(event: EventName, **fields: Any) -> int:
            raise UnavailableError("the ledger is away")

        events.record = away  # type: ignore[method-assign]
        with pytest.raises(UnavailableError):
            await hall.bob.vote(request)
        events.record = recorded  # type: ignore[method-assign]
        assert (await hall.bob.vote(request)).approvals == 2
        events.record = away  # type: ignore[method-assign]
        with pytest.raises(UnavailableError):
            await hall.approvals.renew(request)
        events.record = recorded  # type: ignore[method-assign]
        assert (await hall.ask()).request == request

    in_hall(dsn, tmp_path, scenario)


def test_the_same_act_asked_for_at_once_is_one_request_and_votes_are_counted_one_by_one(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario(hall: Hall) -> None:
        asked = await asyncio.gather(*(hall.needed() for _ in range(6)))
        assert len(set(asked)) == 1
        votes = await asyncio.gather(*(hall.ann.vote(asked[0]) for _ in range(4)), return_exceptions=True)
        assert sum(isinstance(vote, api.RequestInfo) for vote in votes) == 1

    in_hall(dsn, tmp_path, scenario)


def test_staff_who_can_approve_or_operate_are_made_by_two_others_under_dual_control(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario(hall: Hall) -> None:
        async def denied(who: Desk, method: str, request: msgspec.Struct) -> bytes:
            with pytest.raises(ApprovalNeededError) as refused:
                await who.ask(method, request, api.StaffInfo)
            return bytes.fromhex(refused.value.code.removeprefix("approval_needed."))

        assert (await hall.root.create("olga", "auditor")).roles == ["auditor"]
        for method, request in (
            ("staff_create", api.StaffCreate(new_id(), "mole", ["approver"], password_of("mole"))),
            ("staff_create", api.StaffCreate(new_id(), "mole", ["operator"], password_of("mole"))),
            ("staff_roles", api.StaffRoles("olga", ["approver"])),
            ("staff_password", api.StaffPassword("ann", password_of("mole"))),
        ):
            await denied(hall.root, method, request)
        again = api.StaffCreate(new_id(), "dora", ["approver"], password_of("dora"))
        request_id = await denied(hall.root, "staff_create", again)
        await hall.ann.vote(request_id)
        assert await denied(hall.root, "staff_create", again) == request_id
        info = await hall.bob.vote(request_id)
        assert "dora" in info.summary
        made = await hall.root.ask("staff_create", again, api.StaffInfo)
        assert await hall.root.ask("staff_create", again, api.StaffInfo) == made
        info = await hall.root.ask("show_request", api.ShowRequest(request_id), api.RequestInfo)
        assert info.state == "closed"
        about = await denied(hall.root, "staff_password", api.StaffPassword("dora", password_of("x")))
        with pytest.raises(RefusedError) as refused:
            await Desk(hall.office, "dora").vote(about)
        assert refused.value.code == "refused.request_about_you"

    in_hall(dsn, tmp_path, scenario)


def test_dual_control_goes_on_with_two_approvers_at_hand_and_off_with_two_approvals(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario(office: Office) -> None:
        hall = Hall(office)
        for name in ("ann", "bob"):
            await hall.root.create(name, "approver")
        await hall.ann.governed()
        with pytest.raises(RefusedError) as refused:
            await hall.root.switch(on=True)
        assert refused.value.code == "refused.approvers"
        await hall.bob.governed()
        assert (await hall.root.switch(on=True)).approvals_needed == 2
        for method, request in (
            ("staff_status", api.StaffStatus("ann", False)),
            ("staff_delete", api.StaffDelete("bob")),
            ("staff_roles", api.StaffRoles("ann", ["auditor"])),
        ):
            with pytest.raises(RefusedError) as refused:
                await hall.root.ask(method, request, api.StaffInfo)
            assert refused.value.code == "refused.approvers"
        with pytest.raises(ApprovalNeededError) as needed:
            await hall.root.switch(on=False)
        request_id = bytes.fromhex(needed.value.code.removeprefix("approval_needed."))
        await hall.ann.vote(request_id)
        await hall.bob.vote(request_id)
        assert not (await hall.root.switch(on=False)).on
        assert [item["note"] for item in office.events.named(EventName.DUAL_CONTROL)] == ["on", "off"]

    run(dsn, tmp_path, scenario)


def test_a_staff_members_ticket_allows_what_the_roles_allow_and_dies_with_the_account(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario(office: Office) -> None:
        root, olga = Desk(office), Desk(office, "olga")
        info = await root.create("olga", "auditor")
        await olga.governed()
        ticket = tokens.read(olga.ticket)[0].ticket
        assert ticket.principal == info.staff.hex()
        assert set(ticket.actions) == {Action.ADMIN_READ}
        with pytest.raises(RefusedError) as refused:
            await olga.create("mole", "approver")
        assert refused.value.code == "refused.action"
        new = api.StaffOwnPassword(password_of("somebody"))
        await olga.ask("staff_own_password", new, api.StaffInfo)
        with pytest.raises(RefusedError) as refused:
            await olga.governed()
        assert refused.value.code == "refused.credentials"
        with pytest.raises(RefusedError):
            await root.ask("staff_own_password", new, api.StaffInfo)
        assert await root.ask("staff_delete", api.StaffDelete("olga"), Done) == Done()
        with pytest.raises(NotFoundError):
            await root.ask("staff_show", api.StaffShow("olga"), api.StaffInfo)
        holder = tokens.read(olga.ticket)[0].ticket.holder
        verified = Verifier(office.anchors, office.clock).verify(olga.ticket, audience=None, holder=holder)
        with pytest.raises(RefusedError) as refused:
            office.view.check(verified)
        assert refused.value.code == "refused.revoked"

    run(dsn, tmp_path, scenario)


def test_guessing_a_staff_password_is_slowed_and_then_stopped(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(office: Office) -> None:
        info = await Desk(office).create("ann", "approver")
        ann = Desk(office, "ann")
        monkeypatch.setattr(f"{__name__}.password_of", lambda name: "a wrong guess")
        throttle, network = office.service._staff._throttle, f"uid {os.getuid()}"
        with pytest.raises(RefusedError):
            await ann.governed()
        assert throttle._pairs.level((info.staff, network)) > 0.9
        for _ in range(PAIR_FAILURES_MAX):
            throttle.fail(info.staff, network)
        monkeypatch.undo()
        with pytest.raises(ThrottledError):
            await ann.governed()
        refusals = [item for item in office.events.named(EventName.SIGN_IN) if item["outcome"] == "refused"]
        assert {item["method"] for item in refusals} == {"staff"}
        with pytest.raises(RefusedError) as nobody:
            await Desk(office, "nobody").governed()
        assert nobody.value.code == "refused.credentials"

    run(dsn, tmp_path, scenario)


def test_who_writes_the_database_without_the_key_makes_neither_approver_nor_approval(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario(hall: Hall) -> None:
        request = await hall.needed()
        pool = hall.office.pool
        mole = new_id()
        await pool.execute(
            "INSERT INTO staff (staff, lookup, sealed) SELECT $1, $2, sealed FROM staff LIMIT 1",
            mole,
            os.urandom(32),
        )
        with pytest.raises(IntegrityError):
            await hall.ann.vote(request)
        await pool.execute("DELETE FROM staff WHERE staff = $1", mole)
        other = await hall.needed(digest=b"x" * 32)
        await hall.ann.vote(other)
        await hall.bob.vote(other)
        await pool.execute(
            "UPDATE requests r SET sealed = o.sealed FROM requests o WHERE r.request = $1 AND o.request = $2",
            request,
            other,
        )
        with pytest.raises(IntegrityError):
            await hall.approvals.renew(request)
        sealed = await pool.fetchval("SELECT string_agg(sealed, '') FROM staff")
        assert b"ann" not in sealed

    in_hall(dsn, tmp_path, scenario)


@pytest.mark.parametrize("name", ["", "a b", "ann\n", "x" * 65, "Ånn"])
def test_odd_staff_names_are_refused(name: str, dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        with pytest.raises(InvalidInputError):
            await Desk(office).create(name, "approver")
        with pytest.raises(InvalidInputError):
            await Desk(office).create("ann", "emperor")

    run(dsn, tmp_path, scenario)
