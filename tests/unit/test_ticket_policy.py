"""The policy of who may hold which ticket: what the tables allow is permitted by a line that says why, and a
text that can't be relied on keeps the authority from starting. Cross rule 2 of the acceptance."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postkeep.base.errors import IntegrityError, RefusedError, UnavailableError
from postkeep.base.ids import NOBODY, new_id
from postkeep.model.categories import Category
from postkeep.model.ticket import Action, Ticket, TicketKind
from postkeep.services.authority import policy as policy_module
from postkeep.services.authority.policy import (
    FORBIDDEN,
    SCHEMA_FILE,
    PolicyRefusedError,
    TicketPolicy,
    load_policy,
)
from postkeep.tickets import entitlements, rules
from postkeep.tickets.identity import ModuleIdentity
from postkeep.tickets.mint import Mint

POLICY = load_policy()
SCHEMA = SCHEMA_FILE.read_text("utf-8")
KEY = ModuleIdentity("authority", "a")
MINT = Mint(KEY.sign, policy=POLICY)


def test_every_module_may_hold_its_own_ticket_and_no_right_with_it() -> None:
    for module in rules.EVERYBODY:
        ticket, _ = MINT.module(module, f"{module}-0.test", "h")
        assert POLICY.decide(ticket) == "module.is-enrolled"


@pytest.mark.parametrize("face", entitlements.SESSION_ACTIONS)
def test_every_session_that_the_tables_know_is_permitted(face: str) -> None:
    ticket, _ = MINT.user(face, "f", "h", tenant=new_id(), principal=new_id(), session=new_id())
    assert POLICY.decide(ticket).startswith("user.")


@pytest.mark.parametrize(
    ("purpose", "holder"),
    [(purpose, holder) for purpose in entitlements.PURPOSES for holder in purpose.holders],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_every_purpose_of_the_table_is_permitted_to_its_holders_and_to_nobody_else(
    purpose: entitlements.Purpose, holder: str
) -> None:
    ticket, _ = MINT.operation(holder, "i", "h", purpose)
    assert POLICY.decide(ticket) == f"operation.{purpose.name}"
    for other in set(rules.EVERYBODY) - set(purpose.holders):
        with pytest.raises(PolicyRefusedError):
            MINT.operation(other, "i", "h", purpose)


def test_staff_and_grants_are_permitted_where_they_belong() -> None:
    for role in entitlements.STAFF_ROLES:
        ticket, _ = MINT.staff("cli", "c", "h", session=new_id(), principal=new_id(), roles=(role,))
        assert POLICY.decide(ticket) == "staff.works-from-a-command-line"
    for kind in entitlements.GRANT_ACTIONS:
        holder, audience = entitlements.grant_place(kind)
        for module in rules.EVERYBODY:
            asked: dict[str, Any] = {
                "kind": kind, "request": new_id(), "subject": os.urandom(32), "tenant": new_id(),
                "principal": new_id(),
            }  # fmt: skip
            if module != holder:
                with pytest.raises(PolicyRefusedError):
                    MINT.grant(module, "m", "h", **asked)
                continue
            ticket, _ = MINT.grant(module, "m", "h", **asked)
            assert ticket.audience == audience
            permitted = "export-is-held-by-the-command-that-exports" if kind == "export" else ""
            assert POLICY.decide(ticket) == f"grant.{permitted or 'is-held-by-the-steward'}"


def test_a_grant_that_reads_mail_names_its_person_and_allows_nothing_else() -> None:
    """TM-41: whoever holds it, whatever it is called."""
    for change in (
        {"tenant": NOBODY},
        {"principal": NOBODY},
        {"kind": "destroy"},
        {"module": "steward"},
        {"module": "cli"},
        {"module": "imap"},
    ):
        asked: dict[str, Any] = {
            "module": "export", "kind": "export", "request": new_id(), "subject": os.urandom(32),
            "tenant": new_id(), "principal": new_id(), **change,
        }  # fmt: skip
        with pytest.raises(PolicyRefusedError):
            MINT.grant(asked.pop("module"), "m", "h", **asked)
    ticket, _ = MINT.grant(
        "export", "m", "h", kind="export", request=new_id(), subject=os.urandom(32), tenant=new_id(),
        principal=new_id(),
    )  # fmt: skip
    assert ticket.actions == (Action.MAIL_EXPORT,)
    for action in set(Action) - {Action.MAIL_EXPORT}:
        with pytest.raises(PolicyRefusedError):
            POLICY.decide(msgspec.structs.replace(ticket, actions=(Action.MAIL_EXPORT, action)))


def test_staff_tickets_are_for_command_lines() -> None:
    with pytest.raises(PolicyRefusedError):
        MINT.staff("imap", "i", "h", session=new_id())
    with pytest.raises(PolicyRefusedError):
        MINT.staff("cli", "c", "h", session=new_id(), roles=("approver",))


def test_a_refusal_names_the_policy_that_forbids_and_nothing_is_signed() -> None:
    ticket, _ = MINT.user("imap", "f", "h", tenant=new_id(), principal=new_id(), session=new_id())
    for change, policies in (
        ({"level": 0}, "never.a-user-who-is-not-named"),
        ({"expires": ticket.issued + 901}, "never.longer-than-a-quarter-of-an-hour"),
        ({"kind": TicketKind.STAFF}, "never.mail-without-its-user"),
        ({"module": "mx"}, ""),
    ):
        changed = Ticket(**{**{name: getattr(ticket, name) for name in ticket.__struct_fields__}, **change})
        with pytest.raises(PolicyRefusedError) as caught:
            POLICY.decide(changed)
        assert caught.value.policies == policies
        assert caught.value.code == "refused.policy"


_TICKETS = st.builds(
    Ticket,
    id=st.just("a" * 32),
    kind=st.sampled_from(TicketKind),
    issued=st.just(1000),
    expires=st.integers(900, 3000),
    audience=st.lists(st.sampled_from(rules.KEEPERS), unique=True).map(tuple),
    holder=st.just("h"),
    module=st.sampled_from([*rules.EVERYBODY, "stranger"]),
    tenant=st.sampled_from(["", "aa" * 16]),
    principal=st.sampled_from(["", "bb" * 16]),
    session=st.sampled_from(["", "cc" * 16]),
    level=st.integers(0, 2),
    actions=st.lists(st.sampled_from(Action), unique=True, max_size=3).map(tuple),
    categories=st.lists(st.sampled_from(Category), unique=True, max_size=3).map(tuple),
    budget=st.sampled_from([None, 10]),
    purpose=st.sampled_from(["", "deliver", "relay", "maintain"]),
)


@given(_TICKETS)
def test_whatever_is_asked_mail_is_for_named_users_at_their_faces_and_for_minutes(ticket: Ticket) -> None:
    try:
        POLICY.decide(ticket)
    except RefusedError:
        return
    assert 0 < ticket.expires - ticket.issued <= 900
    if {Action.MAIL_READ, Action.MAIL_WRITE, Action.MAIL_SEND} & set(ticket.actions):
        assert ticket.kind is TicketKind.USER
        assert ticket.module in rules.FACES
        assert all((ticket.tenant, ticket.principal, ticket.session, ticket.level))


def test_a_text_that_can_not_be_relied_on_stops_the_start() -> None:
    text = POLICY.text
    for broken, why in (
        ("permit (", "can't be read"),
        (text.replace("context.seconds", "context.secnods"), "secnods"),
        ("", "refuses what all needs"),
        (text + '@id("open") permit (principal, action, resource);', "permits what must never be"),
        (
            text.replace('@id("never.a-user-who-is-not-named")\nforbid', "permit"),
            "permits what must never be",
        ),
    ):
        assert broken != text
        with pytest.raises(IntegrityError, match=why) as caught:
            TicketPolicy(broken, SCHEMA)
        assert caught.value.code == "ticket_policy"
        assert "tickets.cedar" in caught.value.public_text


@pytest.mark.parametrize("forbid", [name for name in POLICY.text.split('"') if name.startswith("never.")])
def test_each_never_refuses_something_that_would_be_permitted_without_it(
    forbid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So none of them is a line that only looks like a protection."""
    parts = POLICY.text.split("@id(")
    (line,) = [part for part in parts if part.startswith(f'"{forbid}"')]
    weaker = "@id(".join(part for part in parts if part is not line)
    probes: dict[str, tuple[str, dict[str, object]]] = {
        "never.mail-without-its-user": ("staff", {"actions": (Action.MAIL_READ,)}),
        "never.an-export-without-its-request": ("staff", {"actions": (Action.MAIL_EXPORT,)}),
        "never.a-user-who-is-not-named": ("user", {"principal": ""}),
        "never.longer-than-a-quarter-of-an-hour": ("user", {"expires": 100_000}),
        "never.secrets": ("staff", {"categories": (Category.SECRET,)}),
        "never.approvals-by-who-acts": ("staff", {"actions": (Action.REQUEST_DECIDE,)}),
    }
    kind, change = probes[forbid]
    ticket = _sample(kind, change)
    with pytest.raises(PolicyRefusedError):
        POLICY.decide(ticket)
    monkeypatch.setattr(policy_module, "FORBIDDEN", ())  # they would notice even before this test does
    assert TicketPolicy(weaker, SCHEMA).decide(ticket)


