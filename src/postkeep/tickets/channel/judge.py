"""The judgement of a keeper over each call: every check that stands between a caller and a handler.

`Judge.judge` is the only way in, and its body is the list of the checks. Each is a function of its own that
raises or says nothing; a test takes away one after the other and shows what then gets through.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from postkeep.base.clock import Clock
from postkeep.base.errors import InvalidInputError, RefusedError
from postkeep.model.categories import Category
from postkeep.model.ticket import Ticket, TicketKind
from postkeep.tickets.channel.frames import PRESENT, Call
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
from postkeep.tickets.rules import EVERYBODY, NEWCOMER, RULES, Rule, delegated, rules_for
from postkeep.tickets.scope import Scope, scope_reader
from postkeep.tickets.verify import ShownTicket, Verifier, check_audience, check_chain, check_holder
from postkeep.tickets.warranted import clear_warrant

Handler = Callable[[Grant, Any], Awaitable[msgspec.Struct]]
"""A keeper's method: takes its Grant and its request, answers with a Struct or raises a PostkeepError."""

Marked = TypeVar("Marked", bound=Callable[..., Awaitable[msgspec.Struct]])


class Lines(NamedTuple):
    """The lines of the table that let one kind of module call one method."""

    rules: tuple[Rule, ...] = ()
    ticketed: bool = False
    """Whether one of them asks for a ticket beside the module's."""
    fresh: bool = False
    """Whether one of them releases bodies or keys."""


NO_LINES: Final = Lines()
HOLDS_SHARES: Final = "holds_shares"
"""The attribute of a handler that `holds_shares` marks."""


def holds_shares(handler: Marked) -> Marked:
    """Mark a handler that holds another principal against what is shared with the ticket's own."""
    setattr(handler, HOLDS_SHARES, True)
    return handler


class Method(NamedTuple):
    """A handler with all that is needed to call it."""

    rules: tuple[Rule, ...]
    lines: Mapping[str, Lines]
    """Its rules by the kind of module that calls."""
    decoder: msgspec.msgpack.Decoder[Any]
    handler: Handler
    read_scope: Callable[[Any], Scope]
    holds_shares: bool = False
    """Whether the handler holds another principal against what is shared with the ticket's own. Without that
    no request about another gets to it, whatever the table of rules says."""


class Judgement(NamedTuple):
    """The yes to one call: what to run, with what, and on whose word."""

    method: Method
    grant: Grant
    request: Any


@dataclass(slots=True)
class Case:
    """One call on trial: what the caller shows, and what is known of it so far."""

    call: Call
    module_token: bytes
    """The module ticket that this connection shows; empty: a newcomer."""
    connection: Connection
    before: Ticket | None = None
    """The module ticket shown before, where a connection shows a renewed one."""
    module: ShownTicket | None = None
    ticket: ShownTicket | None = None
    shown: tuple[ShownTicket, ...] = ()
    """Every ticket that the call depends on."""
    lines: Lines = NO_LINES
    """The lines of the table that let this kind of module call this method."""
    rule: Rule | None = None
    """The line of the table that it is judged by, once it is known."""

    def proved(self, shown: ShownTicket | None) -> Ticket | None:
        """Return a ticket's claims where they may be believed, even if the call is refused for another
        reason: signed by the authority, whole, and the caller's own."""
        if shown is None or not shown.anchor or not (shown.chained or len(shown.links) == 1):
            return None
        return shown.ticket if shown.ticket.holder == self.connection.thumbprint else None


