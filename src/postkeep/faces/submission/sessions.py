"""Live sessions of the submission face: their tickets are renewed, and what is revoked is cut at once."""

import asyncio
import contextlib
from typing import Final, Protocol

import structlog

from postkeep.base.address import parse_address
from postkeep.base.clock import Clock
from postkeep.base.errors import InvalidInputError, PostkeepError
from postkeep.services.authority.api import Done, RenewUser, SignedIn, SignOut
from postkeep.tickets.revocations import Revocation

RENEW_SECONDS: Final = 120
"""Before its end a ticket is renewed; tickets live for minutes."""

LOOK_SECONDS: Final = 20.0
"""How often tickets are looked at."""

_log = structlog.get_logger(__name__)


class SessionKeeper(Protocol):
    """The authority, as far as this needs it."""

    async def renew_user(self, request: RenewUser) -> SignedIn:
        """Give a fresh ticket for a session that lives."""

    async def sign_out(self, request: SignOut) -> Done:
        """End a session."""


class Cut(Protocol):
    """A connection, as far as this needs it."""

    def session_ended(self) -> None:
        """Say that the session is over, and close."""


class Session:
    """One signed-in user on one connection."""

    def __init__(self, signed_in: SignedIn, connection: Cut) -> None:
        self.signed_in = signed_in
        self.connection = connection
        self.addresses = address_keys(signed_in.addresses)
        """Keys of the addresses that the user may send as."""

    def is_named_by(self, revocation: Revocation) -> bool:
        """Whether a revocation means this session."""
        subject = {
            "session": self.signed_in.session,
            "user": self.signed_in.principal,
            "tenant": self.signed_in.tenant,
        }.get(revocation.scope)
        return subject is not None and subject.hex() == revocation.subject


def address_keys(addresses: list[str]) -> frozenset[str]:
    """Return the keys that addresses compare by; what is no address allows nothing."""
    keys = set()
    for address in addresses:
        with contextlib.suppress(InvalidInputError):
            keys.add(parse_address(address).key)
    return frozenset(keys)


class Sessions:
    """All sessions of the process. Use it from one event loop."""

    def __init__(self, authority: SessionKeeper, clock: Clock) -> None:
        self._authority = authority
        self._clock = clock
        self._live: set[Session] = set()
        self._endings: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._live)

    def now_ms(self) -> int:
        """Return the time, for what sessions write."""
        return self._clock.now_ms()

    def begin(self, signed_in: SignedIn, connection: Cut) -> Session:
        """Note a session that has begun."""
        session = Session(signed_in, connection)
        self._live.add(session)
        return session

    def end(self, session: Session) -> None:
        """Sign out: the connection is gone."""
        if session in self._live:
            self._live.discard(session)
            task = asyncio.get_running_loop().create_task(self._sign_out(session))
            self._endings.add(task)
            task.add_done_callback(self._endings.discard)

    def revoked(self, revocation: Revocation) -> None:
        """Cut the sessions that a revocation means."""
        for session in [session for session in self._live if session.is_named_by(revocation)]:
            self._cut(session)

    def _cut(self, session: Session) -> None:
        self._live.discard(session)
        session.connection.session_ended()

    async def keep(self) -> None:
        """Renew tickets until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.renew_due()

    async def renew_due(self) -> None:
        """Renew every ticket that soon runs out; a session that the authority no longer knows is cut."""
        limit = self._clock.now_seconds() + RENEW_SECONDS
        for session in [session for session in self._live if session.signed_in.expires <= limit]:
            request = RenewUser(session.signed_in.session)
            try:
                fresh = await self._authority.renew_user(request)
            except PostkeepError as error:
                if not error.temporary or session.signed_in.expires <= self._clock.now_seconds():
                    self._cut(session)
                continue
            session.signed_in = fresh
            session.addresses = address_keys(fresh.addresses)

    async def close(self) -> None:
        """Wait until everyone who left is signed out."""
        if self._endings:
            await asyncio.wait(set(self._endings))

    async def _sign_out(self, session: Session) -> None:
        request = SignOut(session.signed_in.session)
        try:
            await self._authority.sign_out(request)
        except PostkeepError as error:
            _log.info("sign_out_failed", code=error.code)
