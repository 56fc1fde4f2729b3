"""Throttling: pure decisions, buckets that leak, and networks of addresses (TM-13)."""

import pytest

from postkeep.base.errors import ThrottledError
from postkeep.services.authority import throttle
from postkeep.services.authority.throttle import Levels, Throttle, decide, network_of


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("levels", "outcome"),
    [
        (Levels(0, 0, 0, known=False), 0.0),
        (Levels(2.9, 59, 59, known=False), 0.0),
        (Levels(3, 0, 0, known=False), 0.5),
        (Levels(4, 0, 0, known=True), 1.0),
        (Levels(9.9, 0, 0, known=True), 4.0),
        (Levels(10, 0, 0, known=True), "throttled.pair"),
        (Levels(0, 60, 0, known=False), "throttled.network"),
        (Levels(0, 60, 0, known=True), 0.0),
        (Levels(0, 0, 60, known=False), "throttled.account"),
        (Levels(0, 0, 60, known=True), 0.0),
    ],
)
def test_the_decision_follows_how_full_the_buckets_are(levels: Levels, outcome: float | str) -> None:
    if isinstance(outcome, str):
        with pytest.raises(ThrottledError) as caught:
            decide(levels)
        assert caught.value.code == outcome
        assert caught.value.temporary
    else:
        assert decide(levels) == pytest.approx(outcome)


def test_an_attack_from_many_networks_leaves_the_owner_alone() -> None:
    time = Time()
    guard = Throttle(time)
    for number in range(1000):
        try:
            guard.check(b"alice", f"198.51.100.{number}", known=False)
        except ThrottledError:
            continue
        guard.fail(b"alice", f"198.51.100.{number}")
    assert guard.check(b"alice", "192.0.2.1", known=True) == 0.0
    with pytest.raises(ThrottledError):
        guard.check(b"alice", "203.0.113.77", known=False)
    assert guard.check(b"bob", "203.0.113.77", known=False) == 0.0
    time.now += throttle.ACCOUNT_LEAK_SECONDS * 2
    assert guard.check(b"alice", "203.0.113.77", known=False) == 0.0


def test_failures_are_forgiven_with_time_and_by_success() -> None:
    time = Time()
    guard = Throttle(time)
    for _ in range(throttle.PAIR_FAILURES_MAX):
        guard.fail(b"alice", "192.0.2.1")
    with pytest.raises(ThrottledError):
        guard.check(b"alice", "192.0.2.1", known=True)
    time.now += throttle.PAIR_LEAK_SECONDS
    assert guard.check(b"alice", "192.0.2.1", known=True) == throttle.DELAY_SECONDS_MAX
    guard.succeed(b"alice", "192.0.2.1")
    assert guard.check(b"alice", "192.0.2.1", known=True) == 0.0


def test_a_day_of_guessing_from_one_network_stays_below_two_thousand_tries() -> None:
    time = Time()
    guard = Throttle(time)
    tries = 0
    for _ in range(86_400):
        time.now += 1
        try:
            guard.check(b"alice", "198.51.100.1", known=True)
        except ThrottledError:
            continue
        guard.fail(b"alice", "198.51.100.1")
        tries += 1
    assert tries <= 1_500


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "BUCKETS_MAX", 100)
    guard = Throttle(Time())
    for number in range(1000):
        guard.fail(str(number).encode(), str(number))
    assert len(guard._pairs._levels) == 100
    assert len(guard._accounts._levels) == 100


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("not an address", "not an address"),
    ],
)
def test_a_network_is_what_one_party_has(address: str, network: str) -> None:
    assert network_of(address) == network
