"""What the SMTP client takes and gives."""

from dataclasses import dataclass
from typing import Literal

from postkeep.base.address import Address
from postkeep.base.errors import PostkeepError
from postkeep.protocols.smtp.client import Step
from postkeep.protocols.smtp.parameters import NO_RCPT_PARAMETERS, RcptParameters
from postkeep.protocols.smtp.replies import Reply

TlsMode = Literal["none", "opportunistic", "required", "implicit"]
"""`opportunistic`: STARTTLS where it is offered; `required`: or fail; `implicit`: TLS from the start."""


class SmtpReplyError(PostkeepError):
    """The server refused something that concerns the whole session; `reply` is what it said."""

    code = "smtp_reply"
    public_text = "The other mail server refused."

    def __init__(self, step: Step, reply: Reply) -> None:
        super().__init__(f"{step}: {reply.code} {reply.enhanced} {reply.text}", temporary=not _final(reply))
        self.step = step
        self.reply = reply


class TlsFailedError(PostkeepError):
    """TLS was asked for and did not come about."""

    code = "tls_failed"
    temporary = True
    public_text = "No secure connection to the other mail server was possible."


def _final(reply: Reply) -> bool:
    return reply.code >= 500  # noqa: PLR2004 - RFC 5321 section 4.2.1


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for each step (RFC 5321 section 4.5.3.2)."""

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    data: float = 120.0
    content: float = 600.0
    """For the reply to the message's end."""
    octets_per_second_min: float = 4096.0
    """Added to `content`: time for a message's octets at this rate."""
    quit: float = 5.0
    """Politeness: the message is settled by then."""


@dataclass(frozen=True, slots=True)
class RecipientParams:
    """One recipient to name in RCPT."""

    address: Address
    parameters: RcptParameters = NO_RCPT_PARAMETERS


@dataclass(frozen=True, slots=True)
class RecipientReply:
    """How it ended for one recipient: the reply that decided, and the step it answered."""

    address: Address
    step: Step
    reply: Reply

    @property
    def delivered(self) -> bool:
        """Whether the server has taken responsibility for this recipient."""
        return self.step is Step.CONTENT and self.reply.positive
