"""Stage 1: who sends what to whom, and where it came from (RFC 5321 section 2.3.1)."""

from dataclasses import dataclass

from postkeep.base.address import Address
from postkeep.base.ids import NOBODY
from postkeep.protocols.smtp.parameters import NO_RCPT_PARAMETERS, MailParameters, RcptParameters
from postkeep.services.authority.api import Route


@dataclass(frozen=True, slots=True)
class Origin:
    """The session that a message came by."""

    hello: str
    network: str
    """The client's IP address; empty: not to be shown (submission)."""
    extended: bool
    tls: str = ""
    """Protocol and cipher, as `TLSv1.3 TLS_AES_256_GCM_SHA384`; empty: in the clear."""
    tenant: bytes = b""
    """The company of the sender who has signed in; empty: a stranger."""
    principal: bytes = b""

    @property
    def inside(self) -> bool:
        """Whether the sender has signed in."""
        return bool(self.principal)


@dataclass(frozen=True, slots=True)
class EnvelopeRecipient:
    """One RCPT and what the directory said of it."""

    address: Address
    route: Route
    parameters: RcptParameters = NO_RCPT_PARAMETERS

    @property
    def tenant(self) -> bytes:
        """The company whose address it is; NOBODY where the directory does not say."""
        if self.route.tenant or not self.route.recipients:
            return self.route.tenant or NOBODY
        return self.route.recipients[0].key.tenant


@dataclass(frozen=True, slots=True)
class Envelope:
    """One transaction."""

    id: str
    """Shown in the reply, in Received and in logs."""
    origin: Origin
    sender: Address | None
    """None: the null reverse-path."""
    parameters: MailParameters
    recipients: tuple[EnvelopeRecipient, ...]
