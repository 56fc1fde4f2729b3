"""T1 and T3 over every operation that the table of rules names, for every module that there is."""

from collections.abc import Iterator

import pytest
from tests.judge_world import MUTATIONS, Realm, changed

from postkeep.base.errors import RefusedError
from postkeep.model.categories import Category
from postkeep.model.ticket import TicketKind
from postkeep.tickets.channel.frames import Lane
from postkeep.tickets.identity import ModuleIdentity
from postkeep.tickets.rules import DELEGATIONS, NEWCOMER, RULES, Rule

TICKETED = [
    pytest.param(rule, module, id=f"{module}-{rule.method}-{rule.kind}")
    for rule in RULES
    if rule.kind is not None
    for module in rule.callers
]


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
    grant = realm.judge(holder, rule.method, changed(realm, rule, holder))
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
