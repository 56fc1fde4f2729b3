"""Module instances get their tickets: enrolment with a one-time secret, renewal, operation tickets; and the
operator of the machine, known by the socket's peer, gets a staff ticket."""

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from postkeep.base.errors import RefusedError
from postkeep.base.ids import new_id
from postkeep.services.authority import api
from postkeep.services.authority.state import AuthorityState
from postkeep.tickets import entitlements, rules
from postkeep.tickets.clear import Grant
from postkeep.tickets.token import PUBLIC_KEY_BYTES

EXPECTED_SECONDS: Final = 30.0
"""How long a one-time secret is good: an instance enrols within a second of its start."""

SECRET_BYTES_MIN: Final = 16
_FINGERPRINT: Final = re.compile(r"(?:[0-9a-f]{64})?")
NAME_CHARACTERS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class _Expected:
    module: str
    secret_digest: bytes
    uid: int | None
    pid: int | None
    certificate: str
    until: float


class Caller(Protocol):
    """The process that asks, by the word of the kernel or of TLS; a `Connection`."""

    @property
    def uid(self) -> int | None:
        """Its user id on a Unix socket."""

    @property
    def pid(self) -> int | None:
        """Its number on a Unix socket."""

    @property
    def certificate(self) -> str:
        """SHA-256 of its certificate over TLS, hexadecimal."""


class Enrolments:
    """Which instances may enrol, once each, as the supervisor has said."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._expected: dict[str, _Expected] = {}

    def expect(  # noqa: PLR0917 - what the supervisor says of an instance, in its order
        self,
        module: str,
        instance: str,
        secret_digest: bytes,
        uid: int | None,
        pid: int | None = None,
        certificate: str = "",
    ) -> None:
        """Expect an instance; `secret_digest` is SHA-256 of its secret. A later word replaces an earlier.

        On this host it is known by its process and user id; on another by the SHA-256 of its certificate,
        hexadecimal. None or empty: it can't come that way.
        """
        now = self._monotonic()
        self._expected = {name: item for name, item in self._expected.items() if item.until > now}
        self._expected[instance] = _Expected(
            module, secret_digest, uid, pid, certificate, now + EXPECTED_SECONDS
        )

    def forget(self, instance: str) -> None:
        """Expect an instance no more: its process has ended, and its number may become another's."""
        self._expected.pop(instance, None)

    def take(self, module: str, instance: str, secret: bytes, caller: Caller) -> None:
        """Use up an instance's secret; raise RefusedError unless all is as expected.

        A wrong secret uses it up too: nobody gets a second guess, and the supervisor notices.
        """
        expected = self._expected.pop(instance, None)
        if expected is None or expected.until <= self._monotonic():
            raise RefusedError("nobody of this name is expected", code="refused.enrolment")
        right = hmac.compare_digest(hashlib.sha256(secret).digest(), expected.secret_digest)
        if not right or len(secret) < SECRET_BYTES_MIN or module != expected.module:
            raise RefusedError("not the secret given to this instance", code="refused.enrolment")
        if caller.certificate:
            if caller.certificate != expected.certificate:
                raise RefusedError("another host's certificate", code="refused.enrolment")
        elif caller.pid is None or caller.pid != expected.pid or caller.uid != expected.uid:
            raise RefusedError("another process than the one that was started", code="refused.enrolment")


class ModuleDesk:
    """The methods by which modules and the operator get their tickets. They need nothing of kms."""

    def __init__(self, state: AuthorityState, enrolments: Enrolments, owner_uid: int) -> None:
        self._state = state
        self._enrolments = enrolments
        self._owner_uid = owner_uid

    async def enrol(self, grant: Grant, request: api.Enrol) -> api.ModuleTicket:
        """Exchange a one-time secret for a module ticket bound to the key that the handshake has proved."""
        connection = grant.connection
        if request.public_key != connection.public_key or len(request.public_key) != PUBLIC_KEY_BYTES:
            raise RefusedError("another key than the handshake's", code="refused.enrolment")
        if request.module not in rules.MODULES or len(request.instance) > NAME_CHARACTERS_MAX:
            raise RefusedError("no such module", code="refused.enrolment")
        self._enrolments.take(request.module, request.instance, request.secret, connection)
        named = request.certificate
        if (connection.certificate and named != connection.certificate) or not _FINGERPRINT.fullmatch(named):
            raise RefusedError("another certificate than the connection's", code="refused.enrolment")
        return self._issue(request.module, request.instance, connection.thumbprint, named)

    async def renew_module(self, grant: Grant, _request: api.RenewModule) -> api.ModuleTicket:
        """Give the instance that asks a fresh ticket for the same key."""
        connection = grant.connection
        return self._issue(grant.peer_module, grant.peer_instance, connection.thumbprint, grant.certificate)

    async def issue_operation(self, grant: Grant, request: api.IssueOperation) -> api.OperationTicket:
        """Give a ticket for work that no user stands behind, where the table lets the module have it."""
        purpose = entitlements.purpose_named(request.purpose)
        if purpose is None or grant.peer_module not in purpose.holders:
            raise RefusedError("not a purpose of this module", code="refused.purpose")
        ticket, token = self._state.mint.operation(
            grant.peer_module, grant.peer_instance, grant.connection.thumbprint, purpose
        )
        self._state.note_issue(ticket)
        return api.OperationTicket(token, ticket.expires)

    async def operator_sign_in(self, grant: Grant, _request: api.OperatorSignIn) -> api.ModuleTicket:
        """Let in who owns the machine (root) or the data directory, by the kernel's word."""
        uid = grant.connection.uid
        if uid is None or uid not in (0, self._owner_uid):
            raise RefusedError("not the owner of the data directory", code="refused.operator")
        instance = f"{rules.CLI}-{new_id().hex()[-8:]}"
        answer = self._issue(rules.CLI, instance, grant.connection.thumbprint)
        ticket, token = self._state.mint.staff(
            rules.CLI, instance, grant.connection.thumbprint, session=new_id()
        )
        self._state.note_issue(ticket)
        return api.ModuleTicket(answer.ticket, token)

    def _issue(self, module: str, instance: str, holder: str, certificate: str = "") -> api.ModuleTicket:
        ticket, token = self._state.mint.module(module, instance, holder, certificate=certificate)
        self._state.note_issue(ticket)
        return api.ModuleTicket(token)
