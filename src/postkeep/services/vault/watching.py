"""Waking those who wait for changes. The truth is in the rows; this only says that it is worth a look.

Changes made by this process wake its watchers at once; `notices` carries them between vaults that share a
database.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from postkeep.base.errors import LimitError
from postkeep.services.vault.api import Changed
from postkeep.tickets.clear import Connection, Grant
from postkeep.tickets.revocations import Revocation

WATCHED_MAX: Final = 20_000  # principals watched over one connection: the sessions of one face
CHANGES_MAX: Final = 5_000  # changes in one answer; the rest follows in the next

MailboxChanged = tuple[bytes, bytes, bytes, int]
"""Tenant, principal, mailbox (empty: the list of mailboxes), highest modseq."""


class Watching:
    """Who watches what, and what they have not been told yet."""

    def __init__(self) -> None:
        self._watchers: dict[Connection, _Watcher] = {}
        self._by_principal: dict[tuple[bytes, bytes], set[_Watcher]] = {}
        self._queue_waiters: set[asyncio.Future[None]] = set()
        self._tell_change: Callable[[MailboxChanged], None] | None = None
        self._tell_queue: Callable[[], None] | None = None
        self._followers: list[Callable[[MailboxChanged], None]] = []
        self._readers: dict[tuple[bytes, bytes], dict[bytes, frozenset[bytes]]] = {}
        """Which mailboxes of an owner others have been shown since the owner's list last changed."""

    def watch(self, grant: Grant) -> None:
        """Tell this connection of the grant's principal from now on."""
        watcher = self._watcher(grant.connection)
        key = grant.tenant, grant.principal
        if key not in watcher.watched and len(watcher.watched) >= WATCHED_MAX:
            raise LimitError(f"{WATCHED_MAX} principals are watched over this connection")
        watcher.watched[key] = grant.mailboxes
        watcher.issued[key] = max(watcher.issued.get(key, 0), _issued_ms(grant))
        self._by_principal.setdefault(key, set()).add(watcher)

    def unwatch(self, connection: Connection, principal: bytes) -> None:
        """Stop telling this connection of a principal."""
        watcher = self._watchers.get(connection)
        if watcher is not None:
            for key in [key for key in watcher.watched if key[1] == principal]:
                self._drop(watcher, key)

    def share(self, tenant: bytes, owner: bytes, reader: bytes, mailboxes: Iterable[bytes]) -> None:
        """Tell the reader's watchers of these mailboxes of an owner too, until the owner's list changes: they
        are told of that, and are shown what they may see then."""
        self._readers.setdefault((tenant, owner), {})[reader] = frozenset(mailboxes)

    def revoked(self, revocation: Revocation) -> None:
        """Tell nobody any more of a user or company whose tickets are void: a watch outlives its ticket.

        A single session's end is for its face to tell, as the watch serves the user's others too.
        """
        part = {"tenant": 0, "user": 1}.get(revocation.scope)
        if part is None:
            return
        for key in [key for key in self._by_principal if key[part].hex() == revocation.subject]:
            for watcher in tuple(self._by_principal.get(key, ())):
                if watcher.issued[key] < revocation.before_ms:
                    self._drop(watcher, key)

    async def next_changes(self, connection: Connection, wait_seconds: float) -> list[Changed]:
        """Return what has changed since the last call, waiting for the first change if there is none."""
        watcher = self._watcher(connection)
        if not watcher.pending:
            watcher.wake.clear()
            try:
                await asyncio.wait_for(watcher.wake.wait(), wait_seconds)
            except TimeoutError:
                return []
        return watcher.take()

    def tell_others(self, change: Callable[[MailboxChanged], None], queue: Callable[[], None]) -> None:
        """Have everything that this process changes told to the vaults that share its database."""
        self._tell_change, self._tell_queue = change, queue

    def follow(self, follower: Callable[[MailboxChanged], None]) -> None:
        """Tell `follower` of every change that is heard of here, whoever made it."""
        self._followers.append(follower)

    def changed(self, changes: Iterable[MailboxChanged]) -> None:
        """Wake the watchers of what this process has changed, here and elsewhere."""
        if self._tell_change is not None:
            changes = list(changes)
            for change in changes:
                self._tell_change(change)
        self.wake(changes)

    def queue_changed(self) -> None:
        """Wake who waits for the queue that this process has changed, here and elsewhere."""
        if self._tell_queue is not None:
            self._tell_queue()
        self.wake_queue()

    def wake(self, changes: Iterable[MailboxChanged]) -> None:
        """Wake the watchers in this process."""
        if not self._by_principal and not self._followers:
            return
        for change in changes:
            for follower in self._followers:
                follower(change)
            tenant, principal, mailbox, modseq = change
            for watcher in self._by_principal.get((tenant, principal), ()):
                watcher.add(tenant, principal, mailbox, modseq)
            for reader in self._readers_of(tenant, principal, mailbox):
                for watcher in self._by_principal.get((tenant, reader), ()):
                    watcher.add(tenant, reader, mailbox, modseq)

    def _readers_of(self, tenant: bytes, owner: bytes, mailbox: bytes) -> list[bytes]:
        """Return who else is told of a change; a changed list ends what was known of its readers."""
        readers = self._readers.get((tenant, owner))
        if readers is None:
            return []
        if not mailbox:
            return list(self._readers.pop((tenant, owner)))
        return [reader for reader, boxes in readers.items() if mailbox in boxes]

    def wake_queue(self) -> None:
        """Wake who waits for the queue in this process."""
        for waiter in self._queue_waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def queue_wait(self, wait_seconds: float) -> None:
        """Return when the queue has changed, or after `wait_seconds`."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue_waiters.add(waiter)
        try:
            await asyncio.wait([waiter], timeout=wait_seconds)
        finally:
            self._queue_waiters.discard(waiter)

    def _watcher(self, connection: Connection) -> "_Watcher":
        watcher = self._watchers.get(connection)
        if watcher is None:
            watcher = self._watchers[connection] = _Watcher()
            connection.on_close(lambda: self._forget(connection))
        return watcher

    def _forget(self, connection: Connection) -> None:
        watcher = self._watchers.pop(connection, None)
        if watcher is not None:
            for key in list(watcher.watched):
                self._drop(watcher, key)

    def _drop(self, watcher: "_Watcher", key: tuple[bytes, bytes]) -> None:
        watcher.watched.pop(key, None)
        watcher.issued.pop(key, None)
        others = self._by_principal.get(key)
        if others is not None:
            others.discard(watcher)
            if not others:
                del self._by_principal[key]


def _issued_ms(grant: Grant) -> int:
    """Return when the ticket was issued: the milliseconds that its identifier begins with."""
    return int(grant.root_ticket_id[:12] or "0", 16)


class _Watcher:
    """One connection's view."""

    def __init__(self) -> None:
        self.watched: dict[tuple[bytes, bytes], frozenset[bytes] | None] = {}
        self.issued: dict[tuple[bytes, bytes], int] = {}
        """When the newest ticket was issued that asked to watch, milliseconds since the epoch."""
        self.pending: dict[tuple[bytes, bytes], int] = {}
        self.wake = asyncio.Event()

    def add(self, tenant: bytes, principal: bytes, mailbox: bytes, modseq: int) -> None:
        allowed = self.watched.get((tenant, principal))
        if allowed is None or not mailbox or mailbox in allowed:
            key = principal, mailbox
            self.pending[key] = max(modseq, self.pending.get(key, 0))
            self.wake.set()

    def take(self) -> list[Changed]:
        keys = list(self.pending)[:CHANGES_MAX]
        return [
            Changed(principal, mailbox, self.pending.pop((principal, mailbox))) for principal, mailbox in keys
        ]
