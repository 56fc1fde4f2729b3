"""The SASL exchanges of the faces people sign in at: octets from the client to the authority's answer.

A step gives the next challenge, or the session. What is wrong with a client raises, and the face's reply says
no more than that it did not work.
"""

from typing import Final, NamedTuple, Protocol

from postkeep.base.errors import RefusedError
from postkeep.protocols.sasl import SaslError
from postkeep.protocols.sasl.bearer import (
    BearerCredentials,
    oauthbearer_error,
    read_oauthbearer,
    read_xoauth2,
    xoauth2_error,
)
from postkeep.protocols.sasl.login import LoginServer
from postkeep.protocols.sasl.plain import PlainCredentials, read_plain
from postkeep.services.authority.api import ScramChallenge, ScramFinish, ScramStart, SignedIn, SignIn
from postkeep.services.authority.tokens_api import TokenSignIn

SCRAM: Final = "SCRAM-SHA-256"
SCRAM_PLUS: Final = "SCRAM-SHA-256-PLUS"
MECHANISMS: Final = (SCRAM_PLUS, SCRAM, "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN")
"""In the order of preference; all of them over TLS only."""

_WRONG_PROOF: Final = "refused.proof"


class SignInService(Protocol):
    """The authority, as far as this needs it."""

    async def sign_in(self, request: SignIn) -> SignedIn:
        """Check a password and open a session."""

    async def token_sign_in(self, request: TokenSignIn) -> SignedIn:
        """Check an access token and open a session."""

    async def scram_start(self, request: ScramStart) -> ScramChallenge:
        """Begin an exchange."""

    async def scram_finish(self, request: ScramFinish) -> SignedIn:
        """Check the proof and open a session."""


class Client(NamedTuple):
    """Who is at the other end, by their own word and the network's."""

    protocol: str
    """Of the face: `imap` or `submission`."""
    network: str
    """The IP address."""
    program: str
    """What it said of itself (EHLO, IMAP ID)."""
    end_point: bytes
    """The `tls-server-end-point` of the connection (RFC 5929); empty: there is none."""


class Exchange(Protocol):
    """One exchange: feed it the client's messages."""

    async def step(self, message: bytes | None) -> bytes | SignedIn:
        """Take a message (None: there was no initial response); return a challenge or the session."""


class PlainExchange:
    """PLAIN (RFC 4616)."""

    def __init__(self, authority: SignInService, client: Client) -> None:
        self._authority = authority
        self._client = client

    async def step(self, message: bytes | None) -> bytes | SignedIn:
        """One message with everything in it."""
        if message is None:
            return b""
        return await check_password(self._authority, read_plain(message), self._client)


class LoginExchange:
    """LOGIN: name, then password."""

    def __init__(self, authority: SignInService, client: Client) -> None:
        self._authority = authority
        self._client = client
        self._sasl = LoginServer()

    async def step(self, message: bytes | None) -> bytes | SignedIn:
        """Two messages; some clients send the first along with the command."""
        credentials = None if message is None else self._sasl.receive(message)
        if credentials is None:
            return self._sasl.challenge
        return await check_password(self._authority, credentials, self._client)


class ScramExchange:
    """SCRAM-SHA-256 (RFC 7677): the password does not cross, and the server proves that it knows it too."""

    def __init__(self, authority: SignInService, client: Client, *, plus: bool) -> None:
        self._authority = authority
        self._client = client
        self._plus = plus
        self._exchange = b""
        self._signed_in: SignedIn | None = None

    async def step(self, message: bytes | None) -> bytes | SignedIn:
        """Client-first, client-final, and the empty answer to the server's own proof (RFC 4954 section 4)."""
        if message is None:
            return b""
        if self._signed_in is not None:
            if message:
                raise SaslError("an answer to the last challenge")
            return self._signed_in
        client = self._client
        if not self._exchange:
            start = ScramStart(
                message, client.network, client.protocol, client.program, client.end_point, self._plus
            )
            challenge = await self._authority.scram_start(start)
            self._exchange = challenge.exchange
            return challenge.server_first
        self._signed_in = await self._authority.scram_finish(ScramFinish(self._exchange, message))
        return self._signed_in.server_final


class BearerExchange:
    """OAUTHBEARER (RFC 7628) and XOAUTH2. A refusal is told as the mechanism wants it before it fails."""

    def __init__(self, authority: SignInService, client: Client, *, old: bool) -> None:
        self._authority = authority
        self._client = client
        self._old = old
        self._refusal: RefusedError | SaslError | None = None

    async def step(self, message: bytes | None) -> bytes | SignedIn:
        """One message with the token; after a refusal the client's answer to it, whatever it is."""
        if self._refusal is not None:
            raise self._refusal
        if message is None:
            return b""
        try:
            return await self._sign_in(read_xoauth2(message) if self._old else read_oauthbearer(message))
        except (RefusedError, SaslError) as error:
            self._refusal = error
        scope = self._client.protocol
        return xoauth2_error(scope) if self._old else oauthbearer_error(scope)

    async def _sign_in(self, credentials: BearerCredentials) -> SignedIn:
        client = self._client
        return await self._authority.token_sign_in(
            TokenSignIn(credentials.token, credentials.name, client.network, client.protocol, client.program)
        )


async def check_password(authority: SignInService, credentials: PlainCredentials, client: Client) -> SignedIn:
    """Sign in with a password. Acting as somebody else is not offered (RFC 4616 section 2)."""
    if credentials.authorize not in ("", credentials.name):
        raise SaslError("another authorization identity", code=_WRONG_PROOF)
    request = SignIn(credentials.name, credentials.password, client.network, client.protocol, client.program)
    return await authority.sign_in(request)


def offered(end_point: bytes) -> tuple[str, ...]:
    """Return the mechanisms that a face with this certificate can offer over TLS."""
    return tuple(name for name in MECHANISMS if end_point or name != SCRAM_PLUS)


def new_exchange(mechanism: str, authority: SignInService, client: Client) -> Exchange:
    """Begin an exchange of one of `MECHANISMS`."""
    if mechanism == "PLAIN":
        return PlainExchange(authority, client)
    if mechanism == "LOGIN":
        return LoginExchange(authority, client)
    if mechanism in {"OAUTHBEARER", "XOAUTH2"}:
        return BearerExchange(authority, client, old=mechanism == "XOAUTH2")
    return ScramExchange(authority, client, plus=mechanism == SCRAM_PLUS)
