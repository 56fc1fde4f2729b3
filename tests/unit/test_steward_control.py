"""An act through several keepers, cut off at any point, leaves nothing half open.

The keepers are a small simulation that keeps what real ones keep (who has keys, who is in the directory,
whose mail and limits the vault holds) and can break at any call, before or after its effect.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.steward_world import OPERATOR, Keepers, steward_control, steward_orders

from postkeep.base.errors import ConflictError, NotFoundError, RefusedError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.services.steward.control import Control, Operator, queue_principal


def _assert_whole(keepers: Keepers, state: Path) -> None:
    expected = {(tenant, b"") for tenant in keepers.tenants}
    expected |= {(tenant, queue_principal(tenant)) for tenant in keepers.tenants}
    expected |= {(info.tenant, info.principal) for info in keepers.users.values()}
    assert keepers.keys == expected
    assert set(keepers.limits) == {p for p, info in keepers.users.items() if info.quota_bytes is not None}
    assert list(state.iterdir()) == []


async def _prepared(state: Path) -> Keepers:
    keepers = Keepers()
    control = steward_control(keepers, state)
    await control.create_tenant(OPERATOR, "old.example", "Old")
    await control.create_user(OPERATOR, "old@old.example", "", None, 5)
    keepers.calls = 0
    return keepers


Act = Callable[[Control], Coroutine[Any, Any, Any]]
ACTS: dict[str, Act] = {
    "create tenant": lambda control: control.create_tenant(OPERATOR, "new.example", "New"),
    "delete tenant": lambda control: control.delete_tenant(OPERATOR, "old.example"),
    "create user": lambda control: control.create_user(OPERATOR, "new@old.example", "", None, 7),
    "delete user": lambda control: control.delete_user(OPERATOR, "old@old.example"),
}


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("name", sorted(ACTS))
def test_an_act_cut_off_anywhere_is_whole_or_undone_after_the_next(
    tmp_path: Path, name: str, *, after_effect: bool
) -> None:
    async def scenario() -> int:
        step = 0
        while True:
            step += 1
            state = tmp_path / f"{step}-{after_effect}"
            keepers = await _prepared(state)
            keepers.break_at, keepers.after_effect = step, after_effect
            try:
                await ACTS[name](steward_control(keepers, state))
            except UnavailableError:
                keepers.break_at = -1
                await steward_control(keepers, state).create_tenant(OPERATOR, "next.example", "Next")
                await steward_orders(keepers, state).round()
                _assert_whole(keepers, state)
            else:
                _assert_whole(keepers, state)
                return step

    assert asyncio.run(scenario()) >= 4


REPEATED: dict[str, Callable[[Control, Operator], Coroutine[Any, Any, Any]]] = {
    "create tenant": lambda control, operator: control.create_tenant(operator, "new.example", "New"),
    "delete tenant": lambda control, operator: control.delete_tenant(operator, "old.example"),
    "create user": lambda control, operator: control.create_user(operator, "new@old.example", "", None, 7),
    "delete user": lambda control, operator: control.delete_user(operator, "old@old.example"),
}


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("name", sorted(REPEATED))
def test_an_act_cut_off_anywhere_succeeds_when_the_same_command_comes_again(
    tmp_path: Path, name: str, *, after_effect: bool
) -> None:
    async def scenario() -> int:
        step = 0
        while True:
            step += 1
            state = tmp_path / f"{step}-{after_effect}"
            keepers = await _prepared(state)
            keepers.break_at, keepers.after_effect = step, after_effect
            first = replace(OPERATOR, token=new_id())
            try:
                await REPEATED[name](steward_control(keepers, state), first)
            except UnavailableError:
                keepers.break_at = -1
                await REPEATED[name](steward_control(keepers, state), replace(first, again=True))
                _assert_whole(keepers, state)
                made = {info.principal for info in keepers.users.values()} | set(keepers.tenants)
                assert (first.token in made) == name.startswith("create")
            else:
                # The whole was done and only the answer was lost: the same again, in a new steward.
                keepers.break_at = -1
                await REPEATED[name](steward_control(keepers, state), replace(first, again=True))
                _assert_whole(keepers, state)
                return step

    assert asyncio.run(scenario()) >= 4


@pytest.mark.parametrize("name", ["create tenant", "create user"])
def test_a_creation_that_is_refused_leaves_no_key(tmp_path: Path, name: str) -> None:
    async def scenario() -> None:
        keepers = await _prepared(tmp_path / "s")
        keepers.break_at, keepers.error = 3, RefusedError()
        with pytest.raises(RefusedError):
            await ACTS[name](steward_control(keepers, tmp_path / "s"))
        _assert_whole(keepers, tmp_path / "s")

    asyncio.run(scenario())


def test_nothing_is_done_that_the_ledger_does_not_have(tmp_path: Path) -> None:
    async def scenario() -> None:
        for name, act in ACTS.items():
            state = tmp_path / name.replace(" ", "-")
            keepers = await _prepared(state)
            before = (set(keepers.keys), dict(keepers.users), dict(keepers.tenants))
            keepers.break_at = 1  # the first call of every act is the ledger's
            with pytest.raises(UnavailableError):
                await act(steward_control(keepers, state))
            assert (keepers.keys, keepers.users, keepers.tenants) == before

    asyncio.run(scenario())


def test_what_exists_is_not_made_twice_and_what_is_missing_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        keepers = await _prepared(tmp_path / "s")
        control = steward_control(keepers, tmp_path / "s")
        with pytest.raises(ConflictError):
            await control.create_tenant(OPERATOR, "OLD.example", "")
        with pytest.raises(ConflictError):
            await control.create_user(OPERATOR, "old@old.example", "", None, None)
        with pytest.raises(NotFoundError, match=r"postkeep tenant create missing\.example"):
            await control.create_user(OPERATOR, "x@missing.example", "", None, None)
        _assert_whole(keepers, tmp_path / "s")

    asyncio.run(scenario())
