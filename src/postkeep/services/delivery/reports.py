"""Reports to the sender about what happened after the 250, or as the sender asked (RFC 3461, 3464). Pure."""

from collections.abc import Mapping
from typing import Final

from postkeep.base.errors import QuotaError
from postkeep.base.ids import new_id
from postkeep.protocols.dsn import Action, Original, Report, ReportedRecipient, build, wants
from postkeep.services.delivery.envelope import EnvelopeRecipient
from postkeep.services.delivery.received import Received

_STATUS: Final = {QuotaError.code: "5.2.2", "not_found": "5.1.1"}
_DIAGNOSTIC: Final = {
    QuotaError.code: "552 5.2.2 The mailbox is full",
    "not_found": "550 5.1.1 No such mailbox here",
}


def compose(received: Received, failed: Mapping[bytes, str], hostname: str, now_ms: int) -> bytes | None:
    """Write the report that a message calls for, or None.

    `failed`: error codes by principal who will never get the message. A recipient is reported under the
    address that the sender used: who is behind a group or an alias is not the sender's business.
    """
    envelope = received.envelope
    if envelope.sender is None:
        return None
    reported = []
    for recipient in envelope.recipients:
        found = _reported(recipient, failed)
        if wants(recipient.parameters.notify, found.action):
            reported.append(found)
    if not reported:
        return None
    reported.sort(key=lambda recipient: recipient.action is not Action.FAILED)
    report = Report(
        sender=str(envelope.sender),
        reporting_mta=hostname,
        recipients=tuple(reported),
        message_id=f"{new_id().hex()}@{hostname}",
        now_ms=now_ms,
    )
    parameters = envelope.parameters
    original = Original(
        content=received.message,
        arrival_ms=received.received_ms,
        envid=parameters.envid,
        ret=parameters.ret,
    )
    return build(report, original)


def _reported(recipient: EnvelopeRecipient, failed: Mapping[bytes, str]) -> ReportedRecipient:
    codes = [
        failed[member.key.principal]
        for member in recipient.route.recipients
        if member.key.principal in failed
    ]
    return ReportedRecipient(
        address=str(recipient.address),
        orcpt=recipient.parameters.orcpt,
        action=Action.FAILED if codes else Action.DELIVERED,
        status=_STATUS.get(codes[0], "5.0.0") if codes else "2.1.5",
        diagnostic=_DIAGNOSTIC.get(codes[0], "") if codes else "",
    )
