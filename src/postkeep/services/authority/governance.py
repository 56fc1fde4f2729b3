"""One change of governance at a time: reads what is sealed, decides, writes, and has it in the ledger first.

`ask` opens a request or finds the one that is there; `perform` does an act of the authority's own under the
same rules, request, approvals, act and closing in one transaction.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from postkeep.base.clock import Clock
from postkeep.base.errors import LimitError, NotFoundError
from postkeep.base.ids import NOBODY
from postkeep.model.audit import EventName
from postkeep.model.ticket import Ticket
from postkeep.services.authority import requests
from postkeep.services.authority.personal import Sealer
from postkeep.services.authority.requests import Act, Policy, Request
from postkeep.services.authority.sealing import AccountSeal
from postkeep.services.authority.staff import Settings, StaffAccount, approvers_of
from postkeep.services.authority.state import AuthorityState
from postkeep.stores.authority_requests import Governing, RequestRow, StaffRow
from postkeep.tickets.clear import Grant

LIVE_REQUESTS_MAX: Final = 1000
"""Requests that may still lead to a grant: more than approvers could read."""


class Subject(NamedTuple):
    """What a request is about."""

    kind: str
    tenant: bytes
    principal: bytes
    digest: bytes
    summary: str

    @classmethod
    def of(cls, kind: str, principal: bytes, what: bytes, summary: str) -> "Subject":
        """Make the subject of an act on the installation from the octets that describe it."""
        return cls(kind, NOBODY, principal, hashlib.sha256(what).digest(), summary)


class Change:
    """A change under way: what holds at its moment, and the writing of it."""

    def __init__(
        self, rows: Governing, seal: AccountSeal, clock: Clock, accounts: list[StaffAccount]
    ) -> None:
        self._rows = rows
        self._seal = seal
        self.now_ms: Final = clock.now_ms()
        self.accounts: Final = {account.id: account for account in accounts}
        self.settings = read_settings(seal, rows.settings)

    @property
    def policy(self) -> Policy:
        """What holds now."""
        return policy_of(self.settings, self.accounts.values())

    def named(self, name: str) -> StaffAccount:
        """Find a staff member; NotFoundError if there is none of this name."""
        found = next((account for account in self.accounts.values() if account.name == name), None)
        if found is None:
            raise NotFoundError("no such staff", public_text="There is no staff member of this name.")
        return found

    async def put_account(self, account: StaffAccount) -> None:
        """Write a staff member."""
        sealed = self._seal.seal(account, "staff", account.id)
        await self._rows.put_staff(StaffRow(account.id, self._seal.staff(account.name), sealed))
        self.accounts[account.id] = account

    async def remove_account(self, account: StaffAccount) -> None:
        """Remove a staff member."""
        await self._rows.remove_staff(account.id)
        del self.accounts[account.id]

    async def put_settings(self, settings: Settings) -> None:
        """Write the settings."""
        await self._rows.put_settings(self._seal.seal(settings, "governance"))
        self.settings = settings

    async def request(self, request: bytes) -> Request:
        """Read a request; NotFoundError if there is none."""
        row = await self._rows.request(request)
        if row is None:
            raise no_request()
        return read_request(self._seal, row)

    async def live(self, subject: Subject, requester: bytes) -> Request | None:
        """Find the request for this very act that may still lead to a grant; let go of one that can't."""
        row = await self._rows.live_request(subject.kind, subject.digest, requester)
        if row is None:
            return None
        found = read_request(self._seal, row)
        if requests.usable(found, self.now_ms):
            return found
        await self.put(found)
        return None

    async def put(self, request: Request) -> None:
        """Write a request."""
        row = RequestRow(
            request.id,
            request.kind,
            request.digest,
            request.requester,
            requests.usable(request, self.now_ms),
            self._seal.seal(request, "requests", request.id),
        )
        await self._rows.put_request(row)

    async def open(self, request: Request) -> Request:
        """Write a new request; LimitError where there are too many."""
        if await self._rows.live_count() >= LIVE_REQUESTS_MAX:
            raise LimitError("too many requests", public_text="Too many requests are open. Withdraw some.")
        opened = requests.open_request(request, self.policy)
        await self.put(opened)
        return opened


