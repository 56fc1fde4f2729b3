"""An authority, one judge of each kind of keeper, modules with their tickets, and mutations of these.

`Judge.judge` is asked directly: what it decides is all that a keeper decides.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postkeep.base.clock import FixedClock
from postkeep.base.errors import UnavailableError
from postkeep.base.ids import new_id
from postkeep.model.categories import Category
from postkeep.model.ticket import Action, Ticket, TicketKind
from postkeep.model.warrant import Unit, Warrant
from postkeep.services.authority.api import Revocation
from postkeep.services.vault import api as vault
from postkeep.tickets import token as tokens
from postkeep.tickets.channel.frames import Call
from postkeep.tickets.channel.judge import Case, Judge
from postkeep.tickets.clear import Grant
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.narrow import narrow
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.rules import RULES, Rule, rules_for

TENANT, ALICE, BOB, SESSION = new_id(), new_id(), new_id(), new_id()
INBOX, OTHER_BOX = new_id(), new_id()


@dataclass
class Wire:
    """A connection as the judge sees it."""

    identity: ModuleIdentity
    uid: int | None = 0
    pid: int | None = 1
    certificate: str = ""

    def __post_init__(self) -> None:
        """Have what the handshake has proved at hand."""
        self.public_key, self.thumbprint = self.identity.public_key, self.identity.thumbprint

    def on_close(self, callback: Callable[[], None]) -> None:
        """Never closes."""


async def unused(_grant: Grant, _request: Any) -> msgspec.Struct:
    raise AssertionError("the judge runs nothing")


@functools.cache
def request_for(method: str) -> type[msgspec.Struct]:
    """Make a request type that names all that any request can: a tenant, a principal, a mailbox, objects."""
    if method in {"vault.deposit", "vault.submit", "vault.append"}:
        return {"deposit": vault.DepositBatch, "submit": vault.Submit, "append": vault.Append}[method[6:]]
    if any(rule.units for rule in RULES if rule.method == method):
        return msgspec.defstruct("Request", [("warrant", Warrant)])
    counted = {rule.counts for rule in RULES if rule.method == method} - {""}
    return msgspec.defstruct(
        "Request",
        [
            ("tenant", bytes),
            ("principal", bytes),
            ("mailbox", bytes),
            *[(name, list[int]) for name in counted],
        ],
        namespace={"changes": ()} if method == "vault.change_mailboxes" else {},
    )


class Realm:
    """An authority, one keeper of each kind, and modules with their tickets."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.clock = FixedClock()
        self.mint = Mint(self.key.sign, self.clock)
        self.anchors = Anchors()
        self.anchors.trust("authority", self.key.public_key().public_bytes_raw())
        self.view = RevocationView(lambda: 0.0)  # what is fresh stays so, however slow the machine is
        self.view.heard(0)
        self.blocked = False

        self._judges: dict[str, Judge] = {}

    def keeper(self, name: str) -> Judge:
        """Return the judge of one kind of keeper."""
        if name not in self._judges:
            handlers = {method: (request_for(method), unused) for method in rules_for(name)}
            self._judges[name] = Judge(
                name, self.anchors, handlers, self.view, self.clock, ledger=self._ledger
            )
        return self._judges[name]

    def _ledger(self) -> None:
        if self.blocked:
            raise UnavailableError("events do not reach the ledger", code="unavailable.ledger")

    def module(self, name: str, instance: str = "") -> ModuleIdentity:
        identity = ModuleIdentity(name, instance or f"{name}-1.test")
        identity.ticket = self.mint.module(name, identity.instance, identity.thumbprint)[1]
        return identity

    def claims(self, rule: Rule, holder: ModuleIdentity) -> Ticket:
        """Return the claims of a ticket that fits one line of the table, and nothing beyond it."""
        assert rule.kind is not None
        assert rule.action is not None
        base = self.mint._blank(rule.kind, 300, holder.module, holder.instance, holder.thumbprint)
        user = rule.kind is TicketKind.USER
        return msgspec.structs.replace(
            base,
            audience=(rule.method.partition(".")[0],),
            actions=(rule.action,),
            categories=rule.categories,
            tenant=TENANT.hex() if user else "",
            principal=ALICE.hex() if user else "",
            session=SESSION.hex(),
            level=1,
            budget=100 if rule.kind is TicketKind.OPERATION else None,
            purpose="destroy" if rule.units else "",
            subject=warrant_for(rule.method).digest().hex() if rule.units else "",
        )

    def judge(  # noqa: PLR0917 - what a caller chooses, in the order of the call
        self,
        identity: ModuleIdentity,
        method: str,
        ticket: bytes,
        certificate: str = "",
        request: msgspec.Struct | None = None,
        token: bytes | None = None,
    ) -> Grant:
        wanted = self.keeper(method.partition(".")[0])
        shown = identity.ticket if token is None else token
        arguments = msgspec.msgpack.encode(request if request is not None else ask(method))
        case = Case(
            Call(1, method, msgspec.Raw(arguments), ticket), shown, Wire(identity, certificate=certificate)
        )
        return wanted.judge(case).grant