class Judge:
    """The rules, anchors and revocations of one keeper."""

    def __init__(  # noqa: PLR0917 - the order that every keeper writes them in
        self,
        keeper: str,
        anchors: Anchors,
        handlers: Mapping[str, tuple[type[msgspec.Struct], Handler]],
        revocations: RevocationView,
        clock: Clock,
        rules: Iterable[Rule] = RULES,
        ledger: Callable[[], None] = lambda: None,
    ) -> None:
        """`ledger` raises UnavailableError while the keeper's way into the ledger is blocked."""
        table = rules_for(keeper, rules)
        if table.keys() != handlers.keys():
            unmatched = ", ".join(sorted(table.keys() ^ handlers.keys()))
            raise ValueError(f"{keeper}: methods without a rule, or rules without a method: {unmatched}")
        self.methods: Final = {
            name: Method(
                table[name],
                _by_caller(table[name]),
                msgspec.msgpack.Decoder(request),
                handler,
                scope_reader(name, request),
                getattr(handler, HOLDS_SHARES, False),
            )
            for name, (request, handler) in handlers.items()
        }
        newcomers = any(NEWCOMER in method.lines for method in self.methods.values())
        self._present = _present_method(newcomers=newcomers)
        self._keeper = keeper
        self._verifier = Verifier(anchors, clock)
        self._revocations = revocations
        self._ledger = ledger
        self._budgets = Budgets()
        self._clock = clock

    def judge(self, case: Case) -> Judgement:
        """Say yes to a call, or raise what the first check that fails has to say.

        The frame has been found authentic, in its turn and of this connection before it comes here. To show
        a module ticket, at the start of a connection and when it is renewed, is a call like any other.
        """
        method = self._parse(case)
        self._check_signatures(case)
        self._check_audience(case)
        self._check_time(case)
        self._check_revocations(case)
        self._check_chain(case)
        self._check_possession(case)
        categories = self._check_rule(case)
        request = self._check_object(case, method)
        self._check_ledger(case)
        return self._act(case, method, categories, request)

    def _parse(self, case: Case) -> Method:
        """Read the tickets; know nothing yet of whether a word of them is true."""
        call = case.call
        method = self._present if call.method == PRESENT else self.methods.get(call.method)
        if method is None:
            raise RefusedError("there is no such method", code="refused.method")
        caller = NEWCOMER
        if case.module_token:
            case.module = module = self._verifier.parse(case.module_token)
            case.shown = (module,)
            caller = module.ticket.module
        elif NEWCOMER not in method.lines:
            raise RefusedError("a caller without a module ticket", code="refused.no_module_ticket")
        case.lines = method.lines.get(caller, NO_LINES)
        if call.ticket and case.lines.ticketed:
            case.ticket = ticket = self._verifier.parse(call.ticket)
            case.shown = (*case.shown, ticket)
        return method

    def _check_signatures(self, case: Case) -> None:
        for shown in case.shown:
            self._verifier.check_signatures(shown)

    def _check_audience(self, case: Case) -> None:
        for shown in case.shown:
            check_audience(shown, self._keeper)

    def _check_time(self, case: Case) -> None:
        self._verifier.check_time(*case.shown)

    def _check_revocations(self, case: Case) -> None:
        """Nothing that was issued in an epoch that a revocation has ended; and where bodies or keys are
        released, no view of revocations that is too old to tell."""
        for shown in case.shown:
            self._revocations.check(shown)
        if case.lines.fresh:
            self._revocations.check_fresh()

    def _check_chain(self, case: Case) -> None:
        """Each ticket narrower than its parent, and a user's only through modules that may act for users."""
        for shown in case.shown:
            check_chain(shown)
        ticket = case.ticket
        if ticket is not None and ticket.ticket.kind is TicketKind.USER:
            delegated(ticket.actors, self._keeper)

    @staticmethod
    def _check_possession(case: Case) -> None:
        """Held by the key that the handshake has proved, and between hosts by the certificate as well."""
        for shown in case.shown:
            check_holder(shown, case.connection.thumbprint)
        if case.module is not None:
            module, before, certificate = case.module.ticket, case.before, case.connection.certificate
            if certificate and module.certificate != certificate:
                raise RefusedError(
                    "the module was enrolled with another certificate", code="refused.certificate"
                )
            if before is not None and (before.module, before.instance) != (module.module, module.instance):
                raise RefusedError("a renewed ticket names another module", code="refused.module")

    @staticmethod
    def _check_rule(case: Case) -> frozenset[Category]:
        """Find the line of the table that fits the module and the ticket: what both of them allow."""
        module = case.module
        if module is not None:
            if module.ticket.kind is not TicketKind.MODULE:
                raise RefusedError("not a module ticket", code="refused.kind")
            if case.call.method != PRESENT and case.call.method not in module.ticket.methods:
                raise RefusedError("the module ticket does not list it", code="refused.method")
        rule = case.rule = choose_rule(case.lines.rules, case.ticket)
        if rule.kind is None or case.ticket is None:
            return frozenset()
        return clear_action(rule, case.ticket)

    def _check_object(self, case: Case, method: Method) -> Any:
        """Hold what the request touches against what the ticket covers; return the request."""
        rule = case.rule
        assert rule is not None
        try:
            request = method.decoder.decode(case.call.arguments)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise InvalidInputError("the arguments can't be read") from exc
        if rule.kind is not None and case.ticket is not None:
            clear_scope(rule, case.ticket, method.read_scope(request), shared=method.holds_shares)
            if rule.units:
                clear_warrant(rule, case.ticket.ticket, request.warrant)
        return request

    def _check_ledger(self, case: Case) -> None:
        """Begin nothing that releases bodies or keys while it could not be recorded."""
        if case.rule is not None and case.rule.fresh:
            self._ledger()

    def _act(self, case: Case, method: Method, categories: frozenset[Category], request: Any) -> Judgement:
        """Take the call from the ticket's budget, and let it be done."""
        rule, ticket, module = case.rule, case.ticket, case.module
        assert rule is not None
        if rule.kind is None or module is None or ticket is None:
            peer = module.ticket if module is not None else None
            return Judgement(method, grant_module(rule, peer, case.connection), request)
        if ticket.ticket.budget is not None:
            objects = len(getattr(request, rule.counts)) if rule.counts else 1
            self._budgets.spend(ticket, objects, self._clock.now_seconds())
        grant = grant_ticket(rule, module.ticket, ticket, categories, case.connection)
        return Judgement(method, grant, request)


class _Shown(msgspec.Struct):
    """What showing a ticket asks for: nothing."""


def _by_caller(rules: tuple[Rule, ...]) -> dict[str, Lines]:
    """Sort a method's lines by the kinds of modules that may call it."""
    sorted_rules = {
        caller: tuple(rule for rule in rules if caller in rule.callers)
        for caller in {caller for rule in rules for caller in rule.callers}
    }
    return {
        caller: Lines(lines, any(rule.kind is not None for rule in lines), any(rule.fresh for rule in lines))
        for caller, lines in sorted_rules.items()
    }


def _present_method(*, newcomers: bool) -> Method:
    """Make the method by which a module ticket is shown; `newcomers`: somebody may come without one."""

    async def nothing(_grant: Grant, _request: Any) -> msgspec.Struct:
        return _Shown()

    callers = (*EVERYBODY, NEWCOMER) if newcomers else EVERYBODY
    decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(None)
    rules = (Rule(PRESENT, callers),)
    return Method(rules, _by_caller(rules), decoder, nothing, lambda _request: Scope())
