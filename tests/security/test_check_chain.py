"""The chain of checks before every handler: T3 over all operations, and each step shown to carry weight.

`Judge.judge` is asked directly: what it decides is all that a keeper decides. The sockets, the frames and the
handshake around it are tried in test_mutated_tickets.py and test_stolen_tickets.py.
"""

import ast
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postkeep.base.clock import FixedClock
from postkeep.base.errors import PostkeepError, RefusedError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.crypto import paseto
from postkeep.model.categories import Category
from postkeep.model.ticket import Action, Ticket, TicketKind
from postkeep.model.warrant import Unit, Warrant
from postkeep.services.authority.api import Revocation
from postkeep.services.vault import api as vault
from postkeep.tickets import token as tokens
from postkeep.tickets.channel.frames import PRESENT, Call, Lane
from postkeep.tickets.channel.judge import Case, Judge
from postkeep.tickets.clear import Budgets, Grant
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.narrow import narrow
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.rules import DELEGATIONS, NEWCOMER, RULES, Rule, rules_for
from postkeep.tickets.verify import Verifier

TENANT, ALICE, BOB, SESSION = new_id(), new_id(), new_id(), new_id()
INBOX, OTHER_BOX = new_id(), new_id()
TICKETED = [
    pytest.param(rule, module, id=f"{module}-{rule.method}-{rule.kind}")
    for rule in RULES
    if rule.kind is not None
    for module in rule.callers
]


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


async def _unused(_grant: Grant, _request: Any) -> msgspec.Struct:
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
        self.view = RevocationView()
        self.view.heard(0)
        self.blocked = False

        self._judges: dict[str, Judge] = {}

    def keeper(self, name: str) -> Judge:
        """Return the judge of one kind of keeper."""
        if name not in self._judges:
            handlers = {method: (request_for(method), _unused) for method in rules_for(name)}
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


def _changed(realm: Realm, rule: Rule, holder: ModuleIdentity, **claims: Any) -> bytes:
    return realm.mint.sign(msgspec.structs.replace(realm.claims(rule, holder), **claims))


def _parent_hash(realm: Realm, rule: Rule, holder: ModuleIdentity) -> bytes:
    first, second = (
        _changed(realm, rule, holder, session=session) for session in (SESSION.hex(), new_id().hex())
    )
    child = narrow(
        holder, first, holder=holder.thumbprint, audience=tokens.read(first)[0].ticket.audience,
        module=holder.module, clock=realm.clock,
    )  # fmt: skip
    return tokens.append(child.split(b"~")[0], holder.public_key, second)


def _signature(realm: Realm, rule: Rule, holder: ModuleIdentity) -> bytes:
    token = _changed(realm, rule, holder)
    return token[:-10] + (b"A" if token[-10:-9] != b"A" else b"B") + token[-9:]


def _kid(realm: Realm, rule: Rule, holder: ModuleIdentity) -> bytes:
    """Signed by a key that is believed for module tickets only: the wrong key for this kind."""
    start = Ed25519PrivateKey.generate()
    realm.anchors.trust("start", start.public_key().public_bytes_raw())
    return Mint(start.sign, realm.clock).sign(realm.claims(rule, holder))


def _others(rule: Rule) -> tuple[Category, ...]:
    return tuple(category for category in Category if category not in rule.categories)


def _epoch(realm: Realm, rule: Rule, holder: ModuleIdentity) -> bytes:
    realm.view.learn(Revocation("session", SESSION.hex(), realm.clock.now_ms() + 1))
    return _changed(realm, rule, holder)


