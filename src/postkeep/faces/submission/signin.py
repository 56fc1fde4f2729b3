"""The SASL exchanges of submission (RFC 4954): octets from the client to the authority's answer.

A step gives the next challenge, or the session. What is wrong with a client raises, and the reply says no
more than that it did not work.
"""

from typing import Final, NamedTuple, Protocol

from postkeep.base.errors import PostkeepError, ThrottledError
from postkeep.faces.smtp import replies
from postkeep.protocols.sasl import SaslError
from postkeep.protocols.sasl.login import LoginServer
from postkeep.protocols.sasl.plain import PlainCredentials, read_plain
from postkeep.protocols.smtp.replies import Reply
from postkeep.services.authority.api import ScramChallenge, ScramFinish, ScramStart, SignedIn, SignIn

MECHANISMS: Final = ("SCRAM-SHA-256", "PLAIN", "LOGIN")
"""In the order of preference; all of them over TLS only."""

_PROTOCOL: Final = "submission"
_WRONG_PROOF: Final = "refused.proof"


class SignInService(Protocol):
    """The authority, as far as this needs it."""

    async def sign_in(self, request: SignIn) -> SignedIn:
        """Check a password and open a session."""

    async def scram_start(self, request: ScramStart) -> ScramChallenge:
        """Begin an exchange."""

    async def scram_finish(self, request: ScramFinish) -> SignedIn:
        """Check the proof and open a session."""


class Client(NamedTuple):
    """Who is at the other end, by their own word and the network's."""

    network: str
    """The IP address."""
    program: str
    """What it said in EHLO."""


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

    def __init__(self, authority: SignInService, client: Client) -> None:
        self._authority = authority
        self._client = client
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
        if not self._exchange:
            start = ScramStart(message, self._client.network, _PROTOCOL, self._client.program)
            challenge = await self._authority.scram_start(start)
            self._exchange = challenge.exchange
            return challenge.server_first
        self._signed_in = await self._authority.scram_finish(ScramFinish(self._exchange, message))
        return self._signed_in.server_final


async def check_password(authority: SignInService, credentials: PlainCredentials, client: Client) -> SignedIn:
    """Sign in with a password. Acting as somebody else is not offered (RFC 4616 section 2)."""
    if credentials.authorize not in ("", credentials.name):
        raise SaslError("another authorization identity", code=_WRONG_PROOF)
    request = SignIn(credentials.name, credentials.password, client.network, _PROTOCOL, client.program)
    return await authority.sign_in(request)


def new_exchange(mechanism: str, authority: SignInService, client: Client) -> Exchange:
    """Begin an exchange of one of `MECHANISMS`."""
    if mechanism == "PLAIN":
        return PlainExchange(authority, client)
    if mechanism == "LOGIN":
        return LoginExchange(authority, client)
    return ScramExchange(authority, client)


def reply_for_failure(error: PostkeepError) -> Reply:
    """Return the reply to a failed exchange (RFC 4954 section 6)."""
    if replies.family(error.code) == ThrottledError.code:
        return replies.AUTH_THROTTLED
    if error.temporary:
        return replies.AUTH_UNAVAILABLE
    if error.code == SaslError.code:
        return replies.AUTH_MALFORMED
    return replies.AUTH_FAILED
