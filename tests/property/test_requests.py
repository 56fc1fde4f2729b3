"""G1, G2: whatever happens to a request, nothing is granted on it without the approvals that it needs.

The oracle below keeps its own books of who said what and knows nothing of the state machine's.
"""

from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postkeep.base.errors import InvalidInputError, PostkeepError, RefusedError
from postkeep.base.ids import NOBODY
from postkeep.services.authority import requests
from postkeep.services.authority.requests import Act, Policy, Request, State

EXAMPLES = 200
"""Sequences of acts; `make fuzz` multiplies them by 50: 10,000."""

PEOPLE = [bytes([number]) * 16 for number in range(1, 7)]
HOUR_MS = 3_600_000


class Step(NamedTuple):
    """One thing that happens: an act by somebody after some time, under the policy of the moment."""

    act: Act
    by: bytes
    hours: int
    approvers: frozenset[bytes]
    dual: bool


steps = st.builds(
    Step,
    st.sampled_from([*Act, Act.APPROVE, Act.APPROVE, Act.APPROVE, Act.GRANT]),
    st.sampled_from([NOBODY, *PEOPLE]),
    st.sampled_from([0, 0, 0, 1, 30]),
    st.frozensets(st.sampled_from(PEOPLE), min_size=2),
    st.sampled_from([True, True, True, False]),
)


def new_request(requester: bytes, principal: bytes, *, needed: int) -> Request:
    blank = Request(
        b"r" * 16,
        "destroy",
        NOBODY,
        principal,
        b"d" * 32,
        "",
        requester,
        0,
        0,
        requests.REQUEST_SECONDS * 1000,
    )
    return requests.open_request(blank, Policy(needed, frozenset()))


@settings(max_examples=EXAMPLES)
@given(
    requester=st.sampled_from([NOBODY, *PEOPLE]),
    principal=st.sampled_from([NOBODY, *PEOPLE]),
    path=st.lists(steps, max_size=14),
    dual=st.booleans(),
)
def test_no_path_grants_without_a_quorum_of_others_in_good_standing(
    *, requester: bytes, principal: bytes, path: list[Step], dual: bool
) -> None:
    request = new_request(requester, principal, needed=2 if dual else 0)
    now_ms, said_yes, over, first_grant_ms = 0, set[bytes](), False, None
    for step in path:
        now_ms += step.hours * HOUR_MS
        policy = Policy(2 if step.dual else 0, step.approvers)
        try:
            request = requests.decide(request, step.act, step.by, now_ms, policy)
        except RefusedError:
            continue
        if step.act is Act.APPROVE:
            assert step.by not in said_yes
            said_yes.add(step.by)
        elif step.act in {Act.DECLINE, Act.WITHDRAW}:
            over = True
        elif step.act is Act.CLOSE:
            over = True
            assert first_grant_ms is not None
        else:
            count = len((said_yes & step.approvers) - {requester, principal})
            assert count >= (2 if dual or step.dual else 0)
            assert not over
            first_grant_ms = now_ms if first_grant_ms is None else first_grant_ms
            assert first_grant_ms < requests.REQUEST_SECONDS * 1000
            assert now_ms < first_grant_ms + requests.RESUME_SECONDS * 1000


def test_a_sole_approver_who_is_the_requester_grants_nothing() -> None:
    boss = PEOPLE[0]
    request = new_request(boss, NOBODY, needed=2)
    with pytest.raises(RefusedError, match="of their own"):
        requests.decide(request, Act.APPROVE, boss, 1, Policy(2, frozenset({boss})))
    with pytest.raises(RefusedError) as refused:
        requests.decide(request, Act.GRANT, NOBODY, 1, Policy(2, frozenset({boss})))
    assert refused.value.code.startswith("approval_needed")


