"""The policy text, asked before any ticket is signed: `tickets.cedar`, in the language Cedar.

The text is read, checked against its schema and tried on requests that must be refused or granted whatever
it says, before the authority serves anybody: a text that fails in any of it keeps the authority from
starting. Answers depend on the shape of a ticket only, not on whose it is, so each is worked out once.

Source: https://docs.cedarpolicy.com (policies, schemas, the semantics of permit and forbid).
"""

import json
import re
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import cedarpy

from postkeep.base.errors import IntegrityError, RefusedError
from postkeep.model.categories import Category
from postkeep.model.ticket import Action, Ticket, TicketKind
from postkeep.tickets import rules

TEXT_FILE: Final = Path(__file__).with_name("tickets.cedar")
SCHEMA_FILE: Final = Path(__file__).with_name("tickets.cedarschema")

_ID: Final = re.compile(r'^@id\("([^"]+)"\)$', re.MULTILINE)

SHAPES_MAX: Final = 1024
"""Answers remembered: modules x kinds of ticket x what they allow make some dozens."""


class Shape(NamedTuple):
    """What the policy looks at of a ticket: nothing that names anybody."""

    module: str
    kind: TicketKind
    actions: tuple[Action, ...]
    categories: tuple[Category, ...]
    audience: tuple[str, ...]
    purpose: str
    seconds: int
    level: int
    tenant: bool
    principal: bool
    session: bool
    request: bool
    budgeted: bool


class PolicyRefusedError(RefusedError):
    """The policy does not permit the ticket."""

    def __init__(self, policies: str) -> None:
        super().__init__(
            f"the ticket policy refuses it: {policies or 'nothing permits it'}", code="refused.policy"
        )
        self.policies = policies
        """The policies that forbid it, comma-separated; empty: none permits it."""


class TicketPolicy:
    """Answers whether a ticket may be issued, and by which policies."""

    def __init__(self, text: str, schema: str) -> None:
        """Read and try the text; IntegrityError (`ticket_policy`) if it can't be relied on."""
        self.text: Final = text
        try:
            checked = cedarpy.validate_policies(text, schema)
            self._policies = cedarpy.PolicySet.from_str(text)
        except ValueError as exc:
            raise _unreliable(f"it can't be read: {exc}") from exc
        if not checked.validation_passed:
            raise _unreliable("; ".join(str(error) for error in checked.errors))
        self._modules = cedarpy.Entities.from_json_str(json.dumps(list(_modules())))
        self._answers: OrderedDict[Shape, tuple[bool, str]] = OrderedDict()
        for canary in FORBIDDEN:
            if self._decide(canary)[0]:
                raise _unreliable(f"it permits what must never be: {canary.kind} for {canary.module}")
        for canary in NEEDED:
            if not self._decide(canary)[0]:
                raise _unreliable(f"it refuses what all needs: {canary.kind} for {canary.module}")

    def names(self) -> list[str]:
        """List the policies by their identifiers, in the order of the text."""
        return _ID.findall(self.text)

    def decide(self, ticket: Ticket) -> str:
        """Return the policies that permit a ticket, comma-separated; PolicyRefusedError if it is refused."""
        permitted, policies = self._decide(shape_of(ticket))
        if not permitted:
            raise PolicyRefusedError(policies)
        return policies

    def _decide(self, shape: Shape) -> tuple[bool, str]:
        known = self._answers.get(shape)
        if known is not None:
            self._answers.move_to_end(shape)
            return known
        answer = cedarpy.is_authorized(_request(shape), self._policies, self._modules)
        diagnostics = answer.diagnostics
        names = diagnostics.id_annotations_by_reason
        policies = ",".join(sorted(names.get(reason, reason) for reason in diagnostics.reasons))
        # A policy that can't be evaluated counts for nothing in Cedar, and it might have forbidden.
        decided = (answer.allowed and not diagnostics.errors, policies)
        self._answers[shape] = decided
        if len(self._answers) > SHAPES_MAX:
            self._answers.popitem(last=False)
        return decided


