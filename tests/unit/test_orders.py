"""An order goes through its steps whatever dies meanwhile, and says nothing too early (D4, D5, D6)."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.steward_world import OPERATOR, Crash, Keepers, steward_control, steward_orders

from postkeep.base.errors import (
    ApprovalNeededError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    PostkeepError,
    RefusedError,
)
from postkeep.base.ids import new_id
from postkeep.model.warrant import Unit
from postkeep.services.destruction.certificate import verify
from postkeep.services.destruction.hold import Hold, HoldState
from postkeep.services.destruction.order import STEPS, Marks, Order, Step, advance
from postkeep.services.steward.orders import Orders


async def prepared(state: Path) -> tuple[Keepers, Order]:
    """A company with a person, and the order to destroy the person."""
    keepers = Keepers()
    control = steward_control(keepers, state)
    await control.create_tenant(OPERATOR, "old.example", "Old")
    await control.create_user(OPERATOR, "old@old.example", "", None, 5)
    person = next(iter(keepers.users.values()))
    order = Order(
        id=new_id(),
        unit=Unit.PERSON,
        made_ms=1,
        requester="operator",
        tenant=person.tenant,
        principal=person.principal,
        reason="case 7",
    )
    keepers.calls = 0
    keepers.seen.clear()
    return keepers, order


async def certified(state: Path) -> tuple[Keepers, Order]:
    keepers, order = await prepared(state)
    await steward_orders(keepers, state).make(OPERATOR, order)
    await steward_orders(keepers, state).round()
    return keepers, keepers.stands(order.id)


@pytest.mark.parametrize("after_effect", [False, True])
def test_an_order_is_finished_wherever_the_steward_dies_and_never_claims_too_much(
    tmp_path: Path, *, after_effect: bool
) -> None:
    """D6. `Keepers.save_order` holds every durable state against what the keepers really hold."""

    async def scenario() -> int:
        step = 0
        while True:
            step += 1
            state = tmp_path / f"{step}-{after_effect}"
            keepers, order = await prepared(state)
            keepers.break_at, keepers.after_effect, keepers.crash = step, after_effect, True
            died = False
            try:
                await steward_orders(keepers, state).make(OPERATOR, order)
                await steward_orders(keepers, state).round()
            except Crash:
                died = True
            keepers.break_at = -1
            if order.id not in keepers.orders or not keepers.stands(order.id).reached(Step.APPROVED):
                await steward_orders(keepers, state).make(OPERATOR, order)
            await steward_orders(keepers, state).round()
            assert keepers.stands(order.id).step is Step.CERTIFIED
            positions = [STEPS.index(one) for one in keepers.seen]
            assert positions == sorted(positions)
            body = verify(keepers.certificates[order.id], keepers.public_keys)
            assert (body.certificate, body.keys) == (order.id.hex(), 1)
            if not died:
                return step

    assert asyncio.run(scenario()) > len(STEPS)


def test_an_order_waits_for_backups_that_hold_keys_and_goes_on_without_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        keepers, order = await prepared(tmp_path / "s")
        keepers.backups = ["monday"]
        await steward_orders(keepers, tmp_path / "s").make(OPERATOR, order)
        await steward_orders(keepers, tmp_path / "s").round()
        waiting = keepers.stands(order.id)
        assert (waiting.step, waiting.waiting, waiting.waiting_for) == (Step.PURGED, "backups", ["monday"])
        assert keepers.certificates == {}
        keepers.backups = []
        await steward_orders(keepers, tmp_path / "s").round()
        assert keepers.stands(order.id).step is Step.CERTIFIED

    asyncio.run(scenario())


def test_a_copy_of_a_destroyed_key_keeps_the_order_from_being_verified(tmp_path: Path) -> None:
    """D6: a key that still lies anywhere is named, and there is no certificate until it is gone."""

    async def scenario() -> None:
        state = tmp_path / "s"
        keepers, order = await prepared(state)
        keepers.copies = keepers.secrets(order.tenant, order.principal)
        await steward_orders(keepers, state).make(OPERATOR, order)
        await steward_orders(keepers, state).round()
        found = keepers.stands(order.id)
        assert (found.step, found.waiting, found.waiting_for) == (Step.UNBACKED, "found", ["/slots"])
        await steward_orders(keepers, state).round()
        assert keepers.certificates == {}
        keepers.copies = []
        await steward_orders(keepers, state).resume(OPERATOR, order.id)
        await steward_orders(keepers, state).round()
        assert keepers.stands(order.id).step is Step.CERTIFIED

    asyncio.run(scenario())


@pytest.mark.parametrize("scope", ["person", "tenant"])
def test_a_hold_beats_an_order_which_completes_after_the_release(tmp_path: Path, scope: str) -> None:
    """D4."""

    async def scenario() -> None:
        state = tmp_path / "s"
        keepers, order = await prepared(state)
        principal = order.principal if scope == "person" else b""
        hold = Hold(id=new_id(), tenant=order.tenant, principal=principal, state=HoldState.ACTIVE)
        keepers.holds = [msgspec.msgpack.encode(hold)]
        stands = await steward_orders(keepers, state).make(OPERATOR, order)
        assert (stands.step, stands.waiting, stands.waiting_for) == (Step.REQUESTED, "held", [hold.id.hex()])
        with pytest.raises(RefusedError, match=hold.id.hex()):
            await steward_orders(keepers, state).remove(OPERATOR, order.tenant, order.principal)
        await steward_orders(keepers, state).round()
        assert (order.tenant, order.principal) in keepers.keys
        keepers.holds = []
        await steward_orders(keepers, state).release(OPERATOR, hold)
        await steward_orders(keepers, state).round()
        assert keepers.stands(order.id).step is Step.CERTIFIED

    asyncio.run(scenario())


WORDS = ("person", "old@old.example")


async def started(keepers: Keepers, state: Path) -> Orders:
    """A steward that has just started, on the look-out for approvals."""
    orders = steward_orders(keepers, state)
    await orders.look_out()
    return orders


async def asked(keepers: Keepers, state: Path, order: Order) -> bytes:
    """Give the command under dual control, and return the request that it waits for."""
    with pytest.raises(ApprovalNeededError):
        await steward_orders(keepers, state).make(OPERATOR, order, WORDS)
    return bytes.fromhex(keepers.stands(order.id).request)


@pytest.mark.parametrize("after_effect", [False, True])
def test_an_approved_order_goes_on_by_itself_wherever_the_steward_dies(
    tmp_path: Path, *, after_effect: bool
) -> None:
    """D6, without the command being given again."""

    async def scenario() -> None:
        step, died = 0, True
        while died:
            step += 1
            state = tmp_path / f"{step}-{after_effect}"
            keepers, order = await prepared(state)
            keepers.dual_control = True
            request = await asked(keepers, state, order)
            await (await started(keepers, state)).take_up()
            assert (order.tenant, order.principal) in keepers.keys, "nobody has approved yet"
            keepers.approved.add(request)
            keepers.calls = 0
            keepers.break_at, keepers.after_effect, keepers.crash = step, after_effect, True
            try:
                died = False
                orders = await started(keepers, state)
                await orders.take_up()
                await orders.round()
            except Crash:
                died = True
            keepers.break_at = -1
            orders = await started(keepers, state)
            await orders.take_up()
            await orders.round()
            assert keepers.stands(order.id).step is Step.CERTIFIED
            positions = [STEPS.index(one) for one in keepers.seen]
            assert positions == sorted(positions)
        assert step > len(STEPS)

    asyncio.run(scenario())


def test_an_order_whose_approvals_come_while_a_keeper_is_away_is_taken_up_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        keepers, order = await prepared(tmp_path / "s")
        keepers.dual_control = True
        keepers.approved.add(await asked(keepers, tmp_path / "s", order))
        orders = await started(keepers, tmp_path / "s")
        keepers.calls, keepers.break_at = 0, 2  # the grant
        await orders.take_up()
        assert keepers.stands(order.id).step is Step.CLEARED
        await orders.take_up()
        assert keepers.stands(order.id).reached(Step.DESTROYED)

    asyncio.run(scenario())


def test_the_command_given_again_is_told_what_came_of_it_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        keepers, order = await prepared(tmp_path / "s")
        keepers.dual_control = True
        orders = steward_orders(keepers, tmp_path / "s")
        with pytest.raises(ApprovalNeededError):
            await orders.make(OPERATOR, order, WORDS)
        assert await orders.answer(OPERATOR, WORDS) is None, "it waits still"
        keepers.approved.add(bytes.fromhex(keepers.stands(order.id).request))
        await orders.take_up()
        assert await orders.answer(OPERATOR, ("person", "else@old.example")) is None
        told = await orders.answer(OPERATOR, WORDS)
        assert told is not None
        assert (told.id, told.keys) == (order.id, 1)
        assert await orders.answer(OPERATOR, WORDS) is None, "another such command is a new one"

    asyncio.run(scenario())


def test_the_command_given_again_in_time_carries_the_order_out_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        keepers, order = await prepared(tmp_path / "s")
        keepers.dual_control = True
        orders = steward_orders(keepers, tmp_path / "s")
        with pytest.raises(ApprovalNeededError):
            await orders.make(OPERATOR, order, WORDS)
        keepers.approved.add(bytes.fromhex(keepers.stands(order.id).request))
        again = msgspec.structs.replace(order, id=new_id())
        assert (await orders.make(OPERATOR, again, WORDS)).id == order.id
        assert await orders.answer(OPERATOR, WORDS) is None
        await orders.take_up()
        assert [one.id for one in map(keepers.stands, keepers.orders)] == [order.id]

    asyncio.run(scenario())


def test_a_declined_order_ends_with_nothing_done_and_may_be_asked_for_anew(tmp_path: Path) -> None:
    async def scenario() -> None:
        state = tmp_path / "s"
        keepers, order = await prepared(state)
        keepers.dual_control = True
        request = await asked(keepers, state, order)
        keepers.ended.add(request)
        await (await started(keepers, state)).take_up()
        over = keepers.stands(order.id)
        assert (over.step, over.waiting) == (Step.REFUSED, "request_ended")
        assert (order.tenant, order.principal) in keepers.keys
        keepers.ended.clear()
        again = msgspec.structs.replace(order, id=new_id())
        await asked(keepers, state, again)
        assert keepers.stands(again.id).waiting == "approval"

    asyncio.run(scenario())


def test_a_hold_that_comes_before_the_approvals_still_beats_the_order(tmp_path: Path) -> None:
    """D4: nothing is taken from the directory either."""

    async def scenario() -> None:
        state = tmp_path / "s"
        keepers, order = await prepared(state)
        keepers.dual_control = True
        request = await asked(keepers, state, order)
        hold = Hold(id=new_id(), tenant=order.tenant, principal=order.principal, state=HoldState.ACTIVE)
        keepers.holds = [msgspec.msgpack.encode(hold)]
        keepers.approved.add(request)
        await (await started(keepers, state)).take_up()
        held = keepers.stands(order.id)
        assert (held.step, held.waiting, held.waiting_for) == (Step.CLEARED, "held", [hold.id.hex()])
        assert order.principal in keepers.users
        keepers.holds = []
        await steward_orders(keepers, state).release(OPERATOR, hold)
        await steward_orders(keepers, state).round()
        assert keepers.stands(order.id).step is Step.CERTIFIED

    asyncio.run(scenario())


def test_an_order_says_so_when_the_hold_that_it_waits_for_has_run_out(tmp_path: Path) -> None:
    """D4: an order that nobody has asked approvals for needs its operator's word once more."""

    async def scenario() -> None:
        state = tmp_path / "s"
        keepers, order = await prepared(state)
        hold = Hold(id=new_id(), tenant=order.tenant, state=HoldState.ACTIVE)
        keepers.holds = [msgspec.msgpack.encode(hold)]
        await steward_orders(keepers, state).make(OPERATOR, order)
        keepers.holds = [msgspec.msgpack.encode(msgspec.structs.replace(hold, until_ms=1))]
        await steward_orders(keepers, state).round()
        assert keepers.stands(order.id).waiting == "operator"
        await steward_orders(keepers, state).resume(OPERATOR, order.id)
        await steward_orders(keepers, state).round()
        assert keepers.stands(order.id).step is Step.CERTIFIED

    asyncio.run(scenario())


