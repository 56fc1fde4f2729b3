"""Sessions with other servers: connecting along a route, sending, and reading their replies as results."""

import contextlib
import ssl
from typing import Final, NamedTuple

from postkeep.base.errors import InvalidInputError, PostkeepError
from postkeep.faces.relay.lookup import Lookup, Target
from postkeep.faces.relay.results import (
    BAD_ADDRESS,
    BAD_CONTENT,
    CONNECTION_LOST,
    NO_ANSWER,
    TLS_FAILED,
    TLS_NEEDED,
    Ending,
    Failure,
    Result,
    all_alike,
)
from postkeep.faces.relay.route import RouteError
from postkeep.protocols.smtp.parameters import MailParameters, RcptParameters
from postkeep.protocols.smtp.path import parse_mailbox
from postkeep.protocols.smtp.replies import Reply
from postkeep.services.queue.envelope import QueuedRecipient, QueueEnvelope
from postkeep.services.smtpclient import (
    RecipientParams,
    SmtpClient,
    SmtpReplyError,
    Timeouts,
    TlsFailedError,
    TlsMode,
)

TIMEOUTS: Final = Timeouts(connect=10.0, greeting=60.0, command=60.0, data=60.0, content=240.0)
"""Shorter than RFC 5321 section 4.5.3.2 asks at most: an attempt as a whole is bounded too."""
_DIAGNOSTIC_CHARACTERS_MAX: Final = 500
_CLOSING: Final = 421


class Session:
    """A connection that is ready for messages to one destination."""

    def __init__(self, client: SmtpClient, remote: str) -> None:
        self._client = client
        self.remote = remote
        self._broken = False

    @property
    def broken(self) -> bool:
        """Whether nothing more can be sent over it."""
        return self._broken or self._client.closed

    async def send(self, envelope: QueueEnvelope, content: bytes) -> list[Result]:
        """Send one message; return how it ended for every recipient, whatever the server does."""
        wanted, results = _parse_recipients(envelope)
        if not wanted:
            return results
        recipients = tuple(recipient for recipient, _ in wanted)
        try:
            sender = parse_mailbox(envelope.reverse_path) if envelope.reverse_path else None
            replies = await self._client.send(
                sender, [params for _, params in wanted], content, params=_mail_parameters(envelope)
            )
        except InvalidInputError as error:
            self._break()
            failure = Failure(Ending.PERMANENT, BAD_CONTENT, detail=error.detail)
            return results + all_alike(recipients, failure)
        except SmtpReplyError as error:
            self._break()
            return results + [self._result(recipient, error.reply, taken=False) for recipient in recipients]
        except PostkeepError as error:
            self._break()
            failure = Failure(Ending.TEMPORARY, CONNECTION_LOST, "", self.remote, error.code)
            return results + all_alike(recipients, failure)
        if any(reply.reply.code == _CLOSING for reply in replies):
            self._break()
        return results + [
            self._result(recipient, reply.reply, taken=reply.delivered)
            for recipient, reply in zip(recipients, replies, strict=True)
        ]

    def _result(self, recipient: QueuedRecipient, reply: Reply, *, taken: bool) -> Result:
        if taken:
            ending = Ending.DELIVERED if "DSN" in self._client.extensions else Ending.RELAYED
            return Result(recipient, ending, reply.enhanced or "2.0.0", _said(reply), self.remote)
        return Result(recipient, _ending(reply), _status(reply), _said(reply), self.remote)

    def _break(self) -> None:
        self._broken = True
        self._client.close()

    def abandon(self) -> None:
        """Close without a goodbye."""
        self._break()

    async def quit(self) -> None:
        """Say goodbye."""
        if self.broken:
            self._client.close()
        else:
            await self._client.quit()


class TlsContexts(NamedTuple):
    """How to speak TLS: with anybody, or only with whoever proves to be the server."""

    opportunistic: ssl.SSLContext
    verified: ssl.SSLContext


