"""From errors to tagged replies: the one table, with the response codes of RFC 5530 and its kin."""

from postkeep.base.errors import PostkeepError
from postkeep.faces.imap.languages import translate
from postkeep.faces.imap.texts import Text
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.errors import ImapCharsetError, ImapSyntaxError

_CODES = {
    "invalid": "CANNOT",
    "not_found": "NONEXISTENT",
    "conflict": "ALREADYEXISTS",
    "refused": "NOPERM",
    "unavailable": "UNAVAILABLE",
    "limit": "LIMIT",
    "over_quota": "OVERQUOTA",
    "throttled": "UNAVAILABLE",
    "integrity": "CORRUPTION",
    "internal": "SERVERBUG",
}


class CommandError(PostkeepError):
    """A command that is understood and can't be done: NO with a response code of its own, or BAD."""

    code = "imap_command"

    def __init__(self, text: str, response_code: str = "", *, bad: bool = False) -> None:
        super().__init__(text, public_text=text)
        self.response_code = response_code
        self.bad = bad


def reply_to_error(tag: bytes, error: PostkeepError, language: str) -> bytes:
    """Return the tagged reply (untagged where the tag could not be read). No detail leaves this process."""
    text = translate(error.public_text, language, error.code)
    if isinstance(error, ImapSyntaxError):
        tag = error.tag or b"*"
        if isinstance(error, ImapCharsetError):
            return responses.status(tag, "NO", text, "BADCHARSET (US-ASCII UTF-8)")
        return responses.status(tag, "BAD", text)
    if isinstance(error, CommandError):
        return responses.status(tag, "BAD" if error.bad else "NO", text, error.response_code)
    return responses.status(tag, "NO", text, _CODES.get(family(error.code), "SERVERBUG"))


def family(code: str) -> str:
    """Return the first word of an error code: what comes behind its dot makes no other reply."""
    return code.partition(".")[0]


def no_such_mailbox(*, try_create: bool = False) -> CommandError:
    """Return the error for a mailbox that is not there; APPEND and COPY hint that it can be made."""
    return CommandError(Text.NO_MAILBOX, "TRYCREATE" if try_create else "NONEXISTENT")
