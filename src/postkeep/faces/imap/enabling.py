"""ENABLE: what a client asks the server to do otherwise from now on (RFC 5161)."""

from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import completed
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import Enable


async def enable(session: Session, tag: bytes, command: Enable) -> Completion:
    """Answer ENABLE: what is not known or enabled already is left out."""
    del tag
    fresh = [name for word in dict.fromkeys(command.capabilities) if (name := _enable(session, word))]
    await session.send(responses.enabled(fresh))
    return Completion(completed("ENABLE"))


def _enable(session: Session, word: str) -> str:
    """Enable one; return its name where that is news."""
    match word:
        case "CONDSTORE" if not session.condstore:
            session.condstore = True
        case "QRESYNC" if not session.qresync:
            session.qresync = session.condstore = True  # RFC 7162 section 3.2.3
        case "UIDONLY" if not session.uid_only:
            session.uid_only = True
        case "IMAP4REV2" if not session.rev2:
            session.rev2 = session.utf8 = True
            return "IMAP4rev2"
        case "UTF8=ACCEPT" if not session.utf8_only:
            session.utf8_only = session.utf8 = True  # RFC 6855 section 3
        case _:
            return ""
    return word
