"""LOGIN, AUTHENTICATE and UNAUTHENTICATE: who is at the other end."""

import asyncio
import binascii
from typing import Final

from postkeep.base.errors import InvalidInputError, PostkeepError, RefusedError, ThrottledError
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.limits import SIGN_IN_DELAY_SECONDS
from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.session import Completion, Session, State
from postkeep.faces.imap.signin import capability_code
from postkeep.faces.imap.texts import Text, completed
from postkeep.faces.sasl import Client, Exchange, check_password, new_exchange, offered
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import Authenticate, Login
from postkeep.protocols.sasl.plain import PlainCredentials
from postkeep.services.authority.api import SignedIn

_REFUSALS: Final = (RefusedError, InvalidInputError, ThrottledError)


async def login(session: Session, tag: bytes, command: Login) -> Completion:
    """Answer LOGIN."""
    del tag
    _need_tls(session)
    try:
        credentials = PlainCredentials("", command.user.decode(), command.password.decode())
        signed_in = await check_password(session.keepers.authority, credentials, _client(session))
    except UnicodeDecodeError:
        return await _failed(session, RefusedError("not UTF-8"))
    except _REFUSALS as exc:
        return await _failed(session, exc)
    return _welcome(session, signed_in)


async def authenticate(session: Session, tag: bytes, command: Authenticate) -> Completion:
    """Answer AUTHENTICATE (RFC 3501 section 6.2.2, 4959)."""
    del tag
    _need_tls(session)
    client = _client(session)
    if command.mechanism == "LOGIN" or command.mechanism not in offered(client.end_point):
        raise CommandError(Text.NO_MECHANISM, "CANNOT")
    exchange = new_exchange(command.mechanism, session.keepers.authority, client)
    first = None if command.initial is None else _decode(command.initial)
    try:
        signed_in = await _run(session, exchange, first)
    except _REFUSALS as exc:
        return await _failed(session, exc)
    return _welcome(session, signed_in)


async def _run(session: Session, exchange: Exchange, message: bytes | None) -> SignedIn:
    while True:
        outcome = await exchange.step(message)
        if isinstance(outcome, SignedIn):
            return outcome
        message = await _answer(session, outcome)


async def unauthenticate(session: Session, tag: bytes, command: object) -> Completion:
    """Answer UNAUTHENTICATE (RFC 8437): as after the greeting, but for TLS and compression."""
    del tag, command
    session.wire.signed_out()
    session.forget()
    return Completion(completed("UNAUTHENTICATE"))


def _client(session: Session) -> Client:
    return Client("imap", session.wire.network, session.program, session.wire.end_point)


def _welcome(session: Session, signed_in: SignedIn) -> Completion:
    session.account = account = Account(session.keepers, signed_in)
    if not session.wire.signed_in():
        session.account = None
        session.wakeups.sign_out(account)
        raise CommandError(Text.TOO_MANY_OF_ONE, "LIMIT")
    session.state = State.AUTHENTICATED
    return Completion(Text.WELCOME, capability_code(session))


async def _failed(session: Session, error: PostkeepError) -> Completion:
    """Refuse, slower each time; the session hangs up in the end."""
    await asyncio.sleep(SIGN_IN_DELAY_SECONDS * (1 << session.sign_in_failures))
    session.sign_in_failures += 1
    if isinstance(error, ThrottledError):
        raise error
    raise CommandError(Text.NOT_AUTHENTICATED, "AUTHENTICATIONFAILED") from error


async def _answer(session: Session, challenge: bytes) -> bytes:
    """Send a challenge; return the client's answer. A lone `*` gives up (RFC 3501 section 6.2.2)."""
    await session.send(responses.continuation(binascii.b2a_base64(challenge, newline=False)))
    line = await session.wire.read_line()
    if line == b"*":
        raise CommandError(Text.GIVEN_UP, bad=True)
    return _decode(line)


def _decode(line: bytes) -> bytes:
    if line == b"=":
        return b""
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error as exc:
        raise CommandError(Text.NOT_BASE64, bad=True) from exc


def _need_tls(session: Session) -> None:
    if not session.wire.secure:
        raise CommandError(Text.START_TLS_FIRST, "PRIVACYREQUIRED")