MUTATIONS: dict[str, tuple[Callable[[Realm, Rule, ModuleIdentity], bytes], str]] = {
    "aud": (lambda r, u, h: _changed(r, u, h, audience=("elsewhere",)), "audience"),
    "exp": (
        lambda r, u, h: _changed(r, u, h, issued=r.clock.now_seconds() - 300, expires=r.clock.now_seconds()),
        "expired",
    ),
    "mailbox": (lambda r, u, h: _changed(r, u, h, mailboxes=(OTHER_BOX.hex(),)), "mailbox"),
    "category": (lambda r, u, h: _changed(r, u, h, categories=_others(u)), "category"),
    "op": (
        lambda r, u, h: _changed(r, u, h, actions=tuple(a for a in Action if a is not u.action)),
        "action",
    ),
    "epoch": (_epoch, "revoked"),
    "cnf": (lambda r, u, h: _changed(r, u, r.module(h.module, f"{h.module}-2.test")), "holder"),
    "parent hash": (_parent_hash, "chain"),
    "signature": (_signature, "signature"),
    "kid": (_kid, "signature"),
    "version": (lambda r, u, h: b"v3" + _changed(r, u, h)[2:], "malformed"),
}
"""Eleven of the twelve; the twelfth, the counter, is the frame's and comes before the method is even read."""


def applies(name: str, rule: Rule) -> bool:
    """A line that asks for no category, or for no mailbox, has none that could be wrong."""
    if name == "category":
        return bool(rule.categories)
    return name != "mailbox" or not rule.any_mailbox


@pytest.mark.parametrize(("rule", "module"), TICKETED)
def test_t3_twelve_mutations_of_every_operations_ticket_are_refused(rule: Rule, module: str) -> None:
    if rule.kind is TicketKind.USER and not any(
        line.actors == (module,) and rule.method.partition(".")[0] in line.keepers for line in DELEGATIONS
    ):
        pytest.fail(f"{module} may call {rule.method} for users by the rules, and may not by the delegations")
    realm = Realm()
    holder = realm.module(module)
    grant = realm.judge(holder, rule.method, _changed(realm, rule, holder))
    assert (grant.kind, grant.rule) == (rule.kind, rule.line)
    for name, (make, code) in MUTATIONS.items():
        if not applies(name, rule):
            continue
        realm = Realm()
        holder = realm.module(module)
        with pytest.raises(RefusedError) as caught:
            realm.judge(holder, rule.method, make(realm, rule, holder))
        assert caught.value.code == f"refused.{code}", name


@pytest.mark.parametrize("method", sorted({rule.method for rule in RULES}))
def test_t3_a_frame_with_another_counter_or_octet_is_refused_whatever_it_calls(method: str) -> None:
    sender, receiver = Lane(b"k" * 32), Lane(b"k" * 32)
    frame = bytearray(b"".join(sender.write((1, method, None, b"ticket")))[4:])
    for place in (7, 8, -1):
        altered = frame[:place] + bytes([frame[place] ^ 1]) + (frame[place + 1 :] if place != -1 else b"")
        with pytest.raises(RefusedError) as caught:
            receiver.read(memoryview(bytes(altered)))
        assert caught.value.code == "refused.mac"
    assert receiver.read(memoryview(bytes(frame)))
    with pytest.raises(RefusedError) as caught:
        receiver.read(memoryview(bytes(frame)))
    assert caught.value.code == "refused.counter"


# --- T1: the whole matrix, from the table itself ---


def matrix() -> Iterator[tuple[str, str, tuple[Category, ...]]]:
    """Every operation that asks for a ticket beside the module's, for every module, by category."""
    modules = sorted({module for rule in RULES for module in rule.callers} - {NEWCOMER})
    for method in sorted({rule.method for rule in RULES}):
        lines = [rule for rule in RULES if rule.method == method]
        for module in modules:
            if not any(rule.kind is None and module in rule.callers for rule in lines):
                yield module, method, lines[0].categories


def test_t1_with_a_modules_credentials_alone_no_operation_on_any_category_is_open_to_any_module() -> None:
    realm = Realm()
    identities: dict[str, ModuleIdentity] = {}
    tried = 0
    for module, method, categories in matrix():
        holder = identities.setdefault(module, realm.module(module))
        for _ in categories or ("",):
            tried += 1
            for ticket in (b"", holder.ticket):
                with pytest.raises(RefusedError) as caught:
                    realm.judge(holder, method, ticket)
                code = caught.value.code.partition(".")[2]
                assert code in {"audience", "method", "no_ticket", "kind"}, (module, method)
    assert tried > 500


# --- Each step carries weight: without it, something gets through that must not ---

CONTENT = next(rule for rule in RULES if rule.method == "vault.content")


