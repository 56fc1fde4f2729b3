"""G1: staff accounts and dual control itself, over a real channel and a real PostgreSQL."""

import os
from pathlib import Path

import msgspec
import pytest
from tests.authority_world import Office, run
from tests.governance_world import Desk, Hall, in_hall, password_of

from postkeep.base.errors import (
    ApprovalNeededError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    ThrottledError,
)
from postkeep.base.ids import new_id
from postkeep.model.audit import EventName
from postkeep.model.ticket import Action
from postkeep.services.authority import governance_api as api
from postkeep.services.authority.api import Done
from postkeep.services.authority.throttle import PAIR_FAILURES_MAX
from postkeep.tickets import token as tokens
from postkeep.tickets.verify import Verifier


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
        monkeypatch.setattr("tests.governance_world.password_of", lambda name: "a wrong guess")
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


@pytest.mark.parametrize("name", ["", "a b", "ann\n", "x" * 65, "Ånn"])
def test_odd_staff_names_are_refused(name: str, dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        with pytest.raises(InvalidInputError):
            await Desk(office).create(name, "approver")
        with pytest.raises(InvalidInputError):
            await Desk(office).create("ann", "emperor")

    run(dsn, tmp_path, scenario)
