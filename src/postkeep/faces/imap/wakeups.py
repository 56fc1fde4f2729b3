"""Who is signed in here, and waking them: changes from the vault, revocations, tickets that run out.

One loop of each kind serves all connections of this process.
"""

import asyncio
import functools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable
from typing import Any, Final, Protocol, TypeVar

import structlog

from postkeep.base.errors import PostkeepError, UnavailableError
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.keepers import Keepers
from postkeep.faces.imap.limits import (
    KEEP_SECONDS,
    RENEW_BEFORE_SECONDS,
    RENEW_SCAN_SECONDS,
    SESSIONS_PER_CALL,
    WATCHES_AT_ONCE,
)
from postkeep.faces.imap.session import Session
from postkeep.faces.imap.texts import Text
from postkeep.services.authority.api import EndSessions, KeepSessions
from postkeep.services.vault.api import NextChanges, Unwatch, Watch
from postkeep.tickets.revocations import Revocation

WAIT_SECONDS: Final = 25.0
"""How long the vault may hold the question for changes open; the channel gives a call 30."""
CLOSE_SECONDS_MAX: Final = 3.0
"""For signing out at the end; the whole node stops within ten seconds."""
RETRY_SECONDS: Final = 0.2
"""Pause after the vault did not answer."""
RECENT_MAILBOXES_MAX: Final = 50_000
"""Mailboxes whose \\Recent mark is remembered."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class Member(Protocol):
    """A connection, as this registry needs it."""

    session: Session

    @property
    def busy(self) -> bool:
        """Whether a command runs."""

    def wake(self) -> None:
        """Tell an idling client what is new, soon."""

    def cut(self, text: str) -> None:
        """Say BYE and close."""


class Registry:
    """The signed-in connections, by principal."""

    def __init__(self, keepers: Keepers) -> None:
        self._keepers = keepers
        self._members: dict[bytes, tuple[Member, ...]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._watched: set[bytes] = set()
        self._reliable = False
        self._recent: OrderedDict[bytes, int] = OrderedDict()
        self._leaving: list[bytes] = []
        self._answers: dict[Hashable, asyncio.Future[Any]] = {}

    # --- membership ---

    def join(self, member: Member) -> None:
        """Add a connection that has signed in."""
        account = member.session.need_account()
        self._members[account.principal] = (*self._members.get(account.principal, ()), member)

    def leave(self, member: Member) -> None:
        """Forget a connection; the last one of a person ends the watch."""
        principal = member.session.need_account().principal
        members = self._members.pop(principal, ())
        left = tuple(other for other in members if other is not member)
        if left:
            self._members[principal] = left
            return
        if principal in self._watched:
            self._watched.discard(principal)
            self.spawn(self._unwatch(principal))

    async def _unwatch(self, principal: bytes) -> None:
        if principal in self._watched:  # somebody came back before this ran
            return
        try:
            await self._keepers.vault.unwatch(Unwatch(principal))
        except PostkeepError as error:  # the vault forgets it with the connection
            _log.debug("unwatch_failed", code=error.code)

    def count_of(self, principal: bytes) -> int:
        """Return how many connections a person has here."""
        return len(self._members.get(principal, ()))

    def sign_out(self, account: Account) -> None:
        """End an account's session soon, together with others: connections often go all at once. Where the
        authority does not answer, a session ends by itself."""
        self._leaving.append(account.session)
        if len(self._leaving) == 1:
            self.spawn(self._end_sessions())

    async def _end_sessions(self) -> None:
        while self._leaving:
            await asyncio.sleep(0)  # those that go in the same turn of the loop go together
            ended, self._leaving[:SESSIONS_PER_CALL] = self._leaving[:SESSIONS_PER_CALL], []
            try:
                await self._keepers.authority.end_sessions(EndSessions(ended))
            except PostkeepError as error:
                _log.debug("sign_out_failed", code=error.code)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run something that nobody waits for; it is ended with the process."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait a moment for what was spawned: sessions end by themselves where the authority is away."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS_MAX)

    def members(self) -> list[Member]:
        """Return all signed-in connections."""
        return [member for members in self._members.values() for member in members]

    # --- what sessions ask (session.Wakeups) ---

    async def watch(self, session: Session) -> None:
        """Hear of changes to this person's mailboxes from now on."""
        account = session.need_account()
        if account.principal in self._watched:
            return
        await self._keepers.vault.watch(Watch(account.principal), ticket=account.ticket)
        self._watched.add(account.principal)

    def is_reliable(self) -> bool:
        """Whether silence means that nothing has changed."""
        return self._reliable

    def claim_recent(self, mailbox: bytes, uid_next: int, *, read_only: bool) -> int:
        """Return the first UID shown to no session of this process yet; without `read_only` move it on."""
        first = self._recent.get(mailbox, uid_next)
        if not read_only:
            self._recent[mailbox] = uid_next
            self._recent.move_to_end(mailbox)
            if len(self._recent) > RECENT_MAILBOXES_MAX:
                self._recent.popitem(last=False)
        return first

    async def shared(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask once for all who ask the same at the same time. The key says what an answer must know: two
        connections that were woken by one change may share it, one that was woken by a later may not."""
        under_way = self._answers.get(key)
        if under_way is None:
            under_way = self._answers[key] = asyncio.ensure_future(ask())
            under_way.add_done_callback(functools.partial(self._answered, key))
        answer: T = await asyncio.shield(under_way)
        return answer

    def _answered(self, key: Hashable, answer: asyncio.Future[Any]) -> None:
        del self._answers[key]
        if not answer.cancelled():
            answer.exception()  # told to whoever still waits; nobody may

    # --- the loops ---

    async def follow_changes(self) -> None:
        """Wake the sessions whose mailbox has changed, until cancelled."""
        while True:
            try:
                await self._watch_again()
                while True:
                    answer = await self._keepers.vault.next_changes(NextChanges(WAIT_SECONDS))
                    for change in answer.changes:
                        self._changed(change.principal, change.mailbox, change.highest_modseq)
            except PostkeepError as error:
                self._reliable = False
                _log.debug("changes_unavailable", code=error.code)
                await asyncio.sleep(RETRY_SECONDS)

    async def _watch_again(self) -> None:
        """Watch everybody on a new connection to the vault, and take nothing for granted."""
        for principals in _batches(list(self._watched), WATCHES_AT_ONCE):
            await asyncio.gather(*map(self._rewatch, principals))
        self._reliable = True
        for member in self.members():
            observer = member.session.observer
            heard = observer is not None and observer.heard(b"", 0)
            if member.session.selected is not None:
                member.session.selected.dirty = heard = True
            if heard:
                member.wake()

    async def _rewatch(self, principal: bytes) -> None:
        for member in self._members.get(principal, ()):
            account = member.session.need_account()
            try:
                await account.keep_fresh()
                await self._keepers.vault.watch(Watch(principal), ticket=account.ticket)
            except UnavailableError:
                raise
            except PostkeepError as error:  # this session has ended; another may live
                _log.debug("watch_failed", code=error.code)
            else:
                return
        self._watched.discard(principal)

    def _changed(self, principal: bytes, mailbox: bytes, modseq: int) -> None:
        for member in self._members.get(principal, ()):
            observer = member.session.observer
            heard = observer is not None and observer.heard(mailbox, modseq)
            selected = member.session.selected
            if selected is not None and selected.mailbox == mailbox and modseq > selected.view.synced:
                selected.dirty = heard = True
                selected.announced = max(selected.announced, modseq)
            elif selected is not None and not mailbox and selected.place.principal != principal:
                selected.dirty = heard = True  # what others share has changed: this may be a part of it
            if heard:
                member.wake()

    async def renew_tickets(self) -> None:
        """Renew the tickets that run out under a command, until cancelled; a session that has ended is cut.

        Others are renewed when a command or a push begins: whoever idles for hours needs no ticket.
        """
        while True:
            await asyncio.sleep(RENEW_SCAN_SECONDS)
            soon = self._keepers.clock.now_seconds() + RENEW_BEFORE_SECONDS
            for member in self.members():
                account = member.session.account
                if account is None or not member.busy or account.expires > soon:
                    continue
                try:
                    await account.keep_fresh()
                except PostkeepError as error:
                    if not error.temporary:
                        member.cut(Text.SESSION_OVER)

    async def keep_sessions(self) -> None:
        """Tell the authority which sessions are held, until cancelled; those that have ended are cut."""
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            for members in _batches(self.members(), SESSIONS_PER_CALL):
                by_session = {
                    account.session: member
                    for member in members
                    if (account := member.session.account) is not None
                }
                try:
                    answer = await self._keepers.authority.keep_sessions(KeepSessions(list(by_session)))
                except PostkeepError as error:
                    _log.debug("sessions_not_kept", code=error.code)
                    continue
                for session in answer.ended:
                    by_session[session].cut(Text.SESSION_OVER)

    def revoked(self, revocation: Revocation) -> None:
        """Cut the sessions that a revocation is about."""
        for member in self._concerned(revocation):
            member.cut(Text.SESSION_REVOKED)

    def _concerned(self, revocation: Revocation) -> Iterable[Member]:
        subjects: dict[str, Callable[[Member], bytes]] = {
            "session": lambda member: member.session.need_account().session,
            "user": lambda member: member.session.need_account().principal,
            "tenant": lambda member: member.session.need_account().tenant,
        }
        subject = subjects.get(revocation.scope)
        if subject is None:
            return []
        return [
            member
            for member in self.members()
            if subject(member).hex() == revocation.subject
            and (
                revocation.scope == "session"
                or member.session.need_account().started_ms <= revocation.before_ms
            )
        ]


def _batches(items: list[T], size: int) -> Iterable[list[T]]:
    return (items[at : at + size] for at in range(0, len(items), size))
