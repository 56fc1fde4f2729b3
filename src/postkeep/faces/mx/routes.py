"""From what the directory says of an address, and of who is known to be full, to the reply at RCPT."""

from postkeep.faces.smtp import replies
from postkeep.protocols.smtp.replies import RECIPIENT_OK, Reply
from postkeep.services.authority.api import Route
from postkeep.services.delivery.full import FullMailboxes


def reply_for_route(route: Route, full: FullMailboxes, octets: int) -> Reply:
    """Return the reply to RCPT. Only a positive one makes the address a recipient.

    `octets`: the size that the sender has declared, 0 for none.
    A group some of whose members are full is accepted: they are reported to the sender, the others served.
    """
    if route.status == "foreign":
        return replies.NO_RELAY
    if route.status == "disabled":
        return replies.DISABLED
    if route.status != "local" or not (route.recipients or route.forwards):
        return replies.NO_SUCH_USER
    if not route.forwards and all(
        full.has_no_room(recipient.key.tenant, recipient.key.principal, octets)
        for recipient in route.recipients
    ):
        return replies.FULL
    return RECIPIENT_OK
