"""A grant destroys exactly what people approved: at no keeper does one for less do for more (G1, TM-16)."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.judge_world import ALICE, BOB, INBOX, OTHER_BOX, TENANT, Realm

from postkeep.base.errors import InvalidInputError, PostkeepError, RefusedError
from postkeep.base.ids import NOBODY, new_id
from postkeep.model.ticket import TicketKind
from postkeep.model.warrant import RANGES_MAX, REASON_CHARS_MAX, Unit, Warrant
from postkeep.tickets.entitlements import GRANT_ACTIONS, GRANT_AUDIENCE
from postkeep.tickets.rules import RULES, Rule
from postkeep.tickets.token import read as read_token
from postkeep.tickets.warranted import clear_warrant

WHOLE = {
    Unit.MESSAGE: Warrant(
        unit=Unit.MESSAGE, tenant=TENANT, principal=ALICE, mailbox=INBOX, uids=[(7, 9)], reason="case 7"
    ),
    Unit.MAILBOX: Warrant(
        unit=Unit.MAILBOX, tenant=TENANT, principal=ALICE, mailbox=INBOX, uids=[(1, 99)], reason="case 7"
    ),
    Unit.PERSON: Warrant(unit=Unit.PERSON, tenant=TENANT, principal=ALICE, reason="case 7"),
    Unit.CATEGORY: Warrant(unit=Unit.CATEGORY, tenant=TENANT, category="content", reason="case 7"),
    Unit.TENANT: Warrant(unit=Unit.TENANT, tenant=TENANT, reason="case 7"),
    Unit.BACKUP: Warrant(unit=Unit.BACKUP, backup=new_id().hex(), reason="case 7"),
}
DESTROYING = [pytest.param(rule, id=rule.method) for rule in RULES if rule.units]


class Request(msgspec.Struct):
    """A destroying request, as keepers read it."""

    warrant: Warrant


def approved(realm: Realm, warrant: Warrant, kind: str = "destroy") -> tuple[Any, bytes]:
    """Give the steward a grant for exactly one destruction."""
    steward = realm.module("steward")
    token = realm.mint.grant(
        "steward",
        steward.instance,
        steward.thumbprint,
        kind=kind,
        request=new_id(),
        subject=warrant.digest(),
        tenant=warrant.tenant,
        principal=warrant.principal,
    )[1]
    return steward, token


def test_every_line_that_a_grant_of_destruction_fits_says_which_units_it_destroys() -> None:
    actions, categories = GRANT_ACTIONS["destroy"]
    for rule in RULES:
        fits = rule.action in actions and set(rule.categories) <= set(categories)
        if rule.kind is TicketKind.GRANT and fits:
            assert rule.units, rule.method
        if rule.units:
            assert rule.kind is TicketKind.GRANT
            assert rule.method.partition(".")[0] in GRANT_AUDIENCE
    assert {unit for rule in RULES for unit in rule.units} == set(Unit)


@pytest.mark.parametrize("rule", DESTROYING)
@pytest.mark.parametrize("unit", Unit)
def test_a_grant_for_one_unit_is_refused_for_every_other(rule: Rule, unit: Unit) -> None:
    realm = Realm()
    steward, token = approved(realm, WHOLE[unit])
    if unit in rule.units:
        assert realm.judge(steward, rule.method, token, request=Request(WHOLE[unit])).request
    else:
        with pytest.raises(RefusedError) as caught:
            realm.judge(steward, rule.method, token, request=Request(WHOLE[unit]))
        assert caught.value.code == "refused.unit"
    for wider in rule.units:
        if wider is not unit:
            with pytest.raises(RefusedError) as caught:
                realm.judge(steward, rule.method, token, request=Request(WHOLE[wider]))
            assert caught.value.code in {"refused.subject", "refused.tenant", "refused.principal"}


@pytest.mark.parametrize("rule", DESTROYING)
def test_a_grant_of_another_kind_destroys_nothing(rule: Rule) -> None:
    """One for the restoring of keys allows the same action on keys, and is about another act."""
    realm = Realm()
    warrant = WHOLE[rule.units[0]]

    def attempt(kind: str) -> None:
        steward, token = approved(realm, warrant, kind)
        realm.judge(steward, rule.method, token, request=Request(warrant))

    for kind in set(GRANT_ACTIONS) - {"destroy"}:
        with pytest.raises(RefusedError):
            attempt(kind)
    # Nor would it if its kind one day allowed the same actions.
    ticket = msgspec.structs.replace(read_token(approved(realm, warrant)[1])[0].ticket, purpose="custody")
    steward = realm.module("steward")
    token = realm.mint.sign(msgspec.structs.replace(ticket, holder=steward.thumbprint))
    with pytest.raises(RefusedError) as caught:
        realm.judge(steward, rule.method, token, request=Request(warrant))
    assert caught.value.code == "refused.purpose"


def test_a_grant_for_a_mailbox_or_for_messages_is_for_no_other_of_the_same_person() -> None:
    realm = Realm()
    for unit in (Unit.MESSAGE, Unit.MAILBOX):
        steward, token = approved(realm, WHOLE[unit])
        changes: list[dict[str, Any]] = [{"mailbox": OTHER_BOX}, {"principal": BOB}, {"tenant": new_id()}]
        if unit is Unit.MESSAGE:
            changes += [{"uids": [(7, 10)]}, {"uids": [(1, 2**32 - 1)]}]
        for change in changes:
            other = msgspec.structs.replace(WHOLE[unit], **change)
            with pytest.raises(RefusedError) as caught:
                realm.judge(steward, "vault.destroy", token, request=Request(other))
            assert caught.value.code.startswith("refused.")


@given(
    st.sampled_from(list(Unit)),
    st.sampled_from(["unit", "tenant", "principal", "mailbox", "uids", "category", "backup", "reason"]),
    st.data(),
)
def test_no_field_of_what_was_approved_can_be_changed(unit: Unit, name: str, data: st.DataObject) -> None:
    values: dict[str, st.SearchStrategy[Any]] = {
        "unit": st.sampled_from(list(Unit)),
        "uids": st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), max_size=3),
        **dict.fromkeys(("category", "backup", "reason"), st.text(max_size=9)),
        **dict.fromkeys(("tenant", "principal", "mailbox"), st.binary(min_size=16, max_size=16)),
    }
    whole = WHOLE[unit]
    other = msgspec.structs.replace(whole, **{name: data.draw(values[name])})
    if other == whole or (unit is Unit.MAILBOX and name == "uids"):
        return  # a mailbox is ordered whole, however full it has become
    ticket = Realm().mint._blank(TicketKind.GRANT, 300, "steward", "steward-0", "ab" * 32)
    ticket = msgspec.structs.replace(ticket, purpose="destroy", subject=whole.digest().hex())
    rule = Rule("vault.test", ("steward",), TicketKind.GRANT, units=tuple(Unit))
    clear_warrant(rule, ticket, whole)
    with pytest.raises(PostkeepError) as caught:
        clear_warrant(rule, ticket, other)
    assert caught.value.code in {"refused.subject", "invalid", "invalid.uids"}


@pytest.mark.parametrize(
    "wrong",
    [
        Warrant(unit=Unit.PERSON, tenant=TENANT),
        Warrant(unit=Unit.TENANT, tenant=TENANT, principal=ALICE),
        Warrant(unit=Unit.TENANT, tenant=NOBODY),
        Warrant(unit=Unit.TENANT, tenant=b"short"),
        Warrant(unit=Unit.MAILBOX, tenant=TENANT, principal=ALICE, mailbox=INBOX),
        Warrant(unit=Unit.MESSAGE, tenant=TENANT, principal=ALICE, mailbox=INBOX, uids=[(0, 1)]),
        Warrant(unit=Unit.MESSAGE, tenant=TENANT, principal=ALICE, mailbox=INBOX, uids=[(9, 7)]),
        Warrant(
            unit=Unit.MESSAGE, tenant=TENANT, principal=ALICE, mailbox=INBOX, uids=[(1, 1)] * (RANGES_MAX + 1)
        ),
        Warrant(unit=Unit.CATEGORY, tenant=TENANT),
        Warrant(unit=Unit.BACKUP, backup="x" * 65),
        Warrant(unit=Unit.TENANT, tenant=TENANT, reason="x" * (REASON_CHARS_MAX + 1)),
    ],
)
def test_a_warrant_that_does_not_fit_its_unit_is_refused(wrong: Warrant) -> None:
    with pytest.raises(InvalidInputError):
        wrong.check()