def test_a_backup_is_destroyed_wherever_the_steward_dies_and_only_if_there_is_one(tmp_path: Path) -> None:
    """D6."""

    async def scenario() -> None:
        step, died = 0, True
        while died:
            step += 1
            state = tmp_path / str(step)
            keepers, _ = await prepared(state)
            keepers.backups = ["monday"]
            order = Order(id=new_id(), unit=Unit.BACKUP, made_ms=1, requester="operator", backup="monday")
            nothing = msgspec.structs.replace(order, id=new_id(), backup="sunday")
            with pytest.raises(NotFoundError):
                await steward_orders(keepers, state).make(OPERATOR, nothing)
            assert keepers.orders == {}
            keepers.calls, keepers.break_at, keepers.after_effect, keepers.crash = 0, step, True, True
            try:
                died = False
                await steward_orders(keepers, state).make(OPERATOR, order)
                await steward_orders(keepers, state).round()
            except Crash:
                died = True
            keepers.break_at = -1
            if order.id not in keepers.orders or not keepers.stands(order.id).reached(Step.APPROVED):
                await steward_orders(keepers, state).make(OPERATOR, order)
            await steward_orders(keepers, state).round()
            assert keepers.stands(order.id).step is Step.CERTIFIED
            assert keepers.backups == []
        assert step > len(STEPS)

    asyncio.run(scenario())


