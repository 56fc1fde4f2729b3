"""Signing in: a password, a SCRAM exchange or an access token becomes a session. Or the same refusal always.

Who does not exist, is disabled or mistypes gets one and the same answer after the same work.
"""

import asyncio
import hmac
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from postkeep.base.address import parse_address
from postkeep.base.errors import InvalidInputError, NotFoundError, RefusedError, ThrottledError
from postkeep.base.ids import ID_BYTES, NOBODY, new_id
from postkeep.model.audit import EventName, PersonalValues
from postkeep.protocols.sasl import SaslError
from postkeep.protocols.sasl.scram import SALT_BYTES, ScramServer, read_client_first
from postkeep.services.authority import api
from postkeep.services.authority.passwords import Credential, Passwords, app_verifier
from postkeep.services.authority.personal import Sealer
from postkeep.services.authority.sealing import LOOKUP_BYTES, PrincipalNames
from postkeep.services.authority.sessions import Sessions, SignIn
from postkeep.services.authority.state import AuthorityState
from postkeep.services.authority.throttle import Throttle, network_of
from postkeep.services.authority.tokens import KIND as TOKEN
from postkeep.services.authority.tokens import owner_of, token_verifier
from postkeep.services.authority.tokens_api import TokenSignIn
from postkeep.stores.authority_directory import PrincipalRow
from postkeep.tickets.clear import Grant
from postkeep.tickets.rules import OWNER

EXCHANGES_MAX: Final = 4096
"""SCRAM exchanges under way, about 2 KB each; the oldest gives way."""

LOCAL_ADDRESS: Final = "127.0.0.1"
"""Where somebody at this machine's own command line comes from."""

TELLING_MAX: Final = 1_024
"""Refusals whose personal values are being sealed; what comes beyond is recorded without them."""

EXCHANGE_SECONDS: Final = 60.0
"""Between the two messages of a client: a program answers in milliseconds."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a name stands for. `row` None: nobody, and everything is done as if it were somebody."""

    key: bytes
    """Names the account in the throttle and in events, whether it exists or not."""
    network: str
    known: bool
    """Whether the account has signed in from this network before."""
    row: PrincipalRow | None
    names: PrincipalNames
    password: tuple[bytes, Credential] | None
    apps: list[tuple[bytes, Credential]]
    tokens: list[tuple[bytes, Credential]]


@dataclass(frozen=True, slots=True)
class Door:
    """How somebody came: over which protocol, from where, with which program."""

    protocol: str
    address: str
    program: str

    @property
    def values(self) -> PersonalValues:
        """What of it goes into the ledger sealed."""
        return PersonalValues(self.address, self.program)


class Exchange(NamedTuple):
    """A SCRAM exchange between its two messages."""

    server: ScramServer
    network: str
    door: Door
    holder: str
    until: float


