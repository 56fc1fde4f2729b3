"""An SMTP client on sockets, around the sans-IO core: the relay sends with it, tests drive servers with it.

`client.SmtpClient` connects, says hello, begins TLS, signs in, and sends messages; every recipient gets its
own reply. `transaction` is one message, `wire` the socket, `values` what goes in and comes out.
"""

from postkeep.services.smtpclient.client import SmtpClient
from postkeep.services.smtpclient.values import (
    RecipientParams,
    RecipientReply,
    SmtpReplyError,
    Timeouts,
    TlsFailedError,
    TlsMode,
)

__all__ = [
    "RecipientParams",
    "RecipientReply",
    "SmtpClient",
    "SmtpReplyError",
    "Timeouts",
    "TlsFailedError",
    "TlsMode",
]