def test_a_backup_that_has_gone_before_the_approvals_is_not_certified_as_destroyed(tmp_path: Path) -> None:
    async def scenario() -> None:
        state = tmp_path / "s"
        keepers, _ = await prepared(state)
        keepers.dual_control, keepers.backups = True, ["monday"]
        order = Order(id=new_id(), unit=Unit.BACKUP, made_ms=1, requester="operator", backup="monday")
        keepers.approved.add(await asked(keepers, state, order))
        keepers.backups = []
        await (await started(keepers, state)).take_up()
        assert keepers.stands(order.id).step is Step.REFUSED

    asyncio.run(scenario())


def test_an_order_for_nothing_ends_with_nothing_done(tmp_path: Path) -> None:
    async def scenario() -> None:
        keepers, order = await prepared(tmp_path / "s")
        nobody = msgspec.structs.replace(order, principal=new_id())
        with pytest.raises(NotFoundError):
            await steward_orders(keepers, tmp_path / "s").make(OPERATOR, nobody)
        assert keepers.stands(nobody.id).step is Step.REFUSED
        assert len(keepers.keys) == 3

    asyncio.run(scenario())


@given(st.lists(st.sampled_from(STEPS), max_size=12))
def test_no_step_is_skipped_taken_twice_or_claimed_without_its_proof(steps: list[Step]) -> None:
    """D6: an order only ever stands at the end of an unbroken row of steps."""
    order = Order(
        id=new_id(), unit=Unit.PERSON, made_ms=1, requester="x", tenant=new_id(), principal=new_id()
    )
    for number, step in enumerate(steps):
        try:
            order = advance(order, step, number)
        except ConflictError:
            continue
        assert [Step(name) for name in order.times] == list(STEPS[1 : 1 + len(order.times)])
    assert not order.reached(Step.DELETED), "nothing was marked"
    marked = msgspec.structs.replace(order, step=Step.UNBACKED, marks=Marks(b"s" * 16, [], 0))
    with pytest.raises(ConflictError):
        advance(marked, Step.VERIFIED, 1)


