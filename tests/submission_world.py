"""The submission face over real sockets, with an authority and keepers played around it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from tests.delivery_world import World
from tests.tls_material import PEM, client_context

from postkeep.base.address import parse_address
from postkeep.base.errors import RefusedError
from postkeep.base.ids import new_id
from postkeep.faces.sasl import MECHANISMS, SCRAM_PLUS
from postkeep.faces.smtp.face import Connections, FaceSettings
from postkeep.faces.submission.connection import SubmissionConnection
from postkeep.faces.submission.sessions import Sessions
from postkeep.faces.tls import server_context
from postkeep.protocols.sasl import SaslError
from postkeep.protocols.sasl.bearer import CANCEL, write_oauthbearer, write_xoauth2
from postkeep.protocols.sasl.login import LoginClient
from postkeep.protocols.sasl.plain import write_plain
from postkeep.protocols.sasl.scram import ScramClient, ScramServer, derive_keys, read_client_first
from postkeep.protocols.smtp.parameters import MailParameters
from postkeep.protocols.smtp.server import ServerSettings
from postkeep.services.authority.api import (
    Done,
    RenewUser,
    ScramChallenge,
    ScramFinish,
    ScramStart,
    SignedIn,
    SignIn,
    SignOut,
)
from postkeep.services.authority.tokens_api import TokenSignIn
from postkeep.services.delivery.submit import Submitter
from postkeep.services.smtpclient import RecipientParams, RecipientReply, SmtpClient

ACME, OTHER = new_id(), new_id()
PASSWORD = "correct horse"
MESSAGE = (
    b"From: ann@acme.example\r\nTo: x@far.example\r\nBcc: y@far.example\r\nSubject: out\r\n\r\nhello\r\n"
)
ANN = parse_address("ann@acme.example")

TOKEN = "pkt_right"
END_POINT = server_context(PEM).end_point


class Authority:
    """Accounts of the test: one person, one password."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ann = world.person("ann@acme.example", ACME)
        self.asked: list[SignIn | ScramStart | TokenSignIn] = []
        self.ended: list[bytes] = []
        self.renewed = 0
        self.revoked = False
        self.error: Exception | None = None
        self._exchanges: dict[bytes, ScramServer] = {}

    def _signed_in(self, server_final: bytes = b"") -> SignedIn:
        return SignedIn(
            ticket=b"ticket of ann",
            expires=self.world.clock.now_seconds() + 600,
            session=new_id(),
            tenant=ACME,
            principal=self.ann.key.principal,
            public_key=self.ann.key,
            addresses=["ann@acme.example", "sales@acme.example"],
            server_final=server_final,
        )

    async def sign_in(self, request: SignIn) -> SignedIn:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        if (request.address, request.password) != ("ann@acme.example", PASSWORD):
            raise RefusedError(code="refused.credentials")
        return self._signed_in()

    async def token_sign_in(self, request: TokenSignIn) -> SignedIn:
        self.asked.append(request)
        if (request.address, request.token) != ("ann@acme.example", TOKEN):
            raise RefusedError(code="refused.credentials")
        return self._signed_in()

    async def scram_start(self, request: ScramStart) -> ScramChallenge:
        self.asked.append(request)
        exchange = new_id()
        first = read_client_first(request.client_first, plus=request.plus, offered=bool(request.end_point))
        self._exchanges[exchange] = ScramServer(first, b"s" * 16, binding=request.end_point)
        return ScramChallenge(exchange, self._exchanges[exchange].server_first)

    async def scram_finish(self, request: ScramFinish) -> SignedIn:
        keys = derive_keys(PASSWORD, b"s" * 16)
        try:
            _, final = self._exchanges.pop(request.exchange).finish(request.client_final, [keys])
        except SaslError as error:
            raise RefusedError(code="refused.credentials") from error
        return self._signed_in(final)

    async def renew_user(self, request: RenewUser) -> SignedIn:
        if self.revoked:
            raise RefusedError
        self.renewed += 1
        return self._signed_in()

    async def sign_out(self, request: SignOut) -> Done:
        self.ended.append(request.session)
        return Done()


