"""What a ticket's octets prove, one check to a function: parse, signature, audience, time, chain, holder.

`postkeep.tickets.channel.judge` calls them in their order for a keeper; `Verifier.verify` for a caller who
looks at the keeper that answers. Signatures and chains are checked once per ticket and remembered by digest;
time, audience, holder and whether the signing key is still believed are checked every time.
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
from postkeep.model.ticket import Ticket, TicketKind
from postkeep.tickets import token as tokens
from postkeep.tickets.identity import Anchors, thumbprint
from postkeep.tickets.narrow import within

CLOCK_SKEW_SECONDS: Final = 5
"""How far in the future a ticket may have been issued: nodes keep time to well under a second."""

CACHED_TICKETS_MAX: Final = 16_384
"""Tickets whose signature is remembered, about 2 KB each: every live session of a large worker."""


@dataclass(slots=True)
class ShownTicket:
    """A ticket that somebody shows, with what has been proved of it so far. Made by `Verifier.parse`."""

    digest: bytes
    links: tuple[tokens.Link, ...]
    """From the newest to the one that the authority signed."""
    ticket: Ticket
    chain: tuple[Ticket, ...]
    root: Ticket
    """The ticket that the authority signed."""
    issued_ms: int
    """When the authority issued it: the milliseconds that its identifier begins with."""
    expires: int
    """The earliest end in the chain, seconds since the epoch."""
    tenant: bytes
    principal: bytes
    session: bytes
    categories: frozenset[Category]
    mailboxes: frozenset[bytes] | None
    actors: tuple[str, ...]
    """The modules that it went through, from the one that the authority gave it to."""
    subjects: tuple[tuple[str, str], ...]
    """Whose revocation voids it, as pairs of a revocation's scope and subject."""
    anchor: str = ""
    """Thumbprint of the authority's key that signed it; empty: its signatures have not been checked."""
    chained: bool = False
    """Whether each ticket of the chain is known to be narrower than the one that it hangs on."""


class Verifier:
    """Checks tickets against the anchors of this process. Every check raises RefusedError or says nothing."""

    def __init__(self, anchors: Anchors, clock: Clock | None = None) -> None:
        self._anchors = anchors
        self._clock = clock or SystemClock()
        self._proved: OrderedDict[bytes, ShownTicket] = OrderedDict()

    def parse(self, token: bytes) -> ShownTicket:
        """Read a ticket's octets, or recall what was proved of them before."""
        digest = hashlib.sha256(token).digest()
        known = self._proved.get(digest)
        if known is None:
            return _parse(digest, token)
        self._proved.move_to_end(digest)
        return known

    def check_signatures(self, shown: ShownTicket) -> None:
        """Check that the authority signed the first ticket, with a key that is believed for such a ticket
        now, and that each later one is signed with the key that it says."""
        if shown.anchor:
            if not self._anchors.believes(shown.anchor, shown.root.kind):
                raise RefusedError("signed by a key no longer trusted", code="refused.signature")
            return
        shown.anchor = self._signed_by_authority(shown.links[-1].token, shown.root)
        for link in shown.links[:-1]:
            paseto.check(link.signer, link.token, tokens.IMPLICIT)
        while self._proved and next(iter(self._proved.values())).expires <= self._clock.now_seconds():
            self._proved.popitem(last=False)  # those not used for longest come first, and are over first
        self._proved[shown.digest] = shown
        if len(self._proved) > CACHED_TICKETS_MAX:
            self._proved.popitem(last=False)

    def check_time(self, *tickets: ShownTicket) -> None:
        """Check that the tickets' time has come and has not run out, all at one moment."""
        now = self._clock.now_seconds()
        for shown in tickets:
            if now >= shown.expires:
                raise RefusedError("its time has run out", code="refused.expired")
            if shown.ticket.issued > now + CLOCK_SKEW_SECONDS:
                raise RefusedError("its time has not come", code="refused.early")

    def verify(self, token: bytes, *, audience: str | None, holder: str) -> ShownTicket:
        """Check that a ticket is authentic, in time, for `audience` and held by the key `holder`.

        `audience` None: the caller looks at who the ticket names, as a client does with a keeper's own.
        """
        shown = self.parse(token)
        self.check_signatures(shown)
        if audience is not None:
            check_audience(shown, audience)
        self.check_time(shown)
        check_chain(shown)
        check_holder(shown, holder)
        return shown

    def _signed_by_authority(self, token: paseto.Token, root: Ticket) -> str:
        for name, public_key in self._anchors.keys_for(root.kind):
            try:
                paseto.check(public_key, token, tokens.IMPLICIT)
            except RefusedError:
                continue
            return name
        raise RefusedError("signed by no key we trust for it", code="refused.signature")


def check_audience(shown: ShownTicket, keeper: str) -> None:
    """Check that a ticket was made for this keeper."""
    if keeper not in shown.ticket.audience:
        raise RefusedError("made for another audience", code="refused.audience")


def check_chain(shown: ShownTicket) -> None:
    """Check that each ticket was made by the holder of the one it hangs on, and allows no more."""
    if shown.chained:
        return
    for child, parent in pairwise(shown.links):
        if thumbprint(child.signer) != parent.ticket.holder:
            raise RefusedError("narrowed by another than the holder", code="refused.chain")
        if child.ticket.parent != child.rest_digest:
            raise RefusedError("hung on another parent", code="refused.chain")
        within(child.ticket, parent.ticket)
    root = shown.root
    if root.depth or root.parent or root.expires <= root.issued:
        raise RefusedError("the first ticket of a chain has no parent", code="refused.claims")
    shown.chained = True


def check_holder(shown: ShownTicket, holder: str) -> None:
    """Check that a ticket is shown by the key that it names. Thumbprints are public, so the time that the
    comparison takes tells nothing."""
    if shown.ticket.holder != holder:
        raise RefusedError("shown by another than its holder", code="refused.holder")


def _parse(digest: bytes, token: bytes) -> ShownTicket:
    links = tuple(tokens.read(token))
    chain = tuple(link.ticket for link in links)
    newest, root = chain[0], chain[-1]
    return ShownTicket(
        digest=digest,
        links=links,
        ticket=newest,
        chain=chain,
        root=root,
        issued_ms=_issued_ms(root),
        expires=min(ticket.expires for ticket in chain),
        tenant=_identifier(newest.tenant) or NOBODY,
        principal=_identifier(root.principal) or NOBODY,
        session=_identifier(root.session),
        categories=frozenset(newest.categories),
        mailboxes=_mailboxes(newest),
        actors=_actors(chain),
        subjects=_subjects(chain),
    )


def _actors(chain: tuple[Ticket, ...]) -> tuple[str, ...]:
    """List the modules of a chain, oldest first; a module that narrows for itself counts once."""
    actors: list[str] = []
    for ticket in reversed(chain):
        if not actors or actors[-1] != ticket.module:
            actors.append(ticket.module)
    return tuple(actors)


def _subjects(chain: tuple[Ticket, ...]) -> tuple[tuple[str, str], ...]:
    """List whose revocation voids a ticket: who stands behind it, and every module that it went through."""
    root = chain[-1]
    subjects = [("session", root.session)]
    if root.kind is not TicketKind.GRANT:  # a grant's principal is whom it is about, not who holds it
        subjects += [("user", root.principal), ("tenant", root.tenant)]
    for ticket in chain:
        subjects += [("instance", ticket.instance), ("module", ticket.module)]
    return tuple(dict.fromkeys(subjects))


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
