"""What the parts of the authority share: its rows, its mint, its feed, its trail; and the wait for kms."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, Unpack

from postkeep.base.clock import Clock
from postkeep.base.errors import UnavailableError
from postkeep.model.audit import EventName
from postkeep.model.ticket import Ticket
from postkeep.services.authority.api import Revoke
from postkeep.services.authority.feed import FeedLog
from postkeep.services.authority.keyring import Keyring
from postkeep.services.authority.personal import PersonKeys
from postkeep.services.authority.sealing import AccountSeal
from postkeep.services.kms.api import SignedPublicKey
from postkeep.services.ledger.trail import EventFields
from postkeep.stores.authority_access import AccessRows, RevocationRow
from postkeep.stores.authority_directory import DirectoryRows
from postkeep.stores.authority_requests import GovernanceRows
from postkeep.tickets.clear import Grant
from postkeep.tickets.mint import Mint


class Events(Protocol):
    """Where events go: a `Trail`."""

    def note(
        self,
        event: EventName,
        personal: Callable[[str, int], str] | None = None,
        **fields: Unpack[EventFields],
    ) -> None:
        """Queue an event; `personal` seals values for it."""

    async def record(
        self,
        event: EventName,
        personal: Callable[[str, int], str] | None = None,
        **fields: Unpack[EventFields],
    ) -> int:
        """Return once an event is durable; UnavailableError if it can't be made so."""


@dataclass(slots=True)
class AuthorityState:
    """Made once at the start; `unlock` completes it when kms has answered."""

    mint: Mint
    clock: Clock
    feed: FeedLog
    trail: Events
    directory: DirectoryRows
    access: AccessRows
    governance: GovernanceRows
    persons: PersonKeys = field(default_factory=PersonKeys)
    _seal: AccountSeal | None = None
    _queue_key: SignedPublicKey | None = None
    _keyring: Keyring | None = None
    unlocked: asyncio.Event = field(default_factory=asyncio.Event)
    _revoking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def unlock(self, account_key: bytes, queue_key: SignedPublicKey) -> None:
        """Take the account key and the installation's queue key from kms."""
        self._seal = AccountSeal(account_key)
        self._queue_key = queue_key
        self.unlocked.set()

    def publish_queue_key(self, queue_key: SignedPublicKey) -> None:
        """Take a new generation of the installation's queue key."""
        self._queue_key = queue_key

    def use_keyring(self, keyring: Keyring) -> None:
        """Take the ticket keys."""
        self._keyring = keyring

    @property
    def keyring(self) -> Keyring:
        """The keys that tickets are signed with; UnavailableError before kms has given them."""
        if self._keyring is None:
            raise UnavailableError("kms has not given the ticket keys yet", code="unavailable.starting")
        return self._keyring

    @property
    def seal(self) -> AccountSeal:
        """The account seal; UnavailableError before kms has given its key."""
        if self._seal is None:
            raise UnavailableError("kms has not given the account key yet", code="unavailable.starting")
        return self._seal

    @property
    def queue_key(self) -> SignedPublicKey:
        """The public key of the installation's queue."""
        if self._queue_key is None:
            raise UnavailableError("kms has not given the queue key yet", code="unavailable.starting")
        return self._queue_key

    async def revoke(self, grant: Grant | None, request: Revoke) -> None:
        """Void everything issued to a subject before now, and tell everybody."""
        await self.tell(self.access.revoke(request.scope, request.subject, self.clock.now_ms))
        self.note_revocation(request, grant)

    async def tell(self, revoking: Awaitable[RevocationRow]) -> None:
        """Make a revocation durable and tell it, one after the other: followers take them by their numbers,
        and would miss one that is told after a later one."""
        async with self._revoking:
            self.feed.revoked(await revoking)

    def note_revocation(self, revocation: Revoke, grant: Grant | None) -> None:
        """Record a revocation."""
        self.trail.note(
            EventName.TICKET_REVOKE,
            note=f"{revocation.scope} {revocation.subject}",
            module=grant.peer_module if grant else "",
            instance=grant.peer_instance if grant else "",
            session=grant.session.hex() if grant else "",
        )

    def changed(
        self, version: int, grant: Grant, note: str, *, tenant: bytes, principal: bytes = b""
    ) -> None:
        """Tell followers of the directory's new version, and record what was done to it."""
        self.feed.changed(version)
        self.note_change(grant, note, tenant=tenant, principal=principal)

    def note_change(self, grant: Grant, note: str, *, tenant: bytes, principal: bytes = b"") -> None:
        """Record what was done to the directory."""
        self.trail.note(
            EventName.DIRECTORY,
            tenant=tenant.hex(),
            principal=principal.hex(),
            module=grant.peer_module,
            instance=grant.peer_instance,
            session=grant.session.hex(),
            ticket=grant.root_ticket_id,
            method=grant.method,
            note=note,
        )

    def note_issue(self, ticket: Ticket) -> None:
        """Record that a ticket was issued."""
        self.trail.note(
            EventName.TICKET_ISSUE,
            ticket=ticket.id,
            tenant=ticket.tenant,
            principal=ticket.principal,
            session=ticket.session,
            module=ticket.module,
            instance=ticket.instance,
            rule=_allowance(ticket),
            policy=self.mint.policies_of(ticket),
            count=ticket.expires - ticket.issued,
            note=ticket.purpose or ticket.kind.value,
        )


def _allowance(ticket: Ticket) -> str:
    """Say in short what a ticket allows, as the lines of the table of rules do, and which keepers take it."""
    words = (ticket.kind.value, ",".join(ticket.actions), ",".join(ticket.categories))
    return " ".join(word for word in words if word) + " at " + ",".join(ticket.audience)
