"""Sessions: opened by a sign-in, renewed by the one key that holds them, ended by leaving or revocation.

They are rows, so that a restart of the authority ends none. A ticket lives for minutes; the session lives
until nobody renews it.
"""

from typing import Final, NamedTuple

from postkeep.base.errors import LimitError, NotFoundError, RefusedError
from postkeep.base.ids import new_id
from postkeep.model.audit import EventName
from postkeep.model.ticket import Ticket
from postkeep.services.authority import api
from postkeep.services.authority.personal import Sealer
from postkeep.services.authority.policy import PolicyRefusedError
from postkeep.services.authority.sealing import PrincipalNames, SealedText
from postkeep.services.authority.state import AuthorityState
from postkeep.services.kms.api import SignedPublicKey
from postkeep.stores.authority_access import SessionRow
from postkeep.stores.authority_directory import PrincipalRow
from postkeep.tickets.clear import Grant
from postkeep.tickets.mint import USER_SECONDS
from postkeep.tickets.revocations import KEPT_MS

ABANDONED_SECONDS: Final = 4 * USER_SECONDS
"""A session that was not renewed for this long has no holder any more."""

NETWORK_DAYS: Final = 180
"""A network that an account has signed in from is known this long; the next sign-in makes it known anew."""

LEVEL_PASSWORD: Final = 1


class SignIn(NamedTuple):
    """A sign-in that was right."""

    row: PrincipalRow
    names: PrincipalNames
    credential: bytes
    network: bytes | None
    """The network to remember; None: known already."""
    personal: Sealer | None = None
    """Seals where it came from for the ledger."""
    expires_ms: int | None = None
    """When the session ends in any case."""


