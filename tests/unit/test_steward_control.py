"""An act through several keepers, cut off at any point, leaves nothing half open.

The keepers are a small simulation that keeps what real ones keep (who has keys, who is in the directory,
whose mail and limits the vault holds) and can break at any call, before or after its effect.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from postkeep.base.errors import ConflictError, NotFoundError, PostkeepError, RefusedError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.services.authority import api as directory
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.kms import api as kms
from postkeep.services.kms.client import KmsClient
from postkeep.services.ledger.trail import Trail
from postkeep.services.steward.control import Control, Operator, queue_principal
from postkeep.services.steward.pending import Pending
from postkeep.services.vault import api as mail
from postkeep.services.vault.client import VaultClient

OPERATOR = Operator(b"ticket", b"s" * 16, "root")


@dataclass
class Keepers:
    """What the keepers hold, and where the next break comes."""

    keys: set[tuple[bytes, bytes]] = field(default_factory=set)
    shredded: set[tuple[bytes, bytes]] = field(default_factory=set)
    tenants: dict[bytes, directory.TenantInfo] = field(default_factory=dict)
    users: dict[bytes, directory.UserInfo] = field(default_factory=dict)
    limits: dict[bytes, int | None] = field(default_factory=dict)
    recorded: list[str] = field(default_factory=list)
    calls: int = 0
    break_at: int = -1
    after_effect: bool = False
    error: PostkeepError = field(default_factory=UnavailableError)

    async def call(self, effect: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.calls == self.break_at:
            if self.after_effect:
                effect()
            raise self.error
        return effect()

    # --- ledger ---

    async def record(self, _event: object, **fields: str) -> int:
        def effect() -> int:
            self.recorded.append(fields["note"])
            return len(self.recorded)

        return cast("int", await self.call(effect))

    # --- kms ---

    def _refuse_shredded(self, tenant: bytes, principal: bytes) -> None:
        """What was destroyed is never made again."""
        if (tenant, principal) in self.shredded:
            raise ConflictError("destroyed")

    async def provision_tenant(self, request: kms.ProvisionTenant, *, ticket: bytes) -> kms.Done:
        assert ticket == OPERATOR.ticket
        self._refuse_shredded(request.tenant, b"")
        await self.call(lambda: self.keys.add((request.tenant, b"")))
        return kms.Done()

    async def provision_principal(
        self, request: kms.ProvisionPrincipal, *, ticket: bytes
    ) -> kms.SignedPublicKey:
        assert ticket == OPERATOR.ticket
        self._refuse_shredded(request.tenant, request.principal)
        await self.call(lambda: self.keys.add((request.tenant, request.principal)))
        return kms.SignedPublicKey(request.tenant, request.principal, 1, b"", b"")

    async def shred(self, request: kms.Shred, *, ticket: bytes) -> kms.Shredded:
        assert ticket == OPERATOR.ticket

        def effect() -> int:
            gone = {
                key for key in self.keys if key[0] == request.tenant and request.principal in {b"", key[1]}
            }
            self.keys -= gone
            self.shredded.add((request.tenant, request.principal))
            return len(gone)

        return kms.Shredded(await self.call(effect))

    # --- authority ---

    async def find_tenant(self, request: directory.FindTenant, *, ticket: bytes) -> directory.TenantInfo:
        found = [info for info in self.tenants.values() if request.domain in info.domains]
        if not found:
            raise NotFoundError
        return found[0]

    async def list_tenants(self, _request: object, *, ticket: bytes) -> directory.TenantList:
        return directory.TenantList(list(self.tenants.values()))

    async def create_tenant(self, request: directory.CreateTenant, *, ticket: bytes) -> directory.TenantInfo:
        info = directory.TenantInfo(request.tenant, request.name, [request.domain], "active", 0, 1)
        await self.call(lambda: self.tenants.update({request.tenant: info}))
        return info

    async def delete_tenant(self, request: directory.DeleteTenant, *, ticket: bytes) -> directory.Done:
        def effect() -> None:
            if self.tenants.pop(request.tenant, None) is None:
                raise NotFoundError
            self.users = {p: info for p, info in self.users.items() if info.tenant != request.tenant}

        await self.call(effect)
        return directory.Done()

    async def find(self, request: directory.Find, *, ticket: bytes) -> directory.UserInfo:
        found = [info for info in self.users.values() if info.address == request.address]
        if not found:
            raise NotFoundError
        return found[0]

    async def list_principals(self, request: directory.ListPrincipals, *, ticket: bytes) -> Any:
        return directory.PrincipalList([u for u in self.users.values() if u.tenant == request.tenant])

    async def create_user(self, request: directory.CreateUser, *, ticket: bytes) -> directory.UserInfo:
        info = directory.UserInfo(
            request.tenant,
            request.principal,
            "user",
            request.address,
            request.name,
            "active",
            [],
            [],
            request.quota_bytes,
            1,
        )
        await self.call(lambda: self.users.update({request.principal: info}))
        return info

    async def delete_principal(self, request: directory.DeletePrincipal, *, ticket: bytes) -> directory.Done:
        def effect() -> None:
            if self.users.pop(request.principal, None) is None:
                raise NotFoundError

        await self.call(effect)
        return directory.Done()

    # --- vault ---

    async def set_quota(self, request: mail.SetQuota, *, ticket: bytes) -> mail.Done:
        await self.call(lambda: self.limits.update({request.principal: request.limit_bytes}))
        return mail.Done()

    async def remove_principal(self, request: mail.RemovePrincipal, *, ticket: bytes) -> mail.Removed:
        await self.call(lambda: self.limits.pop(request.principal, None))
        return mail.Removed(0)

    async def remove_tenant(self, request: mail.RemoveTenant, *, ticket: bytes) -> mail.Removed:
        await self.call(self.limits.clear)
        return mail.Removed(0)


def _control(keepers: Keepers, state: Path) -> Control:
    """A steward that has just started: it knows what its directory says, and nothing else."""
    return Control(
        cast("AuthorityClient", keepers),
        cast("KmsClient", keepers),
        cast("VaultClient", keepers),
        cast("Trail", keepers),
        Pending(state),
    )


def _assert_whole(keepers: Keepers, state: Path) -> None:
    expected = {(tenant, b"") for tenant in keepers.tenants}
    expected |= {(tenant, queue_principal(tenant)) for tenant in keepers.tenants}
    expected |= {(info.tenant, info.principal) for info in keepers.users.values()}
    assert keepers.keys == expected
    assert set(keepers.limits) == {p for p, info in keepers.users.items() if info.quota_bytes is not None}
    assert list(state.iterdir()) == []


async def _prepared(state: Path) -> Keepers:
    keepers = Keepers()
    control = _control(keepers, state)
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
                await ACTS[name](_control(keepers, state))
            except UnavailableError:
                keepers.break_at = -1
                await _control(keepers, state).create_tenant(OPERATOR, "next.example", "Next")
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
                await REPEATED[name](_control(keepers, state), first)
            except UnavailableError:
                keepers.break_at = -1
                await REPEATED[name](_control(keepers, state), replace(first, again=True))
                _assert_whole(keepers, state)
                made = {info.principal for info in keepers.users.values()} | set(keepers.tenants)
                assert (first.token in made) == name.startswith("create")
            else:
                # The whole was done and only the answer was lost: the same again, in a new steward.
                keepers.break_at = -1
                await REPEATED[name](_control(keepers, state), replace(first, again=True))
                _assert_whole(keepers, state)
                return step

    assert asyncio.run(scenario()) >= 4


@pytest.mark.parametrize("name", ["create tenant", "create user"])
def test_a_creation_that_is_refused_leaves_no_key(tmp_path: Path, name: str) -> None:
    async def scenario() -> None:
        keepers = await _prepared(tmp_path / "s")
        keepers.break_at, keepers.error = 3, RefusedError()
        with pytest.raises(RefusedError):
            await ACTS[name](_control(keepers, tmp_path / "s"))
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
                await act(_control(keepers, state))
            assert (keepers.keys, keepers.users, keepers.tenants) == before

    asyncio.run(scenario())


def test_what_exists_is_not_made_twice_and_what_is_missing_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        keepers = await _prepared(tmp_path / "s")
        control = _control(keepers, tmp_path / "s")
        with pytest.raises(ConflictError):
            await control.create_tenant(OPERATOR, "OLD.example", "")
        with pytest.raises(ConflictError):
            await control.create_user(OPERATOR, "old@old.example", "", None, None)
        with pytest.raises(NotFoundError, match=r"postkeep tenant create missing\.example"):
            await control.create_user(OPERATOR, "x@missing.example", "", None, None)
        _assert_whole(keepers, tmp_path / "s")

    asyncio.run(scenario())
