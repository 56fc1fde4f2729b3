"""A submission session: who has signed in, as whom they may write, and where their message goes."""

from collections.abc import Coroutine
from typing import Any

from postkeep.base.errors import InvalidInputError, PostkeepError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.faces.mx.connection import RouteView
from postkeep.faces.mx.routes import reply_for_route
from postkeep.faces.sasl import Client, Exchange, SignInService, new_exchange
from postkeep.faces.smtp import replies
from postkeep.faces.smtp.connection import SmtpConnection
from postkeep.faces.smtp.face import Connections, FaceSettings
from postkeep.faces.submission.sessions import Session, Sessions
from postkeep.faces.submission.signin import reply_for_failure
from postkeep.protocols.smtp.events import AuthResponse, AuthStart, Content, Event, Mail, Rcpt
from postkeep.protocols.smtp.replies import AUTH_OK, BAD_RECIPIENT, RECIPIENT_OK, SENDER_OK, Reply
from postkeep.services.authority.api import Route, SignedIn
from postkeep.services.delivery.envelope import Envelope, EnvelopeRecipient, Origin
from postkeep.services.delivery.submit import Author, Submitter
from postkeep.services.delivery.submitted import prepare


class SubmissionConnection(SmtpConnection):
    """One session."""

    def __init__(
        self,
        settings: FaceSettings,
        connections: Connections,
        *,
        authority: SignInService,
        sessions: Sessions,
        view: RouteView,
        submitter: Submitter,
    ) -> None:
        super().__init__(settings, connections)
        self._authority = authority
        self._sessions = sessions
        self._view = view
        self._submitter = submitter
        self._exchange: Exchange | None = None
        self._session: Session | None = None
        self._mail: Mail | None = None
        self._recipients: list[EnvelopeRecipient] = []

    def handle(self, event: Event) -> Reply | Coroutine[Any, Any, Reply | None]:
        """Answer MAIL and known recipients at once; sign in, look up and send in a task."""
        if isinstance(event, Mail):
            return self._mail_from(event)
        if isinstance(event, Rcpt):
            return self._rcpt(event)
        if isinstance(event, AuthStart):
            client = Client("submission", self.peer, self.core.hello, self.tls_end_point)
            self._exchange = new_exchange(event.mechanism, self._authority, client)
            return self._sign_in(self._exchange, event.initial)
        if isinstance(event, AuthResponse):
            assert self._exchange is not None
            return self._sign_in(self._exchange, event.response)
        assert isinstance(event, Content)
        return self._submit(event)

    def reset(self) -> None:
        """Forget the transaction."""
        self._mail = None
        self._recipients = []

    def ended(self) -> None:
        """Sign out."""
        if self._session is not None:
            self._sessions.end(self._session)

    def session_ended(self) -> None:
        """Cut the connection: the session was revoked."""
        self.end(replies.SESSION_ENDED)

    # --- Signing in ---

    async def _sign_in(self, exchange: Exchange, message: bytes | None) -> Reply | None:
        try:
            outcome = await exchange.step(message)
        except PostkeepError as error:
            self.connections.log.info("sign_in_refused", code=error.code)
            return reply_for_failure(error)
        if isinstance(outcome, SignedIn):
            self._session = self._sessions.begin(outcome, self)
            if self.is_gone:
                self._sessions.end(self._session)
            return AUTH_OK
        if self.core.waiting:
            self.core.challenge(outcome)
        return None

    # --- The envelope ---

    def _mail_from(self, event: Mail) -> Reply:
        session = self._session
        if session is None:
            return replies.SESSION_ENDED
        if event.sender is not None and event.sender.key not in session.addresses:
            return replies.WRONG_SENDER
        self._mail = event
        self._recipients = []
        return SENDER_OK

    def _rcpt(self, event: Rcpt) -> Reply | Coroutine[Any, Any, Reply | None]:
        if not event.recipient.domain or event.recipient.domain.startswith("["):
            return BAD_RECIPIENT
        try:
            route = self._view.cached(event.recipient.key)
        except UnavailableError:
            return replies.STALE
        return self._look_up(event) if route is None else self._decide(event, route)

    async def _look_up(self, event: Rcpt) -> Reply:
        try:
            route = (await self._view.resolve([event.recipient.key]))[0]
        except UnavailableError:
            return replies.STALE
        except InvalidInputError:
            return BAD_RECIPIENT
        return self._decide(event, route)

    def _decide(self, event: Rcpt, route: Route) -> Reply:
        size = self._mail.parameters.size if self._mail else 0
        reply = (
            RECIPIENT_OK if route.status == "foreign" else reply_for_route(route, self._submitter.full, size)
        )
        if reply.positive:
            self._recipients.append(EnvelopeRecipient(event.recipient, route, event.parameters))
        return reply

    # --- The message ---

    async def _submit(self, event: Content) -> Reply:
        session, mail = self._session, self._mail
        if session is None or mail is None:
            return replies.SESSION_ENDED
        began = self._loop.time()
        user = session.signed_in
        if self._sessions.now_ms() >= user.expires * 1000:
            # Part of a submission needs no ticket of the user's; none of it goes on without one in force.
            return replies.AUTH_UNAVAILABLE
        message_id = new_id().hex()
        origin = Origin(
            self.core.hello, "", self.core.extended, self.tls_description, user.tenant, user.principal
        )
        envelope = Envelope(message_id, origin, mail.sender, mail.parameters, tuple(self._recipients))
        self.reset()
        domain = user.addresses[0].rpartition("@")[2] if user.addresses else self.settings.server.hostname
        prepared = prepare(
            event.content,
            session.addresses,
            message_id=f"{message_id}@{domain}",
            now_ms=self._sessions.now_ms(),
        )
        author = Author(user.public_key, user.ticket)
        await self._submitter.submit(envelope, prepared.content, author, save_sent=prepared.save_sent)
        self.connections.log.info(
            "submitted",
            id=message_id,
            size=len(event.content),
            recipient_count=len(envelope.recipients),
            tls=True,
            ms=round((self._loop.time() - began) * 1000, 1),
        )
        return replies.accepted(message_id)
