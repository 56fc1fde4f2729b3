"""Verification: octets become a `VerifiedTicket`, or RefusedError says why not.

Signatures are checked once per ticket and remembered by digest; time, audience, holder and whether the
signing key is still trusted are checked every time.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from postkeep.base.clock import Clock, SystemClock
from postkeep.base.errors import RefusedError
from postkeep.base.ids import NOBODY, parse_id
from postkeep.crypto import paseto
from postkeep.model.categories import Category
from postkeep.model.ticket import Ticket
from postkeep.tickets import token as tokens
from postkeep.tickets.identity import Anchors, thumbprint
from postkeep.tickets.narrow import within

CLOCK_SKEW_SECONDS: Final = 5
"""How far in the future a ticket may have been issued: nodes keep time to well under a second."""

CACHED_TICKETS_MAX: Final = 16_384
"""Tickets whose signature is remembered, about 2 KB each: every live session of a large worker."""


@dataclass(frozen=True, slots=True)
class VerifiedTicket:
    """A ticket whose chain of signatures is good. Made by `Verifier` only."""

    ticket: Ticket
    chain: tuple[Ticket, ...]
    """From the newest to the one that the authority signed."""
    anchor: str
    """Thumbprint of the authority key that signed the last one."""
    issued_ms: int
    """When the authority issued it: the milliseconds that its identifier begins with."""
    expires: int
    """The earliest end in the chain, seconds since the epoch."""
    tenant: bytes
    principal: bytes
    session: bytes
    categories: frozenset[Category]
    mailboxes: frozenset[bytes] | None

    @property
    def root(self) -> Ticket:
        """The ticket that the authority signed."""
        return self.chain[-1]


class Verifier:
    """Checks tickets against the anchors of this process."""

    def __init__(self, anchors: Anchors, clock: Clock | None = None) -> None:
        self._anchors = anchors
        self._clock = clock or SystemClock()
        self._seen: OrderedDict[bytes, VerifiedTicket] = OrderedDict()

    def verify(self, token: bytes, *, audience: str | None, holder: str) -> VerifiedTicket:
        """Check that a ticket is authentic, in time, for `audience` and held by the key `holder`.

        `audience` None: the caller looks at who the ticket names, as a client does with a keeper's own.
        Raises RefusedError with a code of its own for each reason.
        """
        digest = hashlib.sha256(token).digest()
        verified = self._seen.get(digest)
        if verified is None:
            verified = self._authenticate(token)
            self._seen[digest] = verified
            if len(self._seen) > CACHED_TICKETS_MAX:
                self._seen.popitem(last=False)
        else:
            self._seen.move_to_end(digest)
        if verified.anchor not in self._anchors.authority:
            raise RefusedError("signed by a key no longer trusted", code="refused.signature")
        ticket = verified.ticket
        self.check_time(verified)
        if ticket.holder != holder:  # thumbprints are public: nothing to learn from the time it takes
            raise RefusedError("shown by another than its holder", code="refused.holder")
        if audience is not None and audience not in ticket.audience:
            raise RefusedError("made for another audience", code="refused.audience")
        return verified

    def check_time(self, verified: VerifiedTicket) -> None:
        """Raise RefusedError unless the ticket's time has come and has not run out."""
        now = self._clock.now_seconds()
        if now >= verified.expires:
            raise RefusedError("its time has run out", code="refused.expired")
        if verified.ticket.issued > now + CLOCK_SKEW_SECONDS:
            raise RefusedError("its time has not come", code="refused.early")

    def _authenticate(self, token: bytes) -> VerifiedTicket:
        links = tokens.read(token)
        anchor = self._signed_by_authority(links[-1].token)
        for child, parent in pairwise(links):
            if thumbprint(child.signer) != parent.ticket.holder:
                raise RefusedError("narrowed by another than the holder", code="refused.signature")
            if child.ticket.parent != child.rest_digest:
                raise RefusedError("hung on another parent", code="refused.signature")
            paseto.check(child.signer, child.token, tokens.IMPLICIT)
            within(child.ticket, parent.ticket)
        root = links[-1].ticket
        if root.depth or root.parent or root.expires <= root.issued:
            raise RefusedError("the first ticket of a chain has no parent", code="refused.claims")
        return VerifiedTicket(
            ticket=links[0].ticket,
            chain=tuple(link.ticket for link in links),
            anchor=anchor,
            issued_ms=_issued_ms(root),
            expires=min(link.ticket.expires for link in links),
            tenant=_identifier(links[0].ticket.tenant) or NOBODY,
            principal=_identifier(root.principal) or NOBODY,
            session=_identifier(root.session),
            categories=frozenset(links[0].ticket.categories),
            mailboxes=_mailboxes(links[0].ticket),
        )

    def _signed_by_authority(self, token: paseto.Token) -> str:
        for name, public_key in tuple(self._anchors.authority.items()):
            try:
                paseto.check(public_key, token, tokens.IMPLICIT)
            except RefusedError:
                continue
            return name
        raise RefusedError("signed by no key we trust", code="refused.signature")


def _identifier(text: str) -> bytes:
    try:
        return parse_id(text) if text else b""
    except ValueError as exc:
        raise RefusedError("a claim is not an identifier", code="refused.claims") from exc


def _mailboxes(ticket: Ticket) -> frozenset[bytes] | None:
    return None if ticket.mailboxes is None else frozenset(map(_identifier, ticket.mailboxes))


def _issued_ms(ticket: Ticket) -> int:
    try:
        return int(ticket.id[:12], 16)
    except ValueError as exc:
        raise RefusedError("the identifier is not one", code="refused.claims") from exc