def _stolen(realm: Realm, imap: ModuleIdentity) -> Any:
    other = realm.module("imap", "imap-2.test")
    return realm.judge(other, "vault.content", _changed(realm, CONTENT, imap))


def _revoked(realm: Realm, imap: ModuleIdentity) -> Any:
    return realm.judge(imap, "vault.content", _epoch(realm, CONTENT, imap))


def _widened(realm: Realm, imap: ModuleIdentity) -> Any:
    parent = _changed(realm, CONTENT, imap, principal=BOB.hex())
    claims = msgspec.structs.replace(
        tokens.read(parent)[0].ticket, principal=ALICE.hex(), depth=1, parent=tokens.digest(parent)
    )
    token = tokens.append(tokens.write(claims, imap.sign), imap.public_key, parent)
    return realm.judge(imap, "vault.content", token, request=ask("vault.content", BOB))


def _delegated(realm: Realm, imap: ModuleIdentity) -> Any:
    """A user's ticket of submission's, narrowed for imap: each step in order, and no row of the table."""
    submission = realm.module("submission")
    parent = _changed(realm, CONTENT, submission)
    token = narrow(
        submission, parent, holder=imap.thumbprint, audience=("vault",), module="imap", clock=realm.clock
    )
    return realm.judge(imap, "vault.content", token)


def _out_of_method(realm: Realm, _imap: ModuleIdentity) -> Any:
    mx = realm.module("mx")
    return realm.judge(mx, "vault.content", _changed(realm, CONTENT, mx, module="imap"))


def _without_ledger(realm: Realm, imap: ModuleIdentity) -> Any:
    realm.blocked = True
    return realm.judge(imap, "vault.content", _changed(realm, CONTENT, imap))


def _certificate(realm: Realm, imap: ModuleIdentity) -> Any:
    return realm.judge(imap, "vault.content", _changed(realm, CONTENT, imap), certificate="ab" * 32)


def _stale(realm: Realm, imap: ModuleIdentity) -> Any:
    realm.view._heard = float("-inf")
    return realm.judge(imap, "vault.content", _changed(realm, CONTENT, imap))


def _mutated(name: str) -> Callable[[Realm, ModuleIdentity], Any]:
    return lambda realm, imap: realm.judge(imap, "vault.content", MUTATIONS[name][0](realm, CONTENT, imap))


def _another_object(realm: Realm, imap: ModuleIdentity) -> Any:
    return realm.judge(
        imap, "vault.content", _changed(realm, CONTENT, imap), request=ask("vault.content", BOB)
    )


def _over_budget(realm: Realm, _imap: ModuleIdentity) -> Any:
    relay = realm.module("relay")
    rule = next(rule for rule in RULES if rule.method == "kms.open_epochs" and rule.counts)
    return realm.judge(relay, rule.method, _changed(realm, rule, relay, budget=1))


def _pass(step: str, value: Any = None) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(Judge, step, lambda *_: value)


def _pass_rule(patch: pytest.MonkeyPatch) -> None:
    """Leave out what the module's ticket says of methods, and whether the table has a line for the caller."""

    def choose(case: Case) -> frozenset[Category]:
        case.rule = CONTENT
        return frozenset()

    patch.setattr(Judge, "_check_rule", staticmethod(choose))


def _pass_object(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Judge, "_check_object", lambda _judge, case, method: method.decoder.decode(case.call.arguments)
    )