class Sessions:
    """Opens, renews and ends sessions."""

    def __init__(self, state: AuthorityState) -> None:
        self._state = state

    async def open(self, grant: Grant, protocol: str, sign_in: SignIn) -> api.SignedIn:
        """Open a session held by the calling module instance and give it the user's ticket.

        The ticket is made before the row: a revocation comes either before the row, which then finds no
        account to open it for, or after the ticket, and voids it.
        """
        row, state = sign_in.row, self._state
        session, now_ms = new_id(), state.clock.now_ms()
        addresses = await self._addresses(row, sign_in.names)
        ticket, token = self._mint(grant, row, session, sign_in.expires_ms)
        await state.access.open_session(
            SessionRow(
                session,
                row.tenant,
                row.principal,
                sign_in.credential,
                grant.peer_module,
                grant.peer_instance,
                grant.connection.thumbprint,
                LEVEL_PASSWORD,
                now_ms,
                now_ms,
                sign_in.expires_ms,
            ),
            sign_in.network,
        )
        state.note_issue(ticket)
        state.trail.note(
            EventName.SIGN_IN,
            sign_in.personal,
            tenant=row.tenant.hex(),
            principal=row.principal.hex(),
            module=grant.peer_module,
            instance=grant.peer_instance,
            session=session.hex(),
            method=protocol,
            note="" if sign_in.expires_ms is None else "token",
        )
        return _signed_in(row, ticket, token, addresses)

    async def renew(self, grant: Grant, request: api.RenewUser) -> api.SignedIn:
        """Give a fresh ticket for a session that lives to the one key that holds it."""
        found = await self.held(grant, request.session)
        try:
            row = await self._state.directory.principal(found.principal)
        except NotFoundError as exc:
            raise RefusedError("the user is gone", code="refused.session") from exc
        if row.status != "active":
            raise RefusedError("the user is disabled", code="refused.session")
        names = self._state.seal.open(row.sealed, PrincipalNames, "principals", row.tenant, row.principal)
        addresses = await self._addresses(row, names)
        ticket, token = self._mint(grant, row, found.session, found.expires_ms)
        await self._state.access.renew_session(found.session, self._state.clock.now_ms())
        self._state.note_issue(ticket)
        return _signed_in(row, ticket, token, addresses)

    async def sign_out(self, grant: Grant, request: api.SignOut) -> api.Done:
        """End a session; one that has ended already is no error."""
        try:
            found = await self.held(grant, request.session)
        except RefusedError as error:
            if error.code != "refused.session":
                raise
            return api.Done()
        await self._end(grant, [found.session])
        return api.Done()

    async def end(self, grant: Grant, request: api.EndSessions) -> api.Done:
        """End sessions of the caller's; one that has ended already is no error."""
        _check_count(request.sessions)
        await self._end(grant, request.sessions)
        return api.Done()

    async def keep(self, grant: Grant, request: api.KeepSessions) -> api.KeptSessions:
        """Note that the caller still holds sessions. It gives no ticket: whoever wants one renews it."""
        _check_count(request.sessions)
        kept = await self._state.access.keep_sessions(
            request.sessions, grant.connection.thumbprint, self._state.clock.now_ms()
        )
        return api.KeptSessions([session for session in request.sessions if session not in kept])

    async def _end(self, grant: Grant, sessions: list[bytes]) -> None:
        for session, tenant, principal in await self._state.access.end_sessions(
            sessions, grant.connection.thumbprint
        ):
            self._state.trail.note(
                EventName.SIGN_OUT,
                tenant=tenant.hex(),
                principal=principal.hex(),
                module=grant.peer_module,
                instance=grant.peer_instance,
                session=session.hex(),
            )

    async def sweep(self) -> None:
        """Forget sessions that nobody holds any more, revocations older than any ticket, old networks."""
        now_ms = self._state.clock.now_ms()
        await self._state.access.sweep(
            now_ms - ABANDONED_SECONDS * 1000, now_ms - 2 * KEPT_MS, now_ms - NETWORK_DAYS * 86_400_000
        )

    async def held(self, grant: Grant, session: bytes) -> SessionRow:
        """Return a session that lives and that the caller's key holds; RefusedError otherwise."""
        try:
            found = await self._state.access.session(session)
        except NotFoundError as exc:
            raise RefusedError("the session has ended", code="refused.session") from exc
        if found.holder != grant.connection.thumbprint:
            raise RefusedError("another module instance holds the session", code="refused.holder")
        return found

    async def _addresses(self, row: PrincipalRow, names: PrincipalNames) -> list[str]:
        seal, directory = self._state.seal, self._state.directory
        own = [
            seal.open(item.sealed, SealedText, "addresses", item.lookup).text
            for item in await directory.addresses_of([row.principal])
        ]
        granted = [
            seal.open(item.sealed, SealedText, "sender_grants", item.principal, item.lookup).text
            for item in await directory.granted_to(row.principal)
        ]
        return list(dict.fromkeys([names.address, *own, *granted]))

    def _mint(
        self, grant: Grant, row: PrincipalRow, session: bytes, expires_ms: int | None
    ) -> tuple[Ticket, bytes]:
        """Make the ticket of a session. It never outlives what the session was opened with."""
        seconds = USER_SECONDS
        if expires_ms is not None:
            seconds = min(seconds, (expires_ms - self._state.clock.now_ms()) // 1000)
            if seconds <= 0:
                raise RefusedError("what the session was opened with has run out", code="refused.session")
        try:
            return self._state.mint.user(
                grant.peer_module,
                grant.peer_instance,
                grant.connection.thumbprint,
                tenant=row.tenant,
                principal=row.principal,
                session=session,
                level=LEVEL_PASSWORD,
                seconds=seconds,
            )
        except PolicyRefusedError as error:
            self._state.trail.note(
                EventName.TICKET_REFUSE,
                outcome="refused",
                code=error.code,
                policy=error.policies,
                tenant=row.tenant.hex(),
                principal=row.principal.hex(),
                module=grant.peer_module,
                instance=grant.peer_instance,
                session=session.hex(),
                method=grant.method,
            )
            raise


def _check_count(sessions: list[bytes]) -> None:
    if len(sessions) > api.SESSIONS_PER_CALL_MAX:
        raise LimitError(f"more than {api.SESSIONS_PER_CALL_MAX} sessions in one call")


def _signed_in(row: PrincipalRow, ticket: Ticket, token: bytes, addresses: list[str]) -> api.SignedIn:
    return api.SignedIn(
        ticket=token,
        expires=ticket.expires,
        session=bytes.fromhex(ticket.session),
        tenant=row.tenant,
        principal=row.principal,
        public_key=public_key_of(row),
        addresses=addresses,
    )


def public_key_of(row: PrincipalRow) -> SignedPublicKey:
    """Return a user's public key as kms has signed it."""
    if row.generation is None or row.public_key is None or row.signature is None:
        raise RefusedError("a group has no key and no session", code="refused.session")
    return SignedPublicKey(row.tenant, row.principal, row.generation, row.public_key, row.signature)
