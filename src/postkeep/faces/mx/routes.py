"""From what the directory says of an address to the reply at RCPT. Pure."""

from postkeep.faces.smtp import replies
from postkeep.protocols.smtp.replies import RECIPIENT_OK, Reply
from postkeep.services.authority.api import Route


def reply_for_route(route: Route) -> Reply:
    """Return the reply to RCPT. Only a positive one makes the address a recipient.

    A group some of whose members are full is accepted: they are reported to the sender, the others served.
    """
    if route.status == "foreign":
        return replies.NO_RELAY
    if route.status == "disabled":
        return replies.DISABLED
    if route.status != "local" or not (route.recipients or route.forwards):
        return replies.NO_SUCH_USER
    if not route.forwards and all(recipient.over_quota for recipient in route.recipients):
        return replies.FULL
    return RECIPIENT_OK
