"""Minting: the one place where tickets come from. Only the authority has a key that others believe."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from postkeep.base.clock import Clock, SystemClock
from postkeep.base.errors import UnavailableError
from postkeep.base.ids import ID_BYTES, NOBODY, new_id
from postkeep.model.ticket import Ticket, TicketKind
from postkeep.tickets import entitlements, rules
from postkeep.tickets import token as tokens

MODULE_SECONDS: Final = 600
"""A module renews its ticket at half of this; an authority that restarts is back long before."""

USER_SECONDS: Final = 300
"""A session's ticket; renewed while the session lives. Revocation does not wait for its end."""

OPERATION_SECONDS: Final = 600
STAFF_SECONDS: Final = 300
"""One command of the operator, with time to type a password."""

GRANT_SECONDS: Final = 900
"""One approved act. What takes longer asks again: the approvals are counted anew each time."""

TICKET_SECONDS_MAX: Final = max(MODULE_SECONDS, USER_SECONDS, OPERATION_SECONDS, STAFF_SECONDS, GRANT_SECONDS)
"""What any ticket lives at most: a key is believed so long after it has signed its last."""


Signer = Callable[[bytes], bytes]


class Policy(Protocol):
    """What is asked before a ticket is signed: the authority's `TicketPolicy`."""

    def decide(self, ticket: Ticket) -> str:
        """Return the policies that permit it; raise RefusedError if it is not permitted."""


class Mint:
    """Makes and signs tickets with the authority's keys."""

    def __init__(
        self,
        signer: Signer | None,
        clock: Clock | None = None,
        *,
        start: Signer | None = None,
        policy: Policy | None = None,
    ) -> None:
        """`signer` signs every ticket; None: it has not come from kms yet, and `start` signs module tickets,
        which is all that it is believed for. `policy` is asked before each; None: what the table of rules
        says is all there is."""
        self._signer = signer
        self._start = start
        self._policy = policy
        self._clock = clock or SystemClock()

    def policies_of(self, ticket: Ticket) -> str:
        """Name the policies that permit a ticket, comma-separated; RefusedError if it is not permitted."""
        return self._policy.decide(ticket) if self._policy is not None else ""

    def adopt(self, signer: Signer) -> None:
        """Sign with another key from now on."""
        self._signer = signer

    def sign(self, ticket: Ticket) -> bytes:
        """Sign claims as they are; UnavailableError where the key for such a ticket is not there yet."""
        signer = self._signer or (self._start if ticket.kind is TicketKind.MODULE else None)
        if signer is None:
            raise UnavailableError("kms has not given the ticket key yet", code="unavailable.starting")
        return tokens.write(ticket, signer)

    def module(
        self, module: str, instance: str, holder: str, *, certificate: str = ""
    ) -> tuple[Ticket, bytes]:
        """Make a module ticket: which methods of which keepers, straight from the table of rules."""
        ticket = msgspec.structs.replace(
            self._blank(TicketKind.MODULE, MODULE_SECONDS, module, instance, holder),
            audience=rules.audience_of(module),
            methods=rules.methods_of(module),
            certificate=certificate,
        )
        return self._issue(ticket)

    def user(
        self,
        module: str,
        instance: str,
        holder: str,
        *,
        tenant: bytes,
        principal: bytes,
        session: bytes,
        level: int = 1,
        seconds: int = USER_SECONDS,
    ) -> tuple[Ticket, bytes]:
        """Make the ticket of a user's session on a face, good for `seconds`."""
        ticket = msgspec.structs.replace(
            self._blank(TicketKind.USER, seconds, module, instance, holder),
            audience=entitlements.SESSION_AUDIENCE[module],
            tenant=tenant.hex(),
            principal=principal.hex(),
            session=session.hex(),
            level=level,
            actions=entitlements.SESSION_ACTIONS[module],
            categories=entitlements.SESSION_CATEGORIES[module],
        )
        return self._issue(ticket)

    def operation(
        self, module: str, instance: str, holder: str, purpose: entitlements.Purpose
    ) -> tuple[Ticket, bytes]:
        """Make a ticket for work that no user stands behind."""
        ticket = msgspec.structs.replace(
            self._blank(TicketKind.OPERATION, OPERATION_SECONDS, module, instance, holder),
            audience=purpose.audience,
            actions=purpose.actions,
            categories=purpose.categories,
            budget=purpose.budget,
            purpose=purpose.name,
        )
        return self._issue(ticket)

    def staff(
        self,
        module: str,
        instance: str,
        holder: str,
        *,
        session: bytes,
        principal: bytes = b"",
        roles: Sequence[str] = ("operator",),
    ) -> tuple[Ticket, bytes]:
        """Make a staff member's ticket; without `principal` the ticket of the machine's own operator."""
        allowed = [entitlements.STAFF_ROLES[role] for role in roles]
        ticket = msgspec.structs.replace(
            self._blank(TicketKind.STAFF, STAFF_SECONDS, module, instance, holder),
            audience=entitlements.STAFF_AUDIENCE,
            principal=principal.hex(),
            session=session.hex(),
            level=1,
            actions=tuple(dict.fromkeys(action for actions, _ in allowed for action in actions)),
            categories=tuple(dict.fromkeys(category for _, both in allowed for category in both)),
        )
        return self._issue(ticket)

    def grant(
        self,
        module: str,
        instance: str,
        holder: str,
        *,
        kind: str,
        request: bytes,
        subject: bytes,
        tenant: bytes,
        principal: bytes,
        approvals: int = 0,
    ) -> tuple[Ticket, bytes]:
        """Make the ticket of one approved act on one subject. The caller has counted the approvals."""
        actions, categories = entitlements.GRANT_ACTIONS[kind]
        ticket = msgspec.structs.replace(
            self._blank(TicketKind.GRANT, GRANT_SECONDS, module, instance, holder),
            audience=entitlements.grant_place(kind)[1],
            tenant="" if tenant == NOBODY else tenant.hex(),
            principal="" if principal == NOBODY else principal.hex(),
            actions=actions,
            categories=categories,
            purpose=kind,
            request=request.hex(),
            subject=subject.hex(),
            approvals=approvals,
        )
        return self._issue(ticket)

    def _issue(self, ticket: Ticket) -> tuple[Ticket, bytes]:
        self.policies_of(ticket)
        return ticket, self.sign(ticket)

    def _blank(self, kind: TicketKind, seconds: int, module: str, instance: str, holder: str) -> Ticket:
        now_ms = self._clock.now_ms()
        return Ticket(
            id=(now_ms.to_bytes(6, "big") + new_id()[6:ID_BYTES]).hex(),
            kind=kind,
            issued=now_ms // 1000,
            expires=now_ms // 1000 + seconds,
            audience=(),
            holder=holder,
            module=module,
            instance=instance,
        )