class Governance:
    """The transactions, and their events."""

    def __init__(self, state: AuthorityState) -> None:
        self.state: Final = state

    @asynccontextmanager
    async def change(self) -> AsyncIterator[Change]:
        """Begin a change; it is durable at the end unless something is raised."""
        state = self.state
        async with state.governance.locked() as rows:
            accounts = [read_account(state.seal, row) for row in await rows.staff()]
            yield Change(rows, state.seal, state.clock, accounts)

    async def ask(
        self, grant: Grant, request_id: bytes, subject: Subject, approvals: int = 0
    ) -> tuple[Request, Policy]:
        """Open a request for an act, or find the one by the same requester that asks for it already.

        `approvals`: how many it needs at least, whatever the policy.
        """
        async with self.change() as change:
            found = await change.live(subject, grant.principal)
            if found is None:
                found = await self._open(change, grant, request_id, subject, approvals)
            return found, change.policy

    async def perform(
        self,
        grant: Grant,
        request_id: bytes,
        subject: Subject,
        work: Callable[[Change], Awaitable[None]],
        *,
        guarded: bool,
    ) -> None:
        """Do an act of the authority's own: at once, or, where it is guarded, on an approved request.

        ApprovalNeededError where approvals are missing; the request for them stands then.
        """
        async with self.change() as change:
            if not (change.settings.dual_control and guarded):
                await work(change)
                return
            found = await change.live(subject, grant.principal)
            if found is not None and not requests.missing(found, change.policy):
                granted = requests.decide(found, Act.GRANT, NOBODY, change.now_ms, change.policy)
                await self.record_grant(grant, granted, change.policy, "")
                await work(change)
                closed = requests.decide(granted, Act.CLOSE, NOBODY, change.now_ms, change.policy)
                await change.put(closed)
                await self.record(grant, EventName.REQUEST_CLOSE, closed, "done", 0)
                return
            if found is None:
                found = await self._open(change, grant, request_id, subject)
            policy = change.policy
        raise requests.approval_needed(found, policy)

    async def _open(
        self, change: Change, grant: Grant, request_id: bytes, subject: Subject, approvals: int = 0
    ) -> Request:
        end_ms = change.now_ms + requests.REQUEST_SECONDS * 1000
        blank = Request(request_id, *subject, grant.principal, approvals, change.now_ms, end_ms)
        opened = await change.open(blank)
        word = subject.kind if opened.needed else f"{subject.kind} by-policy"
        await self.record(grant, EventName.REQUEST_OPEN, opened, word, opened.needed)
        return opened

    async def mint_grant(  # noqa: PLR0917 - by whose call, on which request, and to whom
        self,
        caller: Grant,
        change: Change,
        granted: Request,
        module: str,
        instance: str,
        personal: Sealer | None = None,
    ) -> tuple[Ticket, bytes]:
        """Return the ticket, for the caller's key, of a request that was decided to be granted.

        Its approvals are counted now, and the ledger has it before it is given. `personal`: as in `record`.
        """
        ticket, token = self.state.mint.grant(
            module,
            instance,
            caller.connection.thumbprint,
            kind=granted.kind,
            request=granted.id,
            subject=granted.digest,
            tenant=granted.tenant,
            principal=granted.principal,
            approvals=len(requests.standing(granted, change.policy)),
        )
        await change.put(granted)
        await self.record_grant(caller, granted, change.policy, ticket.id, personal)
        return ticket, token

    async def record_grant(
        self,
        grant: Grant,
        request: Request,
        policy: Policy,
        ticket_id: str,
        personal: Sealer | None = None,
    ) -> None:
        """Have a grant in the ledger before it exists. The requester is its actor."""
        count = len(requests.standing(request, policy))
        event = EventName.REQUEST_GRANT
        await self.record(grant, event, request, request.kind, count, ticket=ticket_id, personal=personal)

    async def record(
        self,
        grant: Grant,
        event: EventName,
        request: Request,
        word: str,
        count: int,
        *,
        ticket: str = "",
        personal: Sealer | None = None,
    ) -> None:
        """Have an event about a request in the ledger; UnavailableError if that fails.

        `personal` seals values in it that are for the person's eyes.
        """
        by_module = event in {EventName.REQUEST_GRANT, EventName.REQUEST_CLOSE} and word != "withdrawn"
        await self.state.trail.record(
            event,
            personal,
            note=f"{request.id.hex()} {word}",
            digest=request.digest.hex(),
            tenant="" if request.tenant == NOBODY else request.tenant.hex(),
            principal="" if request.principal == NOBODY else request.principal.hex(),
            actor=actor_name(request.requester if by_module else grant.principal),
            session=grant.session.hex(),
            ticket=ticket or grant.root_ticket_id,
            module=grant.peer_module,
            instance=grant.peer_instance,
            method=grant.method,
            count=count,
        )


def actor_name(staff: bytes) -> str:
    """Say in an event who acted: a staff member's identifier, or the machine's own operator."""
    return "operator" if staff == NOBODY else staff.hex()


def policy_of(settings: Settings, accounts: Iterable[StaffAccount]) -> Policy:
    """Return what holds under these settings with these accounts."""
    needed = requests.APPROVALS_NEEDED if settings.dual_control else 0
    return Policy(needed, approvers_of(accounts))


def read_settings(seal: AccountSeal, sealed: bytes) -> Settings:
    """Open the settings; a fresh installation has none yet."""
    return seal.open(sealed, Settings, "governance") if sealed else Settings()


def read_account(seal: AccountSeal, row: StaffRow) -> StaffAccount:
    """Open a staff member."""
    return seal.open(row.sealed, StaffAccount, "staff", row.staff)


def read_request(seal: AccountSeal, row: RequestRow) -> Request:
    """Open a request."""
    return seal.open(row.sealed, Request, "requests", row.request)


def no_request() -> NotFoundError:
    """Make the error for an identifier that is no request's."""
    return NotFoundError("no such request", public_text="There is no such request.")
