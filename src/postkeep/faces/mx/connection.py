"""An inbound SMTP session: what MAIL, RCPT and a message mean to the mx."""

from collections.abc import Coroutine
from typing import Any, Protocol

from postkeep.base.address import Address
from postkeep.base.errors import InvalidInputError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.faces.mx.routes import reply_for_route
from postkeep.faces.smtp import replies
from postkeep.faces.smtp.connection import SmtpConnection
from postkeep.faces.smtp.face import Connections, FaceSettings
from postkeep.protocols.smtp.events import Content, Event, Mail, Rcpt
from postkeep.protocols.smtp.replies import SENDER_OK, Reply
from postkeep.services.authority.api import Route
from postkeep.services.delivery.envelope import Envelope, EnvelopeRecipient, Origin
from postkeep.services.delivery.pipeline import Pipeline


class RouteView(Protocol):
    """The directory as a face sees it: cached, and never older than it may be."""

    def cached(self, address: str) -> Route | None:
        """Return the route where it is known; None where it has to be asked for.

        Raises UnavailableError when the view is stale.
        """

    async def resolve(self, addresses: list[str]) -> list[Route]:
        """Return the routes in the order asked. Raises UnavailableError when nobody can say."""


class MxConnection(SmtpConnection):
    """One session."""

    def __init__(
        self, settings: FaceSettings, connections: Connections, view: RouteView, pipeline: Pipeline
    ) -> None:
        super().__init__(settings, connections)
        self._view = view
        self._pipeline = pipeline
        self._mail: Mail | None = None
        self._recipients: list[EnvelopeRecipient] = []

    def handle(self, event: Event) -> Reply | Coroutine[Any, Any, Reply | None]:
        """Answer MAIL and known recipients at once; look up others, and deliver, in a task."""
        if isinstance(event, Rcpt):
            return self._rcpt(event)
        if isinstance(event, Mail):
            self._mail = event
            self._recipients = []
            return SENDER_OK
        assert isinstance(event, Content)
        return self._deliver(event)

    def reset(self) -> None:
        """Forget the transaction."""
        self._mail = None
        self._recipients = []

    def _rcpt(self, event: Rcpt) -> Reply | Coroutine[Any, Any, Reply | None]:
        recipient = event.recipient
        if not recipient.domain:
            recipient = Address(recipient.local, self.settings.server.hostname)
            event = Rcpt(recipient, event.parameters)
        elif recipient.domain.startswith("["):
            return replies.NO_RELAY
        try:
            route = self._view.cached(recipient.key)
        except UnavailableError:
            return replies.STALE
        if route is None:
            return self._look_up(event)
        return self._decide(event, route)

    async def _look_up(self, event: Rcpt) -> Reply:
        try:
            route = (await self._view.resolve([event.recipient.key]))[0]
        except UnavailableError:
            return replies.STALE
        except InvalidInputError:
            return replies.NO_SUCH_USER
        return self._decide(event, route)

    def _decide(self, event: Rcpt, route: Route) -> Reply:
        size = self._mail.parameters.size if self._mail else 0
        reply = reply_for_route(route, self._pipeline.full, size)
        if reply.positive:
            self._recipients.append(EnvelopeRecipient(event.recipient, route, event.parameters))
        return reply

    async def _deliver(self, event: Content) -> Reply:
        assert self._mail is not None
        began = self._loop.time()
        envelope = Envelope(
            id=new_id().hex(),
            origin=Origin(self.core.hello, self.peer, self.core.extended, self.tls_description),
            sender=self._mail.sender,
            parameters=self._mail.parameters,
            recipients=tuple(self._recipients),
        )
        self.reset()
        await self._pipeline.deliver(envelope, event.content)
        self.connections.log.info(
            "accepted",
            id=envelope.id,
            size=len(event.content),
            recipient_count=len(envelope.recipients),
            tls=bool(envelope.origin.tls),
            ms=round((self._loop.time() - began) * 1000, 1),
        )
        return replies.accepted(envelope.id)