@pytest.mark.parametrize(("act", "by"), [(Act.DECLINE, PEOPLE[2]), (Act.WITHDRAW, NOBODY)])
def test_one_word_against_it_ends_a_request_that_others_have_approved(act: Act, by: bytes) -> None:
    policy = Policy(2, frozenset(PEOPLE))
    request = new_request(NOBODY, NOBODY, needed=2)
    for approver in PEOPLE[:2]:
        request = requests.decide(request, Act.APPROVE, approver, 1, policy)
    request = requests.decide(request, act, by, 2, policy)
    for after in (Act.GRANT, Act.APPROVE):
        with pytest.raises(RefusedError, match=r"declined|withdrawn"):
            requests.decide(request, after, PEOPLE[4], 3, policy)


def test_whom_a_request_is_about_does_not_approve_it() -> None:
    first, second, third = PEOPLE[:3]
    policy = Policy(2, frozenset(PEOPLE))
    request = new_request(first, second, needed=2)
    with pytest.raises(RefusedError, match="about themselves"):
        requests.decide(request, Act.APPROVE, second, 1, policy)
    request = requests.decide(request, Act.APPROVE, third, 1, policy)
    assert request.state is State.OPEN


def test_an_approver_disabled_after_the_vote_does_not_count_and_another_can_step_in() -> None:
    policy = Policy(2, frozenset(PEOPLE))
    request = new_request(NOBODY, NOBODY, needed=2)
    for by in PEOPLE[:2]:
        request = requests.decide(request, Act.APPROVE, by, 1, policy)
    assert request.state is State.APPROVED
    after = Policy(2, frozenset(PEOPLE[1:]))
    with pytest.raises(RefusedError):
        requests.decide(request, Act.GRANT, NOBODY, 2, after)
    request = requests.decide(request, Act.APPROVE, PEOPLE[3], 3, after)
    assert requests.decide(request, Act.GRANT, NOBODY, 4, after).state is State.GRANTED


def test_requests_kept_in_stock_from_before_dual_control_need_its_approvals() -> None:
    stock = new_request(NOBODY, NOBODY, needed=0)
    assert stock.state is State.APPROVED
    assert requests.decide(stock, Act.GRANT, NOBODY, 1, Policy(0, frozenset())).state is State.GRANTED
    with pytest.raises(RefusedError):
        requests.decide(stock, Act.GRANT, NOBODY, 1, Policy(2, frozenset(PEOPLE)))


def test_nothing_is_granted_after_the_end_that_the_request_names() -> None:
    policy = Policy(2, frozenset(PEOPLE))
    request = new_request(NOBODY, NOBODY, needed=2)
    for by in PEOPLE[:2]:
        request = requests.decide(request, Act.APPROVE, by, 1, policy)
    end = request.expires_ms
    with pytest.raises(RefusedError, match="run out"):
        requests.decide(request, Act.GRANT, NOBODY, end, policy)
    begun = requests.decide(request, Act.GRANT, NOBODY, end - 1, policy)
    assert requests.decide(begun, Act.GRANT, NOBODY, end + 1, policy).state is State.GRANTED
    closed = requests.decide(begun, Act.CLOSE, NOBODY, end + 2, policy)
    with pytest.raises(RefusedError, match="carried out"):
        requests.decide(closed, Act.GRANT, NOBODY, end + 3, policy)


@pytest.mark.parametrize(
    "odd",
    [
        {"kind": "sudo"},
        {"digest": b"short"},
        {"summary": "x" * 501},
        {"summary": "two\nlines"},
        {"expires_ms": 0},
    ],
)
def test_a_request_that_is_not_one_is_not_opened(odd: dict[str, object]) -> None:
    blank = new_request(NOBODY, NOBODY, needed=2)
    with pytest.raises(InvalidInputError):
        requests.open_request(msgspec.structs.replace(blank, **odd), Policy(2, frozenset()))


def test_a_refusal_tells_what_to_do() -> None:
    request = new_request(NOBODY, NOBODY, needed=2)
    with pytest.raises(PostkeepError) as refused:
        requests.decide(request, Act.GRANT, NOBODY, 1, Policy(2, frozenset(PEOPLE)))
    assert f"approve {request.id.hex()}" in refused.value.public_text