def fields(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value that holds something which can be altered."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from fields(item, (*path, key))
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from fields(item, (*path, number))
    else:
        yield path


def altered(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return ("B" if value[:1] != "B" else "C") + value[1:]
        case []:
            return ["x"]
        case _:
            return "x"


def test_a_certificate_verifies_with_public_keys_and_no_field_can_be_altered(
    tmp_path: Path,
) -> None:
    """D5."""
    keepers, order = asyncio.run(certified(tmp_path / "s"))
    data = keepers.certificates[order.id]
    body = verify(data, keepers.public_keys)
    assert (body.unit, body.reason, body.keys) == ("person", "case 7", 1)
    assert body.search is not None
    assert body.search.secrets_sought == 1
    places = list(fields(json.loads(data)))
    assert len(places) > 30
    for path in places:
        forged = json.loads(data)
        inner = forged
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = altered(inner[path[-1]])
        text = json.dumps(forged, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert text != data
        with pytest.raises((IntegrityError, PostkeepError)):
            verify(text, keepers.public_keys)


def test_a_certificate_is_refused_in_another_form_and_with_other_keys(
    tmp_path: Path,
) -> None:
    """D5."""
    keepers, order = asyncio.run(certified(tmp_path / "s"))
    data, keys = keepers.certificates[order.id], keepers.public_keys
    other = Keepers().public_keys
    for forged, with_keys in (
        (json.dumps(json.loads(data), indent=1).encode(), keys),
        (data[:-1] + b',"more":1}', keys),
        (data, keys._replace(certificate=other.certificate)),
        (data, keys._replace(certificate=keys.certificate[:32] + other.certificate[32:])),
        (data, keys._replace(ledger=other.ledger)),
        (data, keys._replace(ledger_mldsa44=other.ledger_mldsa44)),
        (b"{}", keys),
        (b"", keys),
    ):
        with pytest.raises(IntegrityError):
            verify(forged, with_keys)
