"""Stage 6: who gets a copy, company by company, and who is served through the queue. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from postkeep.base.address import Address, parse_address
from postkeep.protocols.smtp.parameters import NO_RCPT_PARAMETERS, RcptParameters
from postkeep.services.authority.api import Recipient
from postkeep.services.delivery.envelope import Envelope, EnvelopeRecipient
from postkeep.services.kms.api import SignedPublicKey
from postkeep.services.queue.envelope import QueuedRecipient


@dataclass(frozen=True, slots=True)
class Outbound:
    """Recipients at one domain outside, and the sender that its servers are shown."""

    destination: str
    reverse_path: str
    recipients: tuple[QueuedRecipient, ...]

    @property
    def is_ascii(self) -> bool:
        """Whether every address can be named without SMTPUTF8."""
        return self.reverse_path.isascii() and all(found.address.isascii() for found in self.recipients)


@dataclass(slots=True)
class Copies:
    """What one company's part of the vault gets of a message."""

    tenant: bytes
    keys: dict[bytes, SignedPublicKey] = field(default_factory=dict)
    """Principals with an inbox copy, each once however many addresses led to it."""


def local_copies(envelope: Envelope) -> dict[bytes, Copies]:
    """Return the inbox copies by tenant."""
    copies: dict[bytes, Copies] = {}
    for recipient in envelope.recipients:
        for member in recipient.route.recipients:
            _add(copies, member)
    return copies


def _add(copies: dict[bytes, Copies], member: Recipient) -> None:
    key = member.key
    of_tenant = copies.get(key.tenant)
    if of_tenant is None:
        of_tenant = copies[key.tenant] = Copies(key.tenant)
    of_tenant.keys[key.principal] = key


def group_outbound(recipient: EnvelopeRecipient, *, null_sender: bool) -> list[Outbound]:
    """Return what goes out because a group has members outside.

    Its sender is the group's address, so that reports of failure come to us and the outside servers see a
    sender of ours; a message with the null reverse-path keeps it, so that no report is answered by a report.
    """
    members = [(parse_address(member), NO_RCPT_PARAMETERS) for member in recipient.route.forwards]
    return by_destination("" if null_sender else str(recipient.address), members)


def by_destination(reverse_path: str, recipients: Iterable[tuple[Address, RcptParameters]]) -> list[Outbound]:
    """Group recipients by their domain: one queue item each, since one server takes them all at once."""
    domains: dict[str, list[QueuedRecipient]] = {}
    for address, parameters in recipients:
        queued = QueuedRecipient(str(address), parameters.notify, parameters.orcpt)
        domains.setdefault(address.domain, []).append(queued)
    return [Outbound(domain, reverse_path, tuple(queued)) for domain, queued in domains.items()]
