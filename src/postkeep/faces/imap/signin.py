"""Around sign-in: CAPABILITY, STARTTLS, ID, LOGOUT."""

from typing import Final

from postkeep.faces.imap.languages import LANGUAGES, choose
from postkeep.faces.imap.limits import APPEND_BYTES_MAX
from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import Text, completed
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import Id, Language

PROGRAM_CHARS_MAX: Final = 100
"""Of a program's name and version: more is no name."""

_BASE: Final = ("IMAP4rev1", "IMAP4rev2", "LITERAL+", "SASL-IR", "ENABLE", "ID", "LANGUAGE", "IDLE")
_MECHANISMS: Final = ("AUTH=PLAIN", "AUTH=SCRAM-SHA-256", "AUTH=OAUTHBEARER", "AUTH=XOAUTH2")
_SIGNED_IN: Final = (
    "UNAUTHENTICATE",
    "UTF8=ACCEPT",
    "NAMESPACE",
    "ACL",
    "RIGHTS=kxte",
    "CHILDREN",
    "UIDPLUS",
    "UNSELECT",
    "MOVE",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "LIST-METADATA",
    "LIST-MYRIGHTS",
    "METADATA",
    "NOTIFY",
    "STATUS=SIZE",
    "ESEARCH",
    "SEARCHRES",
    "WITHIN",
    "SORT",
    "SORT=DISPLAY",
    "ESORT",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
    "INPROGRESS",
    "BINARY",
    "MULTIAPPEND",
    "CATENATE",
    "REPLACE",
    "CONDSTORE",
    "QRESYNC",
    "UIDONLY",
    "PARTIAL",
    "PREVIEW",
    "SAVEDATE",
    "OBJECTID",
    f"APPENDLIMIT={APPEND_BYTES_MAX}",
    "QUOTA",
    "QUOTA=RES-STORAGE",
)


def capabilities(session: Session) -> tuple[str, ...]:
    """Return what is true in this state (RFC 3501 section 6.1.1)."""
    if session.account is not None:
        return _BASE + _SIGNED_IN + (() if session.wire.compressed else ("COMPRESS=DEFLATE",))
    if session.wire.secure:
        plus = ("AUTH=SCRAM-SHA-256-PLUS",) if session.wire.end_point else ()
        return _BASE + _MECHANISMS + plus
    return (*_BASE, "STARTTLS", "LOGINDISABLED")


def greeting(session: Session) -> bytes:
    """Return the first line of a connection."""
    return session.say(b"*", "OK", Text.READY, capability_code(session))


def capability_code(session: Session) -> str:
    """Return the response code that tells a client the capabilities of its state."""
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
        session.say(b"*", "BYE", Text.BYE) + session.say(tag, "OK", completed("LOGOUT")),
    )
    session.wire.close()
    return Completion("")


async def start_tls(session: Session, tag: bytes, command: object) -> Completion:
    """Answer STARTTLS (RFC 3501 section 6.2.1)."""
    del command
    if session.wire.secure:
        raise CommandError(Text.TLS_ACTIVE, bad=True)
    await session.send(session.say(tag, "OK", Text.BEGIN_TLS))
    await session.wire.start_tls()
    return Completion("")


async def language(session: Session, tag: bytes, command: Language) -> Completion:
    """Answer LANGUAGE (RFC 5255): which languages there are, or the first that fits from now on."""
    del tag
    if not command.ranges:
        await session.send(responses.language(LANGUAGES))
        return Completion(completed("LANGUAGE"))
    chosen = choose(command.ranges)
    if chosen is None:
        raise CommandError(Text.NO_LANGUAGE)
    session.language = chosen
    await session.send(responses.language((chosen,)))
    return Completion(completed("LANGUAGE"))


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
