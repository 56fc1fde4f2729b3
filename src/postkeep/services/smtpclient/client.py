"""The SMTP client: connect, send, quit; one reply for every recipient."""

import asyncio
import binascii
import contextlib
import ssl
from collections.abc import Sequence
from typing import Final, Protocol, Self

from postkeep.base.address import Address
from postkeep.base.errors import InvalidInputError, PostkeepError, UnavailableError
from postkeep.protocols.smtp.client import Answer, ClientConnection, Step
from postkeep.protocols.smtp.parameters import NO_MAIL_PARAMETERS, MailParameters
from postkeep.protocols.smtp.replies import Reply, SmtpProtocolError
from postkeep.services.smtpclient.transaction import Transaction
from postkeep.services.smtpclient.values import (
    RecipientParams,
    RecipientReply,
    SmtpReplyError,
    Timeouts,
    TlsFailedError,
    TlsMode,
)
from postkeep.services.smtpclient.wire import Wire

_NO_UTF8: Final = Reply(553, "5.6.7", "The next server does not take internationalised addresses")
_NO_8BIT: Final = Reply(554, "5.6.1", "The next server does not take 8-bit messages")
_TOO_LARGE: Final = Reply(552, "5.3.4", "The message is larger than the next server takes")
_GO_ON: Final = 334
_CLOSING: Final = 421
_DEFAULT_TIMEOUTS: Final = Timeouts()


class SaslClient(Protocol):
    """One side of a SASL exchange (RFC 4422)."""

    @property
    def mechanism(self) -> str:
        """As in `AUTH PLAIN`."""

    def initial(self) -> bytes | None:
        """Return the initial response, where the mechanism has one."""

    def respond(self, challenge: bytes) -> bytes:
        """Answer a challenge."""