class Sasl:
    """The client's half of an exchange, for our own client."""

    def __init__(self, mechanism: str, password: str = PASSWORD, *, late: bool = False) -> None:
        self.mechanism = mechanism
        self._late = late
        self._password = password
        self._token = TOKEN if password == PASSWORD else "pkt_wrong"
        self._login = LoginClient("ann@acme.example", password)
        binding = END_POINT if mechanism == SCRAM_PLUS else b""
        self._scram = ScramClient("ann@acme.example", password, binding=binding)
        self._steps = 0

    def initial(self) -> bytes | None:
        if self.mechanism == "LOGIN" or self._late:
            return None
        return self._first()

    def _first(self) -> bytes:
        if self.mechanism == "PLAIN":
            return write_plain("ann@acme.example", self._password)
        if self.mechanism == "OAUTHBEARER":
            return write_oauthbearer(self._token, "ann@acme.example")
        if self.mechanism == "XOAUTH2":
            return write_xoauth2(self._token, "ann@acme.example")
        return self._scram.client_first

    def respond(self, challenge: bytes) -> bytes:
        if self.mechanism == "LOGIN":
            return self._login.answer(challenge)
        self._steps += 1
        if self._late and self._steps == 1:
            return self._first()
        if self.mechanism in {"OAUTHBEARER", "XOAUTH2"}:
            assert b'"scope":"submission"' in challenge
            return CANCEL if self.mechanism == "OAUTHBEARER" else b""
        if self._steps == 1 + self._late:
            return self._scram.receive_first(challenge)
        self._scram.receive_final(challenge)
        return b""


class Office:
    """A running face in a small world."""

    def __init__(self) -> None:
        self.world = World()
        self.authority = Authority(self.world)
        self.ann = self.authority.ann
        self.bob = self.world.person("bob@acme.example", ACME)
        self.eve = self.world.person("eve@other.example", OTHER)
        self.world.person("full@acme.example", ACME, full=True)
        self.connections = Connections(connections_max=100, tick_seconds=0.05)
        self.sessions = Sessions(self.authority, self.world.clock)
        self.starttls_port = self.tls_port = 0

    async def client(self, *, tls: str = "implicit", sign_in: bool = True) -> SmtpClient:
        port = self.tls_port if tls == "implicit" else self.starttls_port
        context = None if tls == "none" else client_context()
        options: dict[str, Any] = {"tls": tls, "ssl_context": context, "server_name": "localhost"}
        client = await SmtpClient.connect("127.0.0.1", port, hello_name="laptop.example", **options)
        if sign_in:
            await client.sign_in(Sasl("PLAIN"))
        return client


def serve(scenario: Callable[[Office], Awaitable[None]]) -> None:
    async def run() -> None:
        office = Office()
        loop = asyncio.get_running_loop()
        submitter = Submitter(office.world.pipeline(), office.world)
        server = ServerSettings(
            "mail.acme.example", 100_000, 100, starttls=True, mechanisms=MECHANISMS, auth_required=True
        )
        listeners = []
        for implicit in (False, True):
            settings = FaceSettings(server, server_context(PEM), implicit)
            listeners.append(
                await loop.create_server(
                    lambda settings=settings: SubmissionConnection(  # type: ignore[misc]
                        settings,
                        office.connections,
                        authority=office.authority,
                        sessions=office.sessions,
                        view=office.world,
                        submitter=submitter,
                    ),
                    "127.0.0.1",
                    0,
                )
            )
        office.starttls_port, office.tls_port = (
            listener.sockets[0].getsockname()[1] for listener in listeners
        )
        try:
            async with asyncio.timeout(20):
                await scenario(office)
        finally:
            for listener in listeners:
                listener.close()
            await office.connections.drain()
            await asyncio.sleep(0.05)
            await office.sessions.close()
        assert len(office.connections) == len(office.sessions) == 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def send(client: SmtpClient, *names: str, data: bytes = MESSAGE, **params: Any) -> list[RecipientReply]:
    recipients = [RecipientParams(parse_address(name)) for name in names]
    return await client.send(ANN, recipients, data, params=MailParameters(**params))
