"""What a keeper decides about a caller and about each call. Synchronous, no IO: the server's judgement.

The order of checks is the order of `docs/architecture.md`: the frame is authentic (done by the connection),
the module ticket is in force and lists the method, the rule's ticket is verified and not revoked, and the
request stays inside it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from postkeep.base.clock import Clock
from postkeep.base.errors import InvalidInputError, RefusedError
from postkeep.model.categories import Category
from postkeep.model.ticket import TicketKind
from postkeep.tickets.channel.frames import Call
from postkeep.tickets.clear import (
    Budgets,
    Connection,
    Grant,
    choose_rule,
    clear_action,
    clear_scope,
    grant_module,
    grant_ticket,
)
from postkeep.tickets.identity import Anchors
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.rules import NEWCOMER, RULES, Rule, rules_for
from postkeep.tickets.scope import Scope, scope_reader
from postkeep.tickets.verify import VerifiedTicket, Verifier

Handler = Callable[[Grant, Any], Awaitable[msgspec.Struct]]
"""A keeper's method: takes its Grant and its request, answers with a Struct or raises a PostkeepError."""


class Method(NamedTuple):
    """A handler with all that is needed to call it."""

    rules: tuple[Rule, ...]
    decoder: msgspec.msgpack.Decoder[Any]
    handler: Handler
    read_scope: Callable[[Any], Scope]


class Gate:
    """The rules, tickets and revocations of one keeper."""

    def __init__(  # noqa: PLR0917 - the order that every keeper writes them in
        self,
        keeper: str,
        anchors: Anchors,
        handlers: Mapping[str, tuple[type[msgspec.Struct], Handler]],
        revocations: RevocationView,
        clock: Clock,
        rules: Iterable[Rule] = RULES,
    ) -> None:
        table = rules_for(keeper, rules)
        if table.keys() != handlers.keys():
            unmatched = ", ".join(sorted(table.keys() ^ handlers.keys()))
            raise ValueError(f"{keeper}: methods without a rule, or rules without a method: {unmatched}")
        self.methods: Final = {
            name: Method(table[name], msgspec.msgpack.Decoder(request), handler, scope_reader(name, request))
            for name, (request, handler) in handlers.items()
        }
        self._keeper = keeper
        self._verifier = Verifier(anchors, clock)
        self._revocations = revocations
        self._budgets = Budgets()
        self._clock = clock

    def identify(self, ticket: bytes, holder: str) -> VerifiedTicket | None:
        """Verify the module ticket a caller shows; None for a newcomer where newcomers have a method."""
        if ticket:
            return self._verifier.verify(ticket, audience=None, holder=holder)
        if any(NEWCOMER in rule.callers for method in self.methods.values() for rule in method.rules):
            return None
        raise RefusedError("a caller without a module ticket", code="refused.no_module_ticket")

    def admit(self, peer: VerifiedTicket) -> None:
        """Judge whether a module has any business here; raise RefusedError if not."""
        if peer.ticket.kind is not TicketKind.MODULE:
            raise RefusedError("not a module ticket", code="refused.kind")
        if self._keeper not in peer.ticket.audience:
            raise RefusedError("made for another audience", code="refused.audience")
        self._revocations.check(peer)

    def find(self, call: Call, peer: VerifiedTicket | None) -> Method:
        """Judge whether this caller may call this method at all; raise RefusedError if not."""
        method = self.methods.get(call.method)
        if method is None:
            raise RefusedError("there is no such method", code="refused.method")
        if peer is not None:
            self._verifier.check_time(peer)
            self._revocations.check(peer)
            if call.method not in peer.ticket.methods:
                raise RefusedError("the module ticket does not list it", code="refused.method")
        return method

    def verify(
        self, method: Method, call: Call, peer: VerifiedTicket | None, connection: Connection
    ) -> VerifiedTicket | None:
        """Verify the ticket that came with the call; None where the rule asks for none."""
        module = peer.ticket.module if peer is not None else NEWCOMER
        if not call.ticket or all(rule.kind is None for rule in method.rules if module in rule.callers):
            return None
        verified = self._verifier.verify(call.ticket, audience=self._keeper, holder=connection.thumbprint)
        self._revocations.check(verified)
        return verified

    def allow(
        self,
        method: Method,
        call: Call,
        peer: VerifiedTicket | None,
        verified: VerifiedTicket | None,
        connection: Connection,
    ) -> tuple[Grant, Any]:
        """Clear the call; return its Grant and its request, or raise why not."""
        rule = choose_rule(method.rules, peer.ticket.module if peer is not None else NEWCOMER, verified)
        categories: frozenset[Category] = frozenset()
        if rule.kind is not None and verified is not None:
            categories = clear_action(rule, verified)
        if rule.fresh:
            self._revocations.check_fresh()
        try:
            request = method.decoder.decode(call.arguments)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise InvalidInputError("the arguments can't be read") from exc
        if rule.kind is None or peer is None or verified is None:
            return grant_module(rule, peer.ticket if peer else None, connection), request
        clear_scope(rule, verified, method.read_scope(request))
        grant = grant_ticket(rule, peer.ticket, verified, categories, connection)
        if verified.ticket.budget is not None:
            objects = len(getattr(request, rule.counts)) if rule.counts else 1
            self._budgets.spend(verified, objects, self._clock.now_seconds())
        return grant, request
