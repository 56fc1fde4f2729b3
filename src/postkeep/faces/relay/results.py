"""How one attempt ended for one recipient."""

from enum import StrEnum
from typing import Final

import msgspec

from postkeep.services.queue.envelope import QueuedRecipient


class Ending(StrEnum):
    """What the other side said, in the end."""

    DELIVERED = "delivered"
    """Taken by a server that reports further itself (RFC 3461)."""
    RELAYED = "relayed"
    """Taken by a server that knows nothing of reports."""
    TEMPORARY = "temporary"
    PERMANENT = "permanent"


class Failure(msgspec.Struct, frozen=True):
    """Why an attempt failed for everybody in it."""

    ending: Ending
    status: str
    """An enhanced status code (RFC 3463)."""
    diagnostic: str = ""
    """The other server's reply; empty: none was heard."""
    remote: str = ""
    detail: str = ""
    """For logs: without addresses."""


class Result(msgspec.Struct, frozen=True):
    """The ending of one recipient."""

    recipient: QueuedRecipient
    ending: Ending
    status: str
    diagnostic: str = ""
    remote: str = ""


NO_SUCH_DOMAIN: Final = "5.1.2"
NULL_MX: Final = "5.1.10"
NO_ROUTE: Final = "5.4.4"
LOOP: Final = "5.4.6"
DNS_FAILED: Final = "4.4.3"
NO_ANSWER: Final = "4.4.1"
CONNECTION_LOST: Final = "4.4.2"
TLS_NEEDED: Final = "5.7.10"
TLS_FAILED: Final = "4.7.5"
EXPIRED: Final = "5.4.7"
BAD_ADDRESS: Final = "5.1.3"
BAD_CONTENT: Final = "5.6.0"


def all_alike(recipients: tuple[QueuedRecipient, ...], failure: Failure) -> list[Result]:
    """Give every recipient the same ending."""
    return [
        Result(recipient, failure.ending, failure.status, failure.diagnostic, failure.remote)
        for recipient in recipients
    ]