class SmtpClient:
    """One connection to a server. Use it from one task; after an error, `close` it."""

    def __init__(self, wire: Wire, timeouts: Timeouts) -> None:
        self._wire = wire
        self._core = wire.core
        self._timeouts = timeouts

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        *,
        server_name: str = "",
        hello_name: str,
        tls: TlsMode = "opportunistic",
        ssl_context: ssl.SSLContext | None = None,
        timeouts: Timeouts = _DEFAULT_TIMEOUTS,
        source_address: str = "",
    ) -> Self:
        """Connect, say hello and begin TLS; the client is ready to send.

        `server_name`: the name that TLS asks for (default: `host`). Raises UnavailableError when nobody
        answers, SmtpReplyError when the server does not want us, TlsFailedError, SmtpProtocolError.
        """
        if tls != "none" and ssl_context is None:
            raise ValueError("TLS needs an ssl_context")
        loop = asyncio.get_running_loop()
        wire = Wire(ClientConnection(hello_name))
        name = server_name or host
        implicit = tls == "implicit"
        try:
            async with asyncio.timeout(timeouts.connect):
                await loop.create_connection(
                    lambda: wire,
                    host,
                    port,
                    local_addr=(source_address, 0) if source_address else None,
                    ssl=ssl_context if implicit else None,
                    server_hostname=name if implicit else None,
                )
        except ssl.SSLError as exc:
            raise TlsFailedError(str(exc)) from exc
        except (OSError, TimeoutError) as exc:
            raise UnavailableError(f"no connection: {exc!r}") from exc
        client = cls(wire, timeouts)
        try:
            await client._begin(tls, ssl_context, name)
        except BaseException:
            wire.abort()
            raise
        return client

    # --- What is known of the server ---

    @property
    def extensions(self) -> dict[str, str]:
        """Keywords of the server's EHLO reply with their parameters."""
        return self._core.extensions

    @property
    def tls_description(self) -> str:
        """Protocol and cipher; empty in the clear."""
        return self._wire.tls_description

    @property
    def closed(self) -> bool:
        """Whether the connection has gone, as after a server's idle timeout."""
        return self._wire.lost

    # --- The session ---

    async def _ask(self, seconds: float) -> Answer:
        await self._wire.flush(seconds)
        return await self._wire.answer(seconds)

    async def _demand(self, seconds: float) -> Reply:
        """Send and wait; raise SmtpReplyError for anything but success."""
        answer = await self._ask(seconds)
        if not answer.reply.positive:
            raise SmtpReplyError(answer.step, answer.reply)
        return answer.reply

    async def _begin(self, tls: TlsMode, context: ssl.SSLContext | None, server_name: str) -> None:
        await self._demand(self._timeouts.greeting)
        await self._hello()
        if tls in ("none", "implicit") or context is None:
            return
        if not self._core.supports("STARTTLS"):
            if tls == "required":
                raise TlsFailedError("STARTTLS is not offered")
            return
        self._core.starttls()
        answer = await self._ask(self._timeouts.command)
        if not answer.reply.positive:
            if tls == "required":
                raise TlsFailedError(f"STARTTLS was refused: {answer.reply.code}")
            return
        try:
            await self._wire.start_tls(context, server_name, self._timeouts.connect)
        except (OSError, TimeoutError) as exc:
            raise TlsFailedError(f"the handshake failed: {exc}") from exc
        self._core.tls_started()
        await self._hello()

    async def _hello(self) -> None:
        self._core.ehlo()
        answer = await self._ask(self._timeouts.command)
        if answer.reply.positive:
            return
        if answer.reply.temporary or answer.reply.code == _CLOSING:
            raise SmtpReplyError(answer.step, answer.reply)
        self._core.helo()
        await self._demand(self._timeouts.command)

    async def sign_in(self, sasl: SaslClient) -> None:
        """Authenticate (RFC 4954); raise SmtpReplyError when the server says no."""
        self._core.auth(sasl.mechanism, sasl.initial())
        answer = await self._ask(self._timeouts.command)
        while answer.reply.code == _GO_ON:
            self._core.auth_response(sasl.respond(_challenge(answer.reply)))
            answer = await self._ask(self._timeouts.command)
        if not answer.reply.positive:
            raise SmtpReplyError(answer.step, answer.reply)

    async def quit(self) -> None:
        """Say goodbye and close; never raises for what the server does."""
        try:
            with contextlib.suppress(PostkeepError):
                self._core.quit()
                await self._ask(self._timeouts.quit)
        finally:
            self.close()

    def close(self) -> None:
        """Close without a goodbye."""
        self._wire.abort()

    # --- Sending ---

    async def send(
        self,
        reverse_path: Address | None,
        recipients: Sequence[RecipientParams],
        data: bytes,
        *,
        params: MailParameters = NO_MAIL_PARAMETERS,
    ) -> list[RecipientReply]:
        """Send one message; return how it ended for every recipient, in their order.

        A message that the server can't take (SMTPUTF8, 8BITMIME, SIZE) is refused here as the server would.
        Raises InvalidInputError for a bare CR or LF in `data`, UnavailableError when the connection breaks
        (after the message's end it is unknown whether the server has it), SmtpProtocolError.
        """
        pairs = data.count(b"\r\n")
        if data.count(b"\r") != pairs or data.count(b"\n") != pairs:
            raise InvalidInputError("bare CR or LF in an outgoing message")
        refusal = self._unfit(data, params)
        if refusal is not None:
            return [RecipientReply(recipient.address, Step.MAIL, refusal) for recipient in recipients]
        parameters = MailParameters(len(data), params.body, params.smtputf8, params.ret, params.envid)
        transaction = Transaction(self._wire, self._timeouts, recipients)
        return await transaction.run(reverse_path, parameters, data)

    def _unfit(self, data: bytes, params: MailParameters) -> Reply | None:
        supports = self._core.supports
        if params.smtputf8 and not supports("SMTPUTF8"):
            return _NO_UTF8
        if not supports("8BITMIME") and not data.isascii():
            return _NO_8BIT
        size = self._core.extensions.get("SIZE", "")
        if size.isascii() and size.isdigit() and 0 < int(size) < len(data):
            return _TOO_LARGE
        return None


def _challenge(reply: Reply) -> bytes:
    try:
        return binascii.a2b_base64(reply.text.strip(), strict_mode=True) if reply.text.strip() else b""
    except ValueError as exc:
        raise SmtpProtocolError("a SASL challenge is not base64") from exc