class SignInDesk:
    """The methods by which people sign in."""

    def __init__(
        self,
        state: AuthorityState,
        passwords: Passwords,
        sessions: Sessions,
        throttle: Throttle,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._passwords = passwords
        self._sessions = sessions
        self._throttle = throttle
        self._monotonic = monotonic
        self._exchanges: OrderedDict[bytes, Exchange] = OrderedDict()
        self._telling: set[asyncio.Task[None]] = set()

    async def sign_in(self, grant: Grant, request: api.SignIn) -> api.SignedIn:
        """Check a password and open a session."""
        _check_protocol(grant, request.protocol)
        network = network_of(request.network)
        door = Door(request.protocol, request.network, request.program)
        account = await self._find(request.address, request.protocol, network)
        async with self._attempt(grant, account, door):
            credential = await self._check_password(account, request.password)
            return await self._open(grant, account, credential, door)

    async def token_sign_in(self, grant: Grant, request: TokenSignIn) -> api.SignedIn:
        """Check an access token and open a session that ends with it."""
        _check_protocol(grant, request.protocol)
        network = network_of(request.network)
        door = Door(request.protocol, request.network, request.program)
        if request.address:
            account = await self._find(request.address, request.protocol, network)
        else:
            account = await self._find_owner(request.token, request.protocol, network)
        async with self._attempt(grant, account, door):
            await self._wait_turn(account)
            given = token_verifier(self._state.seal.token_key, request.token)
            now_ms = self._state.clock.now_ms()
            for identifier, token in account.tokens:
                if hmac.compare_digest(given, token.verifier):
                    if token.expires_ms <= now_ms:
                        raise RefusedError("the token has run out", code="refused.credentials")
                    return await self._open(grant, account, identifier, door, token.expires_ms)
            raise RefusedError("no such token", code="refused.credentials")

    async def owner_sign_in(self, grant: Grant, request: api.OwnerSignIn) -> api.OwnerSignedIn:
        """Check a password and open a session that sees the person's own ledger, and nothing else."""
        connection = grant.connection
        instance = f"{OWNER}-{new_id().hex()[-8:]}"
        grant = msgspec.structs.replace(grant, peer_module=OWNER, peer_instance=instance)
        door = Door(OWNER, LOCAL_ADDRESS, "")
        account = await self._find(request.address, OWNER, LOCAL_ADDRESS)
        async with self._attempt(grant, account, door):
            credential = await self._check_password(account, request.password)
            _, module_ticket = self._state.mint.module(OWNER, instance, connection.thumbprint)
            return api.OwnerSignedIn(module_ticket, await self._open(grant, account, credential, door))

    async def scram_start(self, grant: Grant, request: api.ScramStart) -> api.ScramChallenge:
        """Answer a client-first-message. An account that does not exist has a salt too."""
        _check_protocol(grant, request.protocol)
        first = read_client_first(request.client_first, plus=request.plus, offered=bool(request.end_point))
        if request.plus and not request.end_point:
            raise SaslError("there is no channel to bind to")
        if first.authorize and first.authorize != first.name:
            raise SaslError("nobody acts as somebody else")
        network = network_of(request.network)
        account = await self._find(first.name, request.protocol, network)
        server = ScramServer(
            first, account.names.scram_salt, account.names.scram_iterations, binding=request.end_point
        )
        handle, now = new_id(), self._monotonic()
        while self._exchanges and (
            len(self._exchanges) >= EXCHANGES_MAX or next(iter(self._exchanges.values())).until <= now
        ):
            self._exchanges.popitem(last=False)
        door = Door(request.protocol, request.network, request.program)
        self._exchanges[handle] = Exchange(
            server, network, door, grant.connection.thumbprint, now + EXCHANGE_SECONDS
        )
        return api.ScramChallenge(handle, server.server_first)

    async def scram_finish(self, grant: Grant, request: api.ScramFinish) -> api.SignedIn:
        """Check the client's proof and open a session; the answer proves that we knew the keys."""
        exchange = self._exchanges.pop(request.exchange, None)
        if (
            exchange is None
            or exchange.until <= self._monotonic()
            or exchange.holder != grant.connection.thumbprint
        ):
            raise RefusedError("no such exchange", code="refused.credentials")
        account = await self._find(exchange.server.first.name, exchange.door.protocol, exchange.network)
        async with self._attempt(grant, account, exchange.door):
            await self._wait_turn(account)
            usable = [*([account.password] if account.password else []), *account.apps]
            keys = [item.scram for _, item in usable]
            try:
                index, final = exchange.server.finish(request.client_final, keys)
            except SaslError as error:
                if error.code == SaslError.code:
                    raise
                raise RefusedError("the proof is wrong", code="refused.credentials") from error
            answer = await self._open(grant, account, usable[index][0], exchange.door)
            return msgspec.structs.replace(answer, server_final=final)

    async def _find(self, name: str, protocol: str, network: str) -> Account:
        """Find what a name stands for, with the same questions to the database if it is nobody."""
        state, seal = self._state, self._state.seal
        try:
            lookup = seal.lookup(parse_address(name))
        except InvalidInputError:
            lookup = seal.decoy("address " + name.casefold(), LOOKUP_BYTES)
        row = (await state.directory.owners([lookup])).get(lookup)
        return await self._account(row, lookup, protocol, network)

    async def _find_owner(self, token: str, protocol: str, network: str) -> Account:
        """Find whose a token says it is."""
        owner = owner_of(token) or NOBODY
        try:
            row = await self._state.directory.principal(owner)
        except NotFoundError:
            row = None
        return await self._account(row, self._state.seal.decoy("token", LOOKUP_BYTES), protocol, network)

    async def _account(self, row: PrincipalRow | None, lookup: bytes, protocol: str, network: str) -> Account:
        state, seal = self._state, self._state.seal
        if row is not None and row.kind != "user":
            row = None
        key = row.principal if row is not None else lookup[:ID_BYTES]
        credentials = await state.access.credentials(key)
        known = await state.access.knows_network(key, seal.network(network))
        if row is None:
            names = PrincipalNames("", "", seal.decoy(f"salt {lookup.hex()}", SALT_BYTES))
            return Account(key, network, known, None, names, None, [], [])
        names = seal.open(row.sealed, PrincipalNames, "principals", row.tenant, row.principal)
        password = None
        apps: list[tuple[bytes, Credential]] = []
        tokens: list[tuple[bytes, Credential]] = []
        for item in credentials:
            opened = seal.open(item.sealed, Credential, "credentials", item.principal, item.id)
            if item.kind == "password":
                password = (item.id, opened)
            elif not opened.protocols or protocol in opened.protocols:
                (tokens if item.kind == TOKEN else apps).append((item.id, opened))
        return Account(key, network, known, row, names, password, apps, tokens)

    async def _wait_turn(self, account: Account) -> None:
        """Wait as long as an attempt must; raise ThrottledError if it may not be made."""
        delay = self._throttle.check(account.key, account.network, known=account.known)
        if delay:
            await asyncio.sleep(delay)
            self._throttle.check(account.key, account.network, known=account.known)

    async def _check_password(self, account: Account, password: str) -> bytes:
        """Return the credential that fits; raise RefusedError if none does, after the same work."""
        credential = account.password[1] if account.password else None

        def admit() -> None:
            self._throttle.check(account.key, account.network, known=account.known)

        # The throttle comes first: whoever has guessed too often does not even learn of a right guess.
        delay = self._throttle.check(account.key, account.network, known=account.known)
        if account.password is not None and self._passwords.remembers(credential, password):
            return account.password[0]
        if delay:
            await asyncio.sleep(delay)
            admit()
        given = app_verifier(self._state.seal.app_key, password)
        for app, item in account.apps:
            if hmac.compare_digest(given, item.verifier):
                return app
        names = account.names
        await self._passwords.check_salted(
            credential, password, names.scram_salt, names.scram_iterations, account.network, admit
        )
        assert account.password is not None
        return account.password[0]

    async def _open(
        self, grant: Grant, account: Account, credential: bytes, door: Door, expires_ms: int | None = None
    ) -> api.SignedIn:
        row = account.row
        if row is None or row.status != "active":
            raise RefusedError("the account is disabled", code="refused.credentials")
        network = None if account.known else self._state.seal.network(account.network)
        personal = await self._state.persons.sealer(row.tenant, row.principal, door.values)
        found = SignIn(row, account.names, credential, network, personal, expires_ms)
        return await self._sessions.open(grant, door.protocol, found)

    @asynccontextmanager
    async def _attempt(self, grant: Grant, account: Account, door: Door) -> AsyncIterator[None]:
        """Settle an attempt by how it ends: count it, forgive, and tell the ledger of a refusal."""
        try:
            yield
        except (RefusedError, SaslError) as error:
            self._throttle.fail(account.key, account.network)
            self._tell_later(grant, account, door, error.code)
            raise
        except ThrottledError as error:
            self._tell_later(grant, account, door, error.code)
            raise
        self._throttle.succeed(account.key, account.network)

    def _tell_later(self, grant: Grant, account: Account, door: Door, code: str) -> None:
        """Record a refusal without making its answer wait: the wait for a key would tell that the account
        exists."""
        row = account.row
        if row is None or len(self._telling) >= TELLING_MAX:
            self._note(grant, account, door, code, None)
            return
        telling = asyncio.create_task(self._tell(grant, account, row, door, code))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell(self, grant: Grant, account: Account, row: PrincipalRow, door: Door, code: str) -> None:
        personal = await self._state.persons.sealer(row.tenant, row.principal, door.values)
        self._note(grant, account, door, code, personal)

    async def settle(self) -> None:
        """Wait until every refusal has been told to the trail."""
        if self._telling:
            await asyncio.wait(self._telling)

    def _note(self, grant: Grant, account: Account, door: Door, code: str, personal: Sealer | None) -> None:
        row = account.row
        self._state.trail.note(
            EventName.SIGN_IN,
            personal,
            outcome="refused",
            code=code,
            tenant=row.tenant.hex() if row else "",
            principal=row.principal.hex() if row else "",
            module=grant.peer_module,
            instance=grant.peer_instance,
            method=door.protocol,
            rule=grant.rule,
            digest="" if row else account.key.hex(),
        )


def _check_protocol(grant: Grant, protocol: str) -> None:
    """Raise RefusedError unless a face names its own protocol: app passwords are good for some only."""
    if protocol != grant.peer_module:
        raise RefusedError("another face's protocol", code="refused.protocol")
