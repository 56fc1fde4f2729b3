"""The methods for staff: sign in, and make, change and remove accounts; and dual control itself.

Under dual control nobody gets the approver's or the operator's role, or a new password for such an account,
on one person's word: those are requests, with approvals, decided and carried out in here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec

from postkeep.base.errors import (
    ConflictError,
    InvalidInputError,
    LimitError,
    RefusedError,
    ThrottledError,
)
from postkeep.base.ids import ID_BYTES, NOBODY, new_id
from postkeep.crypto.context import context
from postkeep.model.audit import EventName
from postkeep.services.authority import governance_api as api
from postkeep.services.authority.api import Done, ModuleTicket, Revoke
from postkeep.services.authority.governance import (
    Change,
    Governance,
    Subject,
    actor_name,
    read_account,
)
from postkeep.services.authority.passwords import Credential, Passwords
from postkeep.services.authority.requests import APPROVALS_NEEDED
from postkeep.services.authority.staff import (
    APPROVERS_MIN,
    GUARDED_ROLES,
    STAFF_MAX,
    Settings,
    StaffAccount,
    change_context,
    check_name,
    check_roles,
    guarded,
)
from postkeep.services.authority.throttle import Throttle
from postkeep.tickets import rules
from postkeep.tickets.clear import Grant

SIGN_IN_METHOD: Final = "staff"
"""How a staff member's sign-in is named in its event."""


