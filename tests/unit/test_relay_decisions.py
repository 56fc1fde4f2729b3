"""The relay's decisions: when to try again, what follows from an attempt, where mail may go."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postkeep.faces.relay.finish import UNREPORTED_SECONDS, postponed
from postkeep.faces.relay.guard import is_public
from postkeep.faces.relay.lookup import parse_smarthost
from postkeep.faces.relay.results import EXPIRED, LOOP, NULL_MX, Ending, Result
from postkeep.faces.relay.route import SERVERS_MAX, RouteError, Server, interleave, order_servers
from postkeep.faces.relay.schedule import LEASE_ITEMS_MAX, RetryPolicy, next_attempt_ms, schedule
from postkeep.faces.relay.settle import Attempt, Settlement, settle
from postkeep.services.queue.envelope import QueuedRecipient, QueueEnvelope

POLICY = RetryPolicy((60, 300, 900), 10_000, 1000)
NOW = 1_000_000_000


def _results(*endings: Ending, notify: Sequence[str] = ()) -> list[Result]:
    return [
        Result(QueuedRecipient(f"r{place}@x.org", tuple(notify)), ending, "4.2.0", "450 4.2.0 no", "mx.x.org")
        for place, ending in enumerate(endings)
    ]


def _settle(
    results: list[Result], *, age: int = 0, reverse_path: str = "s@y.org", **changes: Any
) -> Settlement:
    envelope = QueueEnvelope(1, reverse_path, tuple(result.recipient for result in results))
    attempt = Attempt(NOW - age * 1000, 0, delay_notified=False, now_ms=NOW, chance=0.0)
    return settle(envelope, results, msgspec.structs.replace(attempt, **changes), POLICY)


def _addresses(results: Sequence[Result]) -> list[str]:
    return [result.recipient.address for result in results]


def test_waits_follow_the_policy_and_the_last_one_repeats() -> None:
    waits = [next_attempt_ms(attempts, NOW, NOW, POLICY, 0.0) - NOW for attempts in range(5)]
    assert waits == [60_000, 300_000, 900_000, 900_000, 900_000]


def test_chance_makes_a_wait_longer_by_a_fifth_at_most() -> None:
    assert next_attempt_ms(0, NOW, NOW, POLICY, 0.999) - NOW == 71_988


def test_the_last_attempt_falls_on_the_expiry() -> None:
    created = NOW - 9_990_000
    assert next_attempt_ms(2, created, NOW, POLICY, 0.5) == created + 10_000_000


def test_leases_leave_room_and_leave_out_full_destinations() -> None:
    demand = schedule({"full.org": 20, "some.org": 3}, backlog_max=20, items_max=400)
    assert demand == (LEASE_ITEMS_MAX, ["full.org"])
    assert schedule({"a.org": 399}, 400, 400).limit == 1
    assert schedule({"a.org": 401}, 500, 400).limit == 0


def test_an_item_with_all_recipients_delivered_is_done_and_unreported() -> None:
    settlement = _settle(_results(Ending.DELIVERED, Ending.RELAYED))
    assert not settlement.remaining
    assert not settlement.failed + settlement.relayed + settlement.delayed
    assert settlement.counts == {"delivered": 2, "deferred": 0, "failed": 0}
    assert settlement.reason == ""


def test_each_recipient_goes_its_own_way() -> None:
    settlement = _settle(_results(Ending.DELIVERED, Ending.TEMPORARY, Ending.PERMANENT))
    assert [recipient.address for recipient in settlement.remaining] == ["r1@x.org"]
    assert _addresses(settlement.failed) == ["r2@x.org"]
    assert settlement.not_before_ms == NOW + 60_000
    assert settlement.reason == "450 4.2.0 mx.x.org"
    assert settlement.counts == {"delivered": 1, "deferred": 1, "failed": 1}


def test_nothing_with_a_null_reverse_path_is_ever_reported() -> None:
    endings = (Ending.PERMANENT, Ending.RELAYED, Ending.TEMPORARY)
    notify = ("SUCCESS", "FAILURE", "DELAY")
    settlement = _settle(_results(*endings, notify=notify), age=5000, reverse_path="")
    assert not settlement.failed + settlement.relayed + settlement.delayed
    assert len(settlement.remaining) == 1


def test_after_expiry_temporary_failures_are_final() -> None:
    settlement = _settle(_results(Ending.TEMPORARY), age=10_000)
    assert not settlement.remaining
    assert [(result.status, result.diagnostic) for result in settlement.failed] == [(EXPIRED, "450 4.2.0 no")]


def test_a_delay_is_told_once_and_only_after_its_time() -> None:
    assert not _settle(_results(Ending.TEMPORARY), age=999).delayed
    told = _settle(_results(Ending.TEMPORARY), age=1000)
    assert _addresses(told.delayed) == ["r0@x.org"]
    assert told.delay_notified
    again = _settle(_results(Ending.TEMPORARY), age=2000, delay_notified=True)
    assert not again.delayed
    assert again.delay_notified


@pytest.mark.parametrize(
    ("notify", "failed", "delayed", "relayed"),
    [
        ((), 1, 1, 0),
        (("NEVER",), 0, 0, 0),
        (("FAILURE",), 1, 0, 0),
        (("DELAY",), 0, 1, 0),
        (("SUCCESS",), 0, 0, 1),
    ],
)
def test_reports_follow_what_the_sender_asked_for(
    notify: tuple[str, ...], failed: int, delayed: int, relayed: int
) -> None:
    results = _results(Ending.PERMANENT, Ending.TEMPORARY, Ending.RELAYED, Ending.DELIVERED, notify=notify)
    settlement = _settle(results, age=1000)
    assert (len(settlement.failed), len(settlement.delayed), len(settlement.relayed)) == (
        failed,
        delayed,
        relayed,
    )


@given(
    st.lists(st.sampled_from(list(Ending)), min_size=1, max_size=6),
    st.sampled_from([(), ("NEVER",), ("SUCCESS", "FAILURE"), ("DELAY",)]),
    st.integers(0, 20_000),
    st.sampled_from(["s@y.org", ""]),
)
def test_every_recipient_is_delivered_retried_or_failed_and_none_is_lost(
    endings: list[Ending], notify: tuple[str, ...], age: int, sender: str
) -> None:
    settlement = _settle(_results(*endings, notify=notify), age=age, reverse_path=sender)
    assert sum(settlement.counts.values()) == len(endings)
    assert len(settlement.remaining) == settlement.counts["deferred"]
    if sender and notify in ((), ("SUCCESS", "FAILURE")):
        assert len(settlement.failed) == settlement.counts["failed"]
    if settlement.remaining:
        assert settlement.not_before_ms > NOW


def test_who_could_not_be_reported_stays_and_is_tried_soon() -> None:
    settlement = _settle(_results(Ending.DELIVERED, Ending.TEMPORARY, Ending.PERMANENT), age=1000)
    attempt = Attempt(NOW - 1_000_000, 0, delay_notified=False, now_ms=NOW, chance=0.0)
    kept = postponed(settlement, attempt)
    assert [recipient.address for recipient in kept.remaining] == ["r1@x.org", "r2@x.org"]
    assert kept.counts == {"delivered": 1, "deferred": 2, "failed": 0}
    assert not kept.delay_notified
    assert kept.not_before_ms <= NOW + UNREPORTED_SECONDS * 1000


def _as_given(_servers: list[Server]) -> None:
    """Leave chance out."""


def test_servers_are_tried_by_preference_and_by_chance_among_equals() -> None:
    servers = [Server(20, "c"), Server(10, "a"), Server(10, "b"), Server(10, "a")]
    assert order_servers(servers, "own", _as_given) == ["a", "b", "c"]
    assert order_servers([Server(10, "a"), Server(10, "b")], "own", list.reverse) == ["b", "a"]


def test_a_null_mx_takes_no_mail() -> None:
    with pytest.raises(RouteError) as error:
        order_servers([Server(0, "")], "own", _as_given)
    assert (error.value.failure.ending, error.value.failure.status) == (Ending.PERMANENT, NULL_MX)


def test_servers_that_would_send_back_to_us_are_left_out() -> None:
    servers = [Server(5, "a"), Server(10, "own"), Server(10, "b"), Server(20, "c")]
    assert order_servers(servers, "own", _as_given) == ["a"]
    with pytest.raises(RouteError) as error:
        order_servers(servers[1:], "own", _as_given)
    assert error.value.failure.status == LOOP


def test_a_flood_of_servers_is_cut() -> None:
    assert len(order_servers([Server(1, f"s{n}") for n in range(500)], "own", _as_given)) == SERVERS_MAX


def test_addresses_of_both_families_take_turns() -> None:
    assert interleave(["6a", "6b", "6c"], ["4a"]) == ["6a", "4a", "6b", "6c"]
    assert interleave([], ["4a", "4b"]) == ["4a", "4b"]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("2002:7f00:1::1", False),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b::93.184.216.34", True),
    ],
)
def test_only_addresses_of_the_open_internet_are_public(address: str, *, public: bool) -> None:
    assert is_public(address) is public


def test_a_smarthost_is_a_host_and_a_port() -> None:
    assert parse_smarthost("") is None
    assert parse_smarthost("Mail.Example.org:587") == ("mail.example.org", 587)
    assert parse_smarthost("[::1]:25") == ("[::1]", 25)
