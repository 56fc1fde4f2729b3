"""The chain of checks before every handler: each step is shown to carry weight.

The sockets, the frames and the handshake around it are tried in test_mutated_tickets.py and
test_stolen_tickets.py.
"""

import ast
import inspect
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.judge_world import (
    ALICE,
    BOB,
    MUTATIONS,
    Realm,
    Wire,
    ask,
    changed,
    revoked,
)

from postkeep.base.errors import PostkeepError, RefusedError
from postkeep.crypto import paseto
from postkeep.model.categories import Category
from postkeep.model.ticket import Ticket, TicketKind
from postkeep.tickets import token as tokens
from postkeep.tickets.channel.frames import PRESENT, Call
from postkeep.tickets.channel.judge import Case, Judge
from postkeep.tickets.clear import Budgets
from postkeep.tickets.identity import ModuleIdentity
from postkeep.tickets.narrow import narrow
from postkeep.tickets.rules import RULES
from postkeep.tickets.verify import Verifier

CONTENT = next(rule for rule in RULES if rule.method == "vault.content")


def _stolen(realm: Realm, imap: ModuleIdentity) -> Any:
    other = realm.module("imap", "imap-2.test")
    return realm.judge(other, "vault.content", changed(realm, CONTENT, imap))


def _revoked(realm: Realm, imap: ModuleIdentity) -> Any:
    return realm.judge(imap, "vault.content", revoked(realm, CONTENT, imap))


def _widened(realm: Realm, imap: ModuleIdentity) -> Any:
    parent = changed(realm, CONTENT, imap, principal=BOB.hex())
    claims = msgspec.structs.replace(
        tokens.read(parent)[0].ticket, principal=ALICE.hex(), depth=1, parent=tokens.digest(parent)
    )
    token = tokens.append(tokens.write(claims, imap.sign), imap.public_key, parent)
    return realm.judge(imap, "vault.content", token, request=ask("vault.content", BOB))


def _delegated(realm: Realm, imap: ModuleIdentity) -> Any:
    """A user's ticket of submission's, narrowed for imap: each step in order, and no row of the table."""
    submission = realm.module("submission")
    parent = changed(realm, CONTENT, submission)
    token = narrow(
        submission, parent, holder=imap.thumbprint, audience=("vault",), module="imap", clock=realm.clock
    )
    return realm.judge(imap, "vault.content", token)


def _out_of_method(realm: Realm, _imap: ModuleIdentity) -> Any:
    mx = realm.module("mx")
    return realm.judge(mx, "vault.content", changed(realm, CONTENT, mx, module="imap"))


def _without_ledger(realm: Realm, imap: ModuleIdentity) -> Any:
    realm.blocked = True
    return realm.judge(imap, "vault.content", changed(realm, CONTENT, imap))


def _certificate(realm: Realm, imap: ModuleIdentity) -> Any:
    return realm.judge(imap, "vault.content", changed(realm, CONTENT, imap), certificate="ab" * 32)


def _stale(realm: Realm, imap: ModuleIdentity) -> Any:
    realm.view._heard = float("-inf")
    return realm.judge(imap, "vault.content", changed(realm, CONTENT, imap))


def _mutated(name: str) -> Callable[[Realm, ModuleIdentity], Any]:
    return lambda realm, imap: realm.judge(imap, "vault.content", MUTATIONS[name][0](realm, CONTENT, imap))


def _another_object(realm: Realm, imap: ModuleIdentity) -> Any:
    return realm.judge(
        imap, "vault.content", changed(realm, CONTENT, imap), request=ask("vault.content", BOB)
    )


def _over_budget(realm: Realm, _imap: ModuleIdentity) -> Any:
    relay = realm.module("relay")
    rule = next(rule for rule in RULES if rule.method == "kms.open_epochs" and rule.counts)
    return realm.judge(relay, rule.method, changed(realm, rule, relay, budget=1))


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
    for token, code in ((b"", "no_module_ticket"), (changed(realm, CONTENT, imap), "kind")):
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
    ticket = changed(realm, CONTENT, imap)
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