def load_policy() -> TicketPolicy:
    """Read the installation's policy."""
    return TicketPolicy(TEXT_FILE.read_text("utf-8"), SCHEMA_FILE.read_text("utf-8"))


def shape_of(ticket: Ticket) -> Shape:
    """Reduce a ticket to what the policy looks at."""
    return Shape(
        module=ticket.module,
        kind=ticket.kind,
        actions=ticket.actions,
        categories=ticket.categories,
        audience=ticket.audience,
        purpose=ticket.purpose,
        seconds=ticket.expires - ticket.issued,
        level=ticket.level,
        tenant=bool(ticket.tenant),
        principal=bool(ticket.principal),
        session=bool(ticket.session),
        request=bool(ticket.request),
        budgeted=ticket.budget is not None,
    )


def _request(shape: Shape) -> dict[str, object]:
    context = {name: value for name, value in shape._asdict().items() if name not in {"module", "kind"}}
    return {
        "principal": {"type": "Module", "id": shape.module},
        "action": {"type": "Action", "id": "hold"},
        "resource": {"type": "Ticket", "id": shape.kind.value},
        "context": {
            name: list(value) if isinstance(value, tuple) else value for name, value in context.items()
        },
    }


def _modules() -> Iterable[dict[str, object]]:
    for name in rules.EVERYBODY:
        kind = "worker"
        if name in rules.KEEPERS:
            kind = "keeper"
        elif name in rules.FACES:
            kind = "face"
        elif name == rules.CLI:
            kind = "operator"
        yield {
            "uid": {"type": "Module", "id": name},
            "attrs": {},
            "parents": [{"type": "Kind", "id": kind}],
        }


def _unreliable(why: str) -> IntegrityError:
    return IntegrityError(
        f"the ticket policy: {why}",
        code="ticket_policy",
        public_text=f"The ticket policy {TEXT_FILE.name} can't be relied on, so no ticket is issued: {why}.",
    )


_MAIL: Final = (Category.CONTENT, Category.METADATA)
_NAMED: Final = Shape(
    rules.IMAP,
    TicketKind.USER,
    (Action.MAIL_READ, Action.MAIL_WRITE),
    _MAIL,
    (rules.VAULT, rules.KMS),
    purpose="",
    seconds=300,
    level=1,
    tenant=True,
    principal=True,
    session=True,
    request=False,
    budgeted=False,
)
"""A user who has signed in over IMAP."""

NEEDED: Final = (
    _NAMED,
    _NAMED._replace(
        module=rules.VAULT, kind=TicketKind.MODULE, actions=(), categories=(), tenant=False, principal=False
    ),
)
"""Without these nobody reads mail, and no module gets a word in."""

FORBIDDEN: Final = (
    _NAMED._replace(module=rules.STEWARD),
    _NAMED._replace(module=rules.MX),
    _NAMED._replace(module="a stranger"),
    _NAMED._replace(principal=False),
    _NAMED._replace(session=False),
    _NAMED._replace(level=0),
    _NAMED._replace(seconds=86_400),
    _NAMED._replace(categories=(*_MAIL, Category.SECRET)),
    _NAMED._replace(module=rules.CLI, kind=TicketKind.STAFF),
    _NAMED._replace(module=rules.STEWARD, kind=TicketKind.GRANT, request=True),
    _NAMED._replace(module=rules.STEWARD, kind=TicketKind.GRANT, request=True, actions=(Action.MAIL_EXPORT,)),
    _NAMED._replace(module=rules.CLI, kind=TicketKind.STAFF, actions=(Action.MAIL_EXPORT,)),
    _NAMED._replace(module=rules.MX, kind=TicketKind.OPERATION, purpose="deliver", budgeted=True),
    _NAMED._replace(module="a stranger", kind=TicketKind.MODULE, actions=(), categories=()),
)
"""Requests that no text may permit: tried at every start."""