def warrant_for(method: str) -> Warrant:
    """Say what a destroying method destroys: the narrowest of its units, Alice's where it is a person's."""
    unit = next(rule.units for rule in RULES if rule.method == method)[0]
    if unit is Unit.BACKUP:
        return Warrant(unit=unit, backup="b")
    if unit is Unit.CATEGORY:
        return Warrant(unit=unit, tenant=TENANT, category="content")
    if unit is Unit.TENANT:
        return Warrant(unit=unit, tenant=TENANT)
    by_uid = unit is Unit.MESSAGE
    return Warrant(
        unit=unit,
        tenant=TENANT,
        principal=ALICE,
        mailbox=INBOX if by_uid else b"",
        uids=[(1, 1)] if by_uid else [],
    )


def ask(method: str, principal: bytes = ALICE) -> Any:
    """Make a request about Alice and her inbox."""
    kind = request_for(method)
    if kind is vault.DepositBatch:
        return vault.DepositBatch([vault.Deposit(TENANT, new_id(), b"", b"", 0, [])], [])
    if method in {"vault.submit", "vault.append"}:
        placement = vault.Placement(principal, INBOX, 0, b"")
        deposit = vault.Deposit(TENANT, new_id(), b"", b"", 0, [placement])
        names = {field.name for field in msgspec.structs.fields(kind)}
        return kind(
            **{name: value for name, value in {"deposits": [deposit], "epochs": []}.items() if name in names}
        )
    if any(field.name == "warrant" for field in msgspec.structs.fields(kind)):
        return kind(warrant=warrant_for(method))
    fields = {"tenant": TENANT, "principal": principal, "mailbox": INBOX}
    counts = [field.name for field in msgspec.structs.fields(kind) if field.name not in fields]
    return kind(**fields, **{name: [1, 2] for name in counts})


def changed(realm: Realm, rule: Rule, holder: ModuleIdentity, **claims: Any) -> bytes:
    return realm.mint.sign(msgspec.structs.replace(realm.claims(rule, holder), **claims))


def _parent_hash(realm: Realm, rule: Rule, holder: ModuleIdentity) -> bytes:
    first, second = (
        changed(realm, rule, holder, session=session) for session in (SESSION.hex(), new_id().hex())
    )
    child = narrow(
        holder, first, holder=holder.thumbprint, audience=tokens.read(first)[0].ticket.audience,
        module=holder.module, clock=realm.clock,
    )  # fmt: skip
    return tokens.append(child.split(b"~")[0], holder.public_key, second)


def _signature(realm: Realm, rule: Rule, holder: ModuleIdentity) -> bytes:
    token = changed(realm, rule, holder)
    return token[:-10] + (b"A" if token[-10:-9] != b"A" else b"B") + token[-9:]


def _kid(realm: Realm, rule: Rule, holder: ModuleIdentity) -> bytes:
    """Signed by a key that is believed for module tickets only: the wrong key for this kind."""
    start = Ed25519PrivateKey.generate()
    realm.anchors.trust("start", start.public_key().public_bytes_raw())
    return Mint(start.sign, realm.clock).sign(realm.claims(rule, holder))


def _others(rule: Rule) -> tuple[Category, ...]:
    return tuple(category for category in Category if category not in rule.categories)


def revoked(realm: Realm, rule: Rule, holder: ModuleIdentity) -> bytes:
    realm.view.learn(Revocation("session", SESSION.hex(), realm.clock.now_ms() + 1))
    return changed(realm, rule, holder)


MUTATIONS: dict[str, tuple[Callable[[Realm, Rule, ModuleIdentity], bytes], str]] = {
    "aud": (lambda r, u, h: changed(r, u, h, audience=("elsewhere",)), "audience"),
    "exp": (
        lambda r, u, h: changed(r, u, h, issued=r.clock.now_seconds() - 300, expires=r.clock.now_seconds()),
        "expired",
    ),
    "mailbox": (lambda r, u, h: changed(r, u, h, mailboxes=(OTHER_BOX.hex(),)), "mailbox"),
    "category": (lambda r, u, h: changed(r, u, h, categories=_others(u)), "category"),
    "op": (
        lambda r, u, h: changed(r, u, h, actions=tuple(a for a in Action if a is not u.action)),
        "action",
    ),
    "epoch": (revoked, "revoked"),
    "cnf": (lambda r, u, h: changed(r, u, r.module(h.module, f"{h.module}-2.test")), "holder"),
    "parent hash": (_parent_hash, "chain"),
    "signature": (_signature, "signature"),
    "kid": (_kid, "signature"),
    "version": (lambda r, u, h: b"v3" + changed(r, u, h)[2:], "malformed"),
}
"""Eleven of the twelve; the twelfth, the counter, is the frame's and comes before the method is even read."""