def make_contexts() -> TlsContexts:
    """Make the contexts of this process.

    The opportunistic one believes any certificate: without it the mail would go in the clear (RFC 7435).
    """
    opportunistic = ssl.create_default_context()
    opportunistic.check_hostname = False
    opportunistic.verify_mode = ssl.CERT_NONE
    return TlsContexts(opportunistic, ssl.create_default_context())


class Connector:
    """Opens sessions along the route to a destination."""

    def __init__(self, lookup: Lookup, hello_name: str, contexts: TlsContexts) -> None:
        self._lookup = lookup
        self._hello_name = hello_name
        self._contexts = contexts

    async def connect(self, destination: str, *, tls_required: bool) -> Session:
        """Return a session with the first server that takes us; raise RouteError if none does."""
        trouble: Failure | None = None
        async with contextlib.aclosing(self._lookup.targets(destination)) as targets:
            async for target in targets:
                try:
                    client = await self._try(target, tls_required=tls_required)
                except SmtpReplyError as error:
                    reply = error.reply
                    failure = Failure(_ending(reply), _status(reply), _said(reply), target.name)
                except TlsFailedError as error:
                    ending, status = Ending.TEMPORARY, TLS_FAILED
                    if tls_required:
                        ending, status = Ending.PERMANENT, TLS_NEEDED
                    failure = Failure(ending, status, "", target.name, error.detail)
                except PostkeepError as error:
                    failure = Failure(Ending.TEMPORARY, NO_ANSWER, "", target.name, error.detail)
                else:
                    return Session(client, target.name)
                if trouble is None or failure.ending is Ending.TEMPORARY:
                    trouble = failure
        raise RouteError(trouble or Failure(Ending.TEMPORARY, NO_ANSWER))

    async def _try(self, target: Target, *, tls_required: bool) -> SmtpClient:
        if tls_required:
            return await self._open(target, "required", self._contexts.verified)
        try:
            return await self._open(target, "opportunistic", self._contexts.opportunistic)
        except TlsFailedError:
            # A server that offers TLS and can't do it still gets the mail, as before it offered TLS.
            return await self._open(target, "none", None)

    async def _open(self, target: Target, tls: TlsMode, context: ssl.SSLContext | None) -> SmtpClient:
        return await SmtpClient.connect(
            target.address,
            target.port,
            server_name=target.name.strip("[]").removeprefix("IPv6:"),
            hello_name=self._hello_name,
            tls=tls,
            ssl_context=context,
            timeouts=TIMEOUTS,
        )


def _parse_recipients(
    envelope: QueueEnvelope,
) -> tuple[list[tuple[QueuedRecipient, RecipientParams]], list[Result]]:
    wanted: list[tuple[QueuedRecipient, RecipientParams]] = []
    results: list[Result] = []
    for recipient in envelope.recipients:
        try:
            address = parse_mailbox(recipient.address)
        except InvalidInputError:
            results.append(Result(recipient, Ending.PERMANENT, BAD_ADDRESS))
            continue
        parameters = RcptParameters(recipient.notify, recipient.orcpt)
        wanted.append((recipient, RecipientParams(address, parameters)))
    return wanted, results


def _mail_parameters(envelope: QueueEnvelope) -> MailParameters:
    return MailParameters(
        body=envelope.body, smtputf8=envelope.smtputf8, ret=envelope.ret, envid=envelope.envid
    )


def _ending(reply: Reply) -> Ending:
    return Ending.PERMANENT if reply.code >= 500 else Ending.TEMPORARY  # noqa: PLR2004 - RFC 5321 4.2.1


def _status(reply: Reply) -> str:
    """Return the enhanced status code, or an unspecified one of the reply's class."""
    if reply.enhanced and reply.enhanced[0] == str(reply.code)[0]:
        return reply.enhanced
    return "5.0.0" if reply.code >= 500 else "4.0.0"  # noqa: PLR2004 - RFC 5321 4.2.1


def _said(reply: Reply) -> str:
    text = " ".join(f"{reply.code} {reply.enhanced} {reply.text}".split())
    return text[:_DIAGNOSTIC_CHARACTERS_MAX]
