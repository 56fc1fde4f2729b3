"""What a report says, as values, and when a sender wants one."""

from collections.abc import Collection
from enum import StrEnum

import msgspec


class Action(StrEnum):
    """What became of the message for one recipient (RFC 3464 section 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    """Handed to a server that does not know how to report."""


class ReportedRecipient(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient of the message that the report is about."""

    address: str
    action: Action
    status: str
    """An enhanced status code (RFC 3463), as `5.1.1`."""
    orcpt: str = ""
    """The original recipient as `type;address`, xtext taken off; empty: not given."""
    diagnostic: str = ""
    """The other server's reply, as `550 5.1.1 no such user`; empty: no server said anything."""
    remote: str = ""
    """The name of the server that said it."""
    last_attempt_ms: int = 0
    retry_until_ms: int = 0
    """Delays: when we give up."""


class Original(msgspec.Struct, frozen=True, kw_only=True):
    """The message that the report is about."""

    content: bytes
    """The message, or at least its header."""
    arrival_ms: int
    envid: str = ""
    ret: str = ""
    """`FULL`, `HDRS` or empty (RFC 3461 section 4.3)."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One report, to one sender."""

    sender: str
    """The reverse-path of the message: where the report goes."""
    reporting_mta: str
    """Our host name."""
    recipients: tuple[ReportedRecipient, ...]
    message_id: str
    """Of the report itself, without angle brackets."""
    now_ms: int


_NOTIFY = {
    Action.FAILED: "FAILURE",
    Action.DELAYED: "DELAY",
    Action.DELIVERED: "SUCCESS",
    Action.RELAYED: "SUCCESS",
}


def wants(notify: Collection[str], action: Action) -> bool:
    """Whether a sender who said `notify` at RCPT wants to hear of this (RFC 3461 section 4.1).

    One who said nothing hears of failures and delays.
    """
    if not notify:
        return action in (Action.FAILED, Action.DELAYED)
    return _NOTIFY[action] in notify
