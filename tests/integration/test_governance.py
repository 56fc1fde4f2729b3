"""G1, G2, TM-17, TM-18: staff, requests, approvals and grants over a real channel and a real PostgreSQL."""

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.authority_world import Office, run
from tests.governance_world import DIGEST, Hall, in_hall

from postkeep.base.errors import (
    ApprovalNeededError,
    IntegrityError,
    InvalidInputError,
    RefusedError,
    UnavailableError,
)
from postkeep.base.ids import NOBODY, new_id
from postkeep.model.audit import EventName
from postkeep.model.ticket import Action, TicketKind
from postkeep.model.warrant import Unit, Warrant
from postkeep.services.authority import governance_api as api
from postkeep.services.authority.requests import REQUEST_SECONDS
from postkeep.tickets import token as tokens


def test_without_dual_control_an_act_is_granted_at_once_and_the_ledger_says_by_policy(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario(office: Office) -> None:
        hall = Hall(office)
        principal = await office.person("alice")
        grant = await hall.ask(principal=principal)
        ticket = tokens.read(grant.token)[0].ticket
        assert ticket.kind is TicketKind.GRANT
        assert (ticket.purpose, ticket.request) == ("custody", grant.request.hex())
        assert (ticket.tenant, ticket.principal) == (office.tenant.hex(), principal.hex())
        assert ticket.subject == DIGEST.hex()
        assert Action.KEY_PROVISION in ticket.actions
        assert ticket.holder == office.steward.thumbprint
        assert ticket.expires - ticket.issued == 900
        (opened,) = office.events.named(EventName.REQUEST_OPEN)
        assert opened["note"] == f"{grant.request.hex()} custody by-policy"
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


def test_approvers_read_what_a_destructions_warrant_says_and_nothing_beside_it(
    dsn: str, tmp_path: Path
) -> None:
    """D6, TM-17: a steward in other hands asks for one thing under the name of another."""

    async def scenario(hall: Hall) -> None:
        alice, operator = await hall.office.person("alice"), hall.operator()
        warrant = Warrant(
            unit=Unit.MESSAGE,
            tenant=hall.office.tenant,
            principal=alice,
            mailbox=b"m" * 16,
            uids=[(7, 7), (9, 12)],
            reason="case 12\x1b[2J",
        )
        request = await hall.approvals.ask_for(operator, warrant)
        shown = await hall.root.ask("show_request", api.ShowRequest(request), api.RequestInfo)
        assert shown.summary == (
            f"the messages with UID 7,9:12 in the mailbox {'6d' * 16}. Reason: case 12 [2J"
        )
        assert (shown.about, shown.digest) == ("alice@example.com", warrant.digest())

        wider = msgspec.structs.replace(warrant, unit=Unit.PERSON, mailbox=b"", uids=[])
        of_it = (warrant.tenant, warrant.principal, warrant.digest(), "a cat's picture")
        for lie in (
            api.OpenRequest("destroy", *of_it),
            api.OpenRequest("destroy", *of_it, destruction=wider),
            api.OpenRequest("destroy", NOBODY, *of_it[1:], destruction=warrant),
            api.OpenRequest("destroy", of_it[0], NOBODY, *of_it[2:], destruction=warrant),
            api.OpenRequest("custody", *of_it, destruction=warrant),
        ):
            with pytest.raises(InvalidInputError):
                await hall.office.admin.open_request(lie, ticket=hall.office.staff)
        await hall.office.admin.open_request(
            api.OpenRequest("destroy", *of_it, destruction=warrant), ticket=hall.office.staff
        )
        everything = api.ListRequests(everything=True)
        listed = (await hall.root.ask("list_requests", everything, api.RequestList)).requests
        assert "picture" not in str([one.summary for one in listed])

    in_hall(dsn, tmp_path, scenario)


def test_who_does_the_act_may_ask_for_approvals_that_the_policy_does_not(dsn: str, tmp_path: Path) -> None:
    """G1, K6: kms asks for two where the ledger says so, and the grant says how many there were."""

    async def scenario(office: Office) -> None:
        hall = Hall(office)
        await hall.open(on=False)
        with pytest.raises(InvalidInputError):
            await hall.ask(approvals=3)
        request = await hall.needed(approvals=2)
        await hall.ann.vote(request)
        assert await hall.needed(approvals=2) == request
        await hall.bob.vote(request)
        grant = await hall.ask(approvals=2)
        assert grant.request == request
        assert tokens.read(grant.token)[0].ticket.approvals == 2
        other = await hall.ask(digest=b"o" * 32)
        assert tokens.read(other.token)[0].ticket.approvals == 0

    run(dsn, tmp_path, scenario)


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
        assert [one.id for one in everything.requests if one.kind == "custody"] == [second, first]

    in_hall(dsn, tmp_path, scenario)


def test_requests_made_before_dual_control_are_no_stock_for_afterwards(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        hall = Hall(office)
        stock = await office.admin.open_request(
            api.OpenRequest("custody", office.tenant, NOBODY, DIGEST, ""), ticket=office.staff
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

        async def away(event: EventName, personal: object = None, **fields: Any) -> int:
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