STEPS: dict[str, tuple[Callable[[Realm, ModuleIdentity], Any], str, Callable[[pytest.MonkeyPatch], None]]] = {
    "signatures": (_mutated("signature"), "refused.signature", _pass("_check_signatures")),
    "signatures: the right key": (_mutated("kid"), "refused.signature", _pass("_check_signatures")),
    "audience": (_mutated("aud"), "refused.audience", _pass("_check_audience")),
    "time": (_mutated("exp"), "refused.expired", _pass("_check_time")),
    "revocations": (_revoked, "refused.revoked", _pass("_check_revocations")),
    "revocations: known to be fresh": (_stale, "unavailable.stale", _pass("_check_revocations")),
    "chain": (_widened, "refused.widened", _pass("_check_chain")),
    "chain: delegation": (_delegated, "refused.delegation", _pass("_check_chain")),
    "possession": (_stolen, "refused.holder", _pass("_check_possession")),
    "possession: certificate": (_certificate, "refused.certificate", _pass("_check_possession")),
    "rule: module": (_out_of_method, "refused.method", _pass_rule),
    "rule: action": (_mutated("op"), "refused.action", _pass_rule),
    "rule: category": (_mutated("category"), "refused.category", _pass_rule),
    "object": (_another_object, "refused.principal", _pass_object),
    "object: mailbox": (_mutated("mailbox"), "refused.mailbox", _pass_object),
    "ledger": (_without_ledger, "unavailable.ledger", _pass("_check_ledger")),
    "act: budget": (
        _over_budget,
        "refused.budget",
        lambda patch: patch.setattr(Budgets, "spend", lambda *_: None),
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_without_this_step_of_the_chain_something_gets_through(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe, code, remove = STEPS[step]
    realm = Realm()
    with pytest.raises(PostkeepError) as caught:
        probe(realm, realm.module("imap"))
    assert caught.value.code == code
    remove(monkeypatch)
    realm = Realm()
    assert probe(realm, realm.module("imap")).method


def test_a_newcomer_gets_in_where_newcomers_have_a_method_and_no_further() -> None:
    realm = Realm()
    newcomer = ModuleIdentity("", "")
    assert realm.judge(newcomer, "authority.enrol", b"", token=b"").peer_module == ""
    for method in ("authority.feed", "vault.content", "kms.anchors"):
        with pytest.raises(RefusedError) as caught:
            realm.judge(newcomer, method, b"", token=b"")
        assert caught.value.code == "refused.no_module_ticket"


def test_the_chain_is_one_function_that_has_every_step_and_the_server_calls_nothing_else() -> None:
    body = ast.parse(inspect.getsource(Judge.judge).replace("    def", "def", 1)).body[0]
    called = [
        node.func.attr
        for node in ast.walk(body)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    steps = [name for name in vars(Judge) if name.startswith(("_parse", "_check_", "_act"))]
    assert called == steps
    from postkeep.tickets.channel import server

    used = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(server)))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("judge")
    }
    assert used == {"judge", "methods"}
    imported = ast.unparse(ast.parse(inspect.getsource(server)))
    assert "Verifier" not in imported
    assert "clear_" not in imported


def test_showing_a_ticket_is_judged_like_a_call() -> None:
    realm = Realm()
    imap = realm.module("imap")
    judge = realm.keeper("vault")
    present = Call(0, PRESENT, msgspec.Raw(msgspec.msgpack.encode(None)))
    assert judge.judge(Case(present, imap.ticket, Wire(imap))).grant.peer_module == "imap"
    for token, code in ((b"", "no_module_ticket"), (_changed(realm, CONTENT, imap), "kind")):
        with pytest.raises(RefusedError) as caught:
            judge.judge(Case(present, token, Wire(imap)))
        assert caught.value.code == f"refused.{code}"
    before = msgspec.structs.replace(tokens.read(imap.ticket)[0].ticket, instance="imap-7.other")
    with pytest.raises(RefusedError) as caught:
        judge.judge(Case(present, imap.ticket, Wire(imap), before))
    assert caught.value.code == "refused.module"


def test_a_signature_is_checked_once_and_belief_in_its_key_every_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    realm = Realm()
    imap = realm.module("imap")
    ticket = _changed(realm, CONTENT, imap)
    checked = []
    whole = Verifier._signed_by_authority

    def counted(verifier: Verifier, token: paseto.Token, root: Ticket) -> str:
        checked.append(root.kind)
        return whole(verifier, token, root)

    monkeypatch.setattr(Verifier, "_signed_by_authority", counted)
    for _ in range(3):
        realm.judge(imap, "vault.content", ticket)
    assert checked == [TicketKind.MODULE, TicketKind.USER]
    realm.anchors.distrust(realm.key.public_key().public_bytes_raw())
    with pytest.raises(RefusedError) as caught:
        realm.judge(imap, "vault.content", ticket)
    assert caught.value.code == "refused.signature"