class StaffDesk:
    """Staff accounts and how the installation is governed."""

    def __init__(
        self, governance: Governance, passwords: Passwords, throttle: Throttle, owner_uid: int
    ) -> None:
        self._governance = governance
        self._state = governance.state
        self._passwords = passwords
        self._throttle = throttle
        self._owner_uid = owner_uid

    # --- signing in ---

    async def staff_sign_in(self, grant: Grant, request: api.StaffSignIn) -> ModuleTicket:
        """Check a staff member's password, on this machine's own socket only, and give the tickets."""
        uid = grant.connection.uid
        if uid is None:
            raise RefusedError("not on this machine's socket", code="refused.operator")
        lookup = self._state.seal.staff(request.name.strip().lower())
        row = await self._state.governance.staff_named(lookup)
        account = read_account(self._state.seal, row) if row else None
        key, network = (account.id if account else lookup[:ID_BYTES]), f"uid {uid}"
        try:
            await self._check(account, request.password, key, network, known=uid in {0, self._owner_uid})
        except (RefusedError, ThrottledError) as error:
            if isinstance(error, RefusedError):
                self._throttle.fail(key, network)
            self._note_sign_in(grant, account, code=error.code)
            raise
        assert account is not None
        self._throttle.succeed(key, network)
        return await self._admit(grant, account)

    async def _check(
        self, account: StaffAccount | None, password: str, key: bytes, network: str, *, known: bool
    ) -> None:
        """Raise unless the password is right and the account is enabled; nobody takes as long as somebody."""

        def admit() -> None:
            self._throttle.check(key, network, known=known)

        delay = self._throttle.check(key, network, known=known)
        if delay:
            await asyncio.sleep(delay)
            admit()
        credential = Credential(account.verifier, b"", b"", 0) if account else None
        if not self._passwords.remembers(credential, password):
            await self._passwords.check(credential, password, network, admit)
        if account is None or not account.enabled:
            raise RefusedError("the account is disabled", code="refused.credentials")

    async def _admit(self, grant: Grant, account: StaffAccount) -> ModuleTicket:
        """Give the command line its tickets; the account is looked at once more, under the lock."""
        async with self._governance.change() as change:
            now = change.accounts.get(account.id)
            if now is None or not now.enabled or now.verifier != account.verifier:
                raise RefusedError("the account has changed meanwhile", code="refused.credentials")
            await change.put_account(msgspec.structs.replace(now, last_sign_in_ms=change.now_ms))
            instance = f"{rules.CLI}-{new_id().hex()[-8:]}"
            holder, session = grant.connection.thumbprint, new_id()
            module, module_token = self._state.mint.module(rules.CLI, instance, holder)
            staff, staff_token = self._state.mint.staff(
                rules.CLI, instance, holder, session=session, principal=now.id, roles=now.roles
            )
        self._note_sign_in(grant, account, session=session)
        self._state.note_issue(module)
        self._state.note_issue(staff)
        return ModuleTicket(module_token, staff_token)

    def _note_sign_in(
        self, grant: Grant, account: StaffAccount | None, *, code: str = "", session: bytes = b""
    ) -> None:
        self._state.trail.note(
            EventName.SIGN_IN,
            outcome="refused" if code else "ok",
            code=code,
            actor=account.id.hex() if account else "",
            module=rules.CLI,
            instance=grant.peer_instance,
            session=session.hex(),
            method=SIGN_IN_METHOD,
        )

    # --- looking ---

    async def staff_list(self, _grant: Grant, _request: api.StaffAll) -> api.StaffList:
        """List the staff by name."""
        accounts = [read_account(self._state.seal, row) for row in await self._state.governance.staff()]
        return api.StaffList([_info(one) for one in sorted(accounts, key=lambda one: one.name)])

    async def staff_show(self, _grant: Grant, request: api.StaffShow) -> api.StaffInfo:
        """Show a staff member."""
        return await self._shown(check_name(request.name))

    # --- changing ---

    async def staff_create(self, grant: Grant, request: api.StaffCreate) -> api.StaffInfo:
        """Make a staff member. Repeating it with the same identifier, name and roles changes nothing."""
        if len(request.staff) != ID_BYTES or request.staff == NOBODY:
            raise InvalidInputError("not an identifier")
        name, roles = check_name(request.name), check_roles(request.roles)
        made = await self._find(name)
        if made is not None and (made.id, made.roles) == (request.staff, roles):
            return _info(made)
        verifier = await self._passwords.make_hash(request.password)

        async def work(change: Change) -> None:
            if any(account.name == name for account in change.accounts.values()):
                raise ConflictError(public_text=f"There is a staff member {name} already.")
            if len(change.accounts) >= STAFF_MAX:
                raise LimitError(f"at most {STAFF_MAX} staff members")
            await self._record(grant, "create", request.staff, ",".join(roles))
            await change.put_account(StaffAccount(request.staff, name, roles, True, verifier, change.now_ms))

        # The name stands for the account: its identifier is made anew each time the command is given.
        what = change_context("create", self._state.seal.staff(name), *roles)
        summary = f"create the staff member {name} as {' and '.join(roles)}"
        subject = Subject.of("staff", NOBODY, what, summary)
        guarded_roles = not GUARDED_ROLES.isdisjoint(roles)
        await self._governance.perform(grant, new_id(), subject, work, guarded=guarded_roles)
        return await self._shown(name)

    async def staff_status(self, grant: Grant, request: api.StaffStatus) -> api.StaffInfo:
        """Enable or disable a staff member; disabling voids what the member holds, at once."""
        verb = "enable" if request.enabled else "disable"

        async def work(change: Change, account: StaffAccount) -> None:
            if not request.enabled:
                _keep_approvers(change, account)
            await self._record(grant, verb, account.id)
            await change.put_account(msgspec.structs.replace(account, enabled=request.enabled))

        account = await self._find(check_name(request.name))
        if account is not None and account.enabled is request.enabled:
            return _info(account)
        return await self._change_account(grant, request.name, verb, work, free=not request.enabled)

    async def staff_roles(self, grant: Grant, request: api.StaffRoles) -> api.StaffInfo:
        """Replace a staff member's roles."""
        roles = check_roles(request.roles)

        async def work(change: Change, account: StaffAccount) -> None:
            if "approver" not in roles:
                _keep_approvers(change, account)
            await self._record(grant, "roles", account.id, ",".join(roles))
            await change.put_account(msgspec.structs.replace(account, roles=roles))

        account = await self._find(check_name(request.name))
        if account is not None and account.roles == roles:
            return _info(account)
        return await self._change_account(
            grant, request.name, "roles", work, *roles, free=GUARDED_ROLES.isdisjoint(roles)
        )

    async def staff_password(self, grant: Grant, request: api.StaffPassword) -> api.StaffInfo:
        """Set somebody's password."""
        verifier = await self._passwords.make_hash(request.password)

        async def work(change: Change, account: StaffAccount) -> None:
            await self._record(grant, "password", account.id)
            await change.put_account(msgspec.structs.replace(account, verifier=verifier, last_sign_in_ms=0))

        return await self._change_account(grant, request.name, "password", work)

    async def staff_own_password(self, grant: Grant, request: api.StaffOwnPassword) -> api.StaffInfo:
        """Let a staff member, who has just shown the old password, choose another."""
        verifier = await self._passwords.make_hash(request.password)
        async with self._governance.change() as change:
            account = change.accounts.get(grant.principal)
            if account is None:
                raise RefusedError(
                    "the machine's operator has no password",
                    public_text="Say who you are: postkeep --as NAME staff password NAME",
                )
            await self._record(grant, "password", account.id)
            await change.put_account(msgspec.structs.replace(account, verifier=verifier))
        await self._void(grant, account)
        return _info(account)

    async def staff_delete(self, grant: Grant, request: api.StaffDelete) -> Done:
        """Remove a staff member; what the member has done stays in the ledger."""

        async def work(change: Change, account: StaffAccount) -> None:
            _keep_approvers(change, account)
            await self._record(grant, "delete", account.id)
            await change.remove_account(account)

        await self._change_account(grant, request.name, "delete", work, free=True)
        return Done()

    async def _change_account(
        self,
        grant: Grant,
        name_text: str,
        verb: str,
        work: Callable[[Change, StaffAccount], Awaitable[None]],
        *details: str,
        free: bool = False,
    ) -> api.StaffInfo:
        """Change one account, under approvals where the account or what it becomes is guarded."""
        name = check_name(name_text)
        async with self._governance.change() as change:
            account = change.named(name)
        summary = f"{verb} the staff member {name}" + (f": {' and '.join(details)}" if details else "")
        subject = Subject.of("staff", account.id, change_context(verb, account.id, *details), summary)
        after = [account]

        async def work_on(change: Change) -> None:
            now = change.named(name)
            if now.id != account.id:
                raise ConflictError("the account has changed meanwhile")
            await work(change, now)
            after[0] = change.accounts.get(now.id, now)

        needs = not free and (guarded(account) or bool(details))
        await self._governance.perform(grant, new_id(), subject, work_on, guarded=needs)
        await self._void(grant, account)
        return _info(after[0])

    async def _find(self, name: str) -> StaffAccount | None:
        row = await self._state.governance.staff_named(self._state.seal.staff(name))
        return read_account(self._state.seal, row) if row else None

    async def _shown(self, name: str) -> api.StaffInfo:
        async with self._governance.change() as change:
            return _info(change.named(name))

    async def _void(self, grant: Grant, account: StaffAccount) -> None:
        """Void the tickets that a staff member holds: they say what was true before."""
        await self._state.revoke(grant, Revoke("user", account.id.hex()))

    async def _record(self, grant: Grant, verb: str, staff: bytes, details: str = "") -> None:
        await self._state.trail.record(
            EventName.STAFF,
            note=" ".join(word for word in (verb, staff.hex(), details) if word),
            actor=actor_name(grant.principal),
            session=grant.session.hex(),
            ticket=grant.root_ticket_id,
            module=grant.peer_module,
            instance=grant.peer_instance,
            method=grant.method,
        )

    # --- dual control ---

    async def dual_control(self, _grant: Grant, _request: api.DualControl) -> api.DualControlInfo:
        """Say how the installation is governed."""
        async with self._governance.change() as change:
            return _governed(change.settings, change.accounts.values())

    async def set_dual_control(self, grant: Grant, request: api.SetDualControl) -> api.DualControlInfo:
        """Turn dual control on, or, with approvals, off."""

        async def work(change: Change) -> None:
            if change.settings.dual_control is request.on:
                return
            ready = _ready(change.accounts.values()) - {grant.principal}
            if request.on and len(ready) < APPROVERS_MIN:
                raise RefusedError(
                    "too few approvers",
                    code="refused.approvers",
                    public_text=f"Dual control needs {APPROVERS_MIN} approvers beside you who have signed in "
                    f"once; there are {len(ready)}. Create them: "
                    "postkeep staff create NAME --role approver",
                )
            await self._state.trail.record(
                EventName.DUAL_CONTROL,
                note="on" if request.on else "off",
                actor=actor_name(grant.principal),
                session=grant.session.hex(),
                ticket=grant.root_ticket_id,
                module=grant.peer_module,
                instance=grant.peer_instance,
                method=grant.method,
            )
            await change.put_settings(Settings(request.on, change.now_ms))

        word = "on" if request.on else "off"
        what = context("dual control", word)
        subject = Subject.of("dual_control", NOBODY, what, f"turn dual control {word}")
        await self._governance.perform(grant, new_id(), subject, work, guarded=not request.on)
        return await self.dual_control(grant, api.DualControl())


def _keep_approvers(change: Change, account: StaffAccount) -> None:
    """Raise RefusedError if without this account too few could approve, so that nothing could be undone."""
    left = change.policy.approvers - {account.id}
    if change.settings.dual_control and account.approves and len(left) < APPROVERS_MIN:
        raise RefusedError(
            "too few approvers would be left",
            code="refused.approvers",
            public_text=f"Under dual control {APPROVERS_MIN} approvers must stay. Create another one first.",
        )


def _ready(accounts: Iterable[StaffAccount]) -> frozenset[bytes]:
    return frozenset(one.id for one in accounts if one.approves and one.last_sign_in_ms)


def _governed(settings: Settings, accounts: Iterable[StaffAccount]) -> api.DualControlInfo:
    return api.DualControlInfo(
        settings.dual_control,
        settings.since_ms or None,
        APPROVALS_NEEDED if settings.dual_control else 0,
        len(_ready(accounts)),
    )


def _info(account: StaffAccount) -> api.StaffInfo:
    return api.StaffInfo(
        account.id,
        account.name,
        list(account.roles),
        account.enabled,
        account.created_ms,
        account.last_sign_in_ms or None,
    )