def _sample(kind: str, change: dict[str, object]) -> Ticket:
    base: dict[str, object] = {
        "id": "a" * 32, "kind": TicketKind(kind), "issued": 1000, "expires": 1300, "audience": ("vault",),
        "holder": "h", "module": "imap" if kind == "user" else "cli", "tenant": "aa", "principal": "",
        "session": "cc", "level": 1,
    }  # fmt: skip
    if kind == "user":
        base |= {"principal": "bb", "actions": (Action.MAIL_READ,), "categories": (Category.CONTENT,)}
    return Ticket(**(base | change))  # type: ignore[arg-type]


def test_the_same_shape_is_worked_out_once_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = load_policy()
    monkeypatch.setattr(policy_module, "SHAPES_MAX", len(FORBIDDEN) + 10)
    mint = Mint(KEY.sign, policy=policy)
    before = len(policy._answers)
    for _ in range(5):
        mint.user("submission", "f", "h", tenant=new_id(), principal=new_id(), session=new_id())
    assert len(policy._answers) == before + 1
    for seconds in range(1, 60):
        policy._decide(FORBIDDEN[0]._replace(seconds=seconds))
    assert len(policy._answers) == len(FORBIDDEN) + 10


def test_before_kms_has_answered_only_module_tickets_are_signed() -> None:
    mint = Mint(None, start=KEY.sign, policy=POLICY)
    assert mint.module("imap", "i", "h")[1]
    with pytest.raises(UnavailableError):
        mint.user("imap", "f", "h", tenant=new_id(), principal=new_id(), session=new_id())
    mint.adopt(KEY.sign)
    assert mint.user("imap", "f", "h", tenant=new_id(), principal=new_id(), session=new_id())


def test_the_text_is_packaged_beside_the_code() -> None:
    assert Path(policy_module.__file__).with_name("tickets.cedar").is_file()
