"""Before and around sign-in: CAPABILITY, STARTTLS, LOGIN, AUTHENTICATE, ENABLE, ID, LOGOUT."""

import asyncio
import binascii
from typing import Final

from postkeep.base.errors import InvalidInputError, PostkeepError, RefusedError, ThrottledError
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.limits import APPEND_BYTES_MAX, SIGN_IN_DELAY_SECONDS
from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.session import Completion, Session, State
from postkeep.faces.imap.texts import Text, completed
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import Authenticate, Enable, Id, Login
from postkeep.protocols.sasl.plain import read_plain
from postkeep.services.authority.api import ScramFinish, ScramStart, SignedIn, SignIn

PROGRAM_CHARS_MAX: Final = 100
"""Of a program's name and version: more is no name."""

_BASE: Final = ("IMAP4rev1", "IMAP4rev2", "LITERAL+", "SASL-IR", "ENABLE", "ID", "IDLE")
_MECHANISMS: Final = ("AUTH=PLAIN", "AUTH=SCRAM-SHA-256")
_SIGNED_IN: Final = (
    "NAMESPACE",
    "CHILDREN",
    "UIDPLUS",
    "UNSELECT",
    "MOVE",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "STATUS=SIZE",
    "ESEARCH",
    "SEARCHRES",
    "BINARY",
    "MULTIAPPEND",
    "CATENATE",
    "CONDSTORE",
    f"APPENDLIMIT={APPEND_BYTES_MAX}",
    "QUOTA",
    "QUOTA=RES-STORAGE",
)
_ENABLED_BY: Final = {"CONDSTORE": "CONDSTORE", "IMAP4REV2": "IMAP4rev2"}


def capabilities(session: Session) -> tuple[str, ...]:
    """Return what is true in this state (RFC 3501 section 6.1.1)."""
    if session.account is not None:
        return _BASE + _SIGNED_IN
    if session.wire.secure:
        return _BASE + _MECHANISMS
    return (*_BASE, "STARTTLS", "LOGINDISABLED")


def greeting(session: Session) -> bytes:
    """Return the first line of a connection."""
    return responses.status(b"*", "OK", Text.READY, _capability_code(session))


def _capability_code(session: Session) -> str:
    return "CAPABILITY " + " ".join(capabilities(session))


async def capability(session: Session, tag: bytes, command: object) -> Completion:
    """Answer CAPABILITY."""
    del tag, command
    await session.send(responses.capability(capabilities(session)))
    return Completion(completed("CAPABILITY"))


async def logout(session: Session, tag: bytes, command: object) -> Completion:
    """Answer LOGOUT, and close."""
    del command
    await session.send(
        responses.status(b"*", "BYE", Text.BYE) + responses.status(tag, "OK", completed("LOGOUT")),
    )
    session.wire.close()
    return Completion("")


async def start_tls(session: Session, tag: bytes, command: object) -> Completion:
    """Answer STARTTLS (RFC 3501 section 6.2.1)."""
    del command
    if session.wire.secure:
        raise CommandError(Text.TLS_ACTIVE, bad=True)
    await session.send(responses.status(tag, "OK", Text.BEGIN_TLS))
    await session.wire.start_tls()
    return Completion("")


async def login(session: Session, tag: bytes, command: Login) -> Completion:
    """Answer LOGIN."""
    del tag
    _need_tls(session)
    try:
        user, password = command.user.decode(), command.password.decode()
    except UnicodeDecodeError:
        return await _failed(session, RefusedError("not UTF-8"))
    return await _sign_in(session, user, password)


async def authenticate(session: Session, tag: bytes, command: Authenticate) -> Completion:
    """Answer AUTHENTICATE with PLAIN (RFC 4616) or SCRAM-SHA-256 (RFC 7677)."""
    del tag
    _need_tls(session)
    if command.mechanism not in {"PLAIN", "SCRAM-SHA-256"}:
        raise CommandError(Text.NO_MECHANISM, "CANNOT")
    first = await _answer(session, b"") if command.initial is None else _decode(command.initial)
    if command.mechanism == "PLAIN":
        try:
            plain = read_plain(first)
        except InvalidInputError as exc:
            return await _failed(session, exc)
        return await _sign_in(session, plain.name, plain.password)
    return await _scram(session, first)


async def _scram(session: Session, first: bytes) -> Completion:
    authority = session.keepers.authority
    try:
        challenge = await authority.scram_start(
            ScramStart(first, session.wire.network, "imap", session.program)
        )
        final = await _answer(session, challenge.server_first)
        signed_in = await authority.scram_finish(ScramFinish(challenge.exchange, final))
    except (RefusedError, InvalidInputError) as exc:
        return await _failed(session, exc)
    if await _answer(session, signed_in.server_final):
        return await _failed(session, RefusedError("data after the last message"))
    return _welcome(session, signed_in)


async def _sign_in(session: Session, user: str, password: str) -> Completion:
    request = SignIn(user, password, session.wire.network, "imap", session.program)
    try:
        signed_in = await session.keepers.authority.sign_in(request)
    except (RefusedError, InvalidInputError, ThrottledError) as exc:
        return await _failed(session, exc)
    return _welcome(session, signed_in)


def _welcome(session: Session, signed_in: SignedIn) -> Completion:
    session.account = Account(session.keepers, signed_in)
    session.state = State.AUTHENTICATED
    session.wire.signed_in()
    return Completion(Text.WELCOME, _capability_code(session))


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


async def enable(session: Session, tag: bytes, command: Enable) -> Completion:
    """Answer ENABLE (RFC 5161): what is not known or enabled already is left out."""
    del tag
    fresh = []
    for name in dict.fromkeys(command.capabilities):
        known = _ENABLED_BY.get(name)
        if known == "CONDSTORE" and not session.condstore:
            session.condstore = True
            fresh.append(known)
        elif known == "IMAP4rev2" and not session.utf8:
            session.utf8 = True
            fresh.append(known)
    await session.send(responses.enabled(fresh))
    return Completion(completed("ENABLE"))


async def identify(session: Session, tag: bytes, command: Id) -> Completion:
    """Answer ID (RFC 2971). What the client says of itself is told to the person it signs in, sealed."""
    del tag
    session.program = _program(command)
    await session.send(responses.identity({"name": "Postkeep"}))
    return Completion(completed("ID"))


def _program(command: Id) -> str:
    """Return a client's name and version from what it says of itself, printable and cut to length."""
    said = {name.lower(): value or b"" for name, value in command.fields or ()}
    words = [said.get(field, b"").decode("utf-8", "replace") for field in (b"name", b"version")]
    whole = " ".join(word for word in words if word)
    return "".join(letter for letter in whole if letter.isprintable())[:PROGRAM_CHARS_MAX]
