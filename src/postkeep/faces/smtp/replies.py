"""The one table from error codes to SMTP replies (RFC 5321 section 4.2, RFC 3463), and our own sentences."""

from typing import Final

from postkeep.base.errors import PostkeepError
from postkeep.protocols.smtp.replies import Reply

_BY_CODE: Final = {
    "unavailable": Reply(451, "4.3.0", "Not possible at the moment; try again later"),
    "internal": Reply(451, "4.3.0", "Something went wrong on our side; try again later"),
    "conflict": Reply(451, "4.3.0", "Not possible at the moment; try again later"),
    "integrity": Reply(451, "4.3.5", "Something is wrong on our side; try again later"),
    "throttled": Reply(451, "4.7.0", "Too much at once; try again later"),
    "over_quota": Reply(452, "4.2.2", "The mailbox is full"),
    "limit": Reply(452, "4.3.1", "Too much for us at the moment"),
    "not_found": Reply(550, "5.1.1", "No such mailbox here"),
    "refused": Reply(550, "5.7.1", "Not permitted"),
    "invalid": Reply(550, "5.6.0", "The message is not valid"),
    "loop": Reply(554, "5.4.6", "The message has been through too many servers: a loop"),
    "header_too_large": Reply(552, "5.3.4", "The header is larger than we take"),
    "header_sender": Reply(550, "5.7.1", "The From or Sender field names an address you may not send as"),
}
_TEMPORARY: Final = Reply(451, "4.3.0", "Not possible at the moment; try again later")
_PERMANENT: Final = Reply(554, "5.3.0", "Not possible")

NO_SUCH_USER: Final = _BY_CODE["not_found"]
WRONG_SENDER: Final = Reply(550, "5.7.1", "You may not send as this address")
NO_RELAY: Final = Reply(550, "5.7.1", "We do not relay")
DISABLED: Final = Reply(550, "5.2.1", "The mailbox is disabled")
FULL: Final = _BY_CODE["over_quota"]
STALE: Final = Reply(451, "4.3.0", "The directory is not available; try again later")

TOO_MANY_CONNECTIONS: Final = Reply(421, "4.3.2", "Too many connections; try again later", closes=True)
TOO_MANY_FROM_YOU: Final = Reply(421, "4.7.0", "Too many connections from your network", closes=True)
TOO_BUSY: Final = Reply(421, "4.3.1", "Too much mail at once; try again later", closes=True)
TIMEOUT: Final = Reply(421, "4.4.2", "Too slow; closing", closes=True)
SHUTDOWN: Final = Reply(421, "4.3.2", "Shutting down; try again later", closes=True)
EARLY_TALKER: Final = Reply(554, "5.5.0", "Wait for the greeting before you speak", closes=True)
SESSION_ENDED: Final = Reply(421, "4.7.0", "Your session has been ended", closes=True)

AUTH_FAILED: Final = Reply(535, "5.7.8", "Wrong user name or password")
AUTH_THROTTLED: Final = Reply(454, "4.7.0", "Too many attempts; wait a moment")
AUTH_UNAVAILABLE: Final = Reply(454, "4.7.0", "Signing in is not possible at the moment")
AUTH_MALFORMED: Final = Reply(501, "5.5.2", "The exchange is not valid")


def family(code: str) -> str:
    """Return the kind of an error code: `refused` of `refused.credentials`."""
    return code.partition(".")[0]


def reply_for(error: PostkeepError) -> Reply:
    """Return the reply that tells of an error; nothing of its detail gets out."""
    found = _BY_CODE.get(error.code) or _BY_CODE.get(family(error.code))
    if found is not None:
        return found
    return _TEMPORARY if error.temporary else _PERMANENT


def accepted(message_id: str) -> Reply:
    """Return the reply that makes the message ours."""
    return Reply(250, "2.6.0", f"Message accepted, id {message_id}")
