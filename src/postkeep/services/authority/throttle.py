"""Throttling of guesses, per account and network, without locking the owner out.

`decide` is pure. Failures are counted in leaky buckets: per (account, network), per network, and per
account over all networks. Who guesses from elsewhere fills buckets that are not the owner's: an account
refuses a network that it has never signed in from when it is under attack, and goes on serving those it
knows. The counts live in memory: a restart forgives at most a bucket's content, and writing every guess to
the disk would be the attacker's lever. Which networks an account knows is stored.
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from postkeep.base.errors import ThrottledError

PAIR_FAILURES_MAX: Final = 10
"""Wrong passwords for one account from one network before it must wait."""

PAIR_LEAK_SECONDS: Final = 60.0
"""One of them is forgiven in this time: 1,440 guesses a day."""

NETWORK_FAILURES_MAX: Final = 60
"""Wrong passwords from one network over all accounts: an office behind one address, mistyping."""

NETWORK_LEAK_SECONDS: Final = 20.0

ACCOUNT_FAILURES_MAX: Final = 60
"""Wrong passwords for one account over all networks before only networks it knows may try."""

ACCOUNT_LEAK_SECONDS: Final = 60.0

DELAY_AFTER: Final = 3
"""Failures of a pair after which answers slow down."""

DELAY_SECONDS: Final = 0.5
DELAY_SECONDS_MAX: Final = 4.0
BUCKETS_MAX: Final = 100_000
"""Buckets of each sort, some 200 bytes each; the one used longest ago goes first."""

IPV6_PREFIX: Final = 64
"""Who has one IPv6 address has the whole /64."""


class Levels(NamedTuple):
    """How full the buckets are that an attempt falls into."""

    pair: float
    network: float
    account: float
    known: bool
    """Whether the account has signed in from this network before."""


def decide(levels: Levels) -> float:
    """Return how long to wait before trying the password; raise ThrottledError if it may not be tried."""
    if levels.pair >= PAIR_FAILURES_MAX:
        raise ThrottledError("too many wrong passwords for the account from there", code="throttled.pair")
    if not levels.known:
        if levels.network >= NETWORK_FAILURES_MAX:
            raise ThrottledError("too many wrong passwords from there", code="throttled.network")
        if levels.account >= ACCOUNT_FAILURES_MAX:
            raise ThrottledError("the account is under attack", code="throttled.account")
    over = levels.pair - DELAY_AFTER
    if over < 0:
        return 0.0
    return float(min(DELAY_SECONDS * 2.0**over, DELAY_SECONDS_MAX))


def network_of(address: str) -> str:
    """Return the network that an IP address stands for; what is no address is its own network."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, IPV6_PREFIX), strict=False))
    return str(ip)


class Buckets:
    """Leaky counters by key."""

    def __init__(self, leak_seconds: float, monotonic: Callable[[], float]) -> None:
        self._leak = leak_seconds
        self._monotonic = monotonic
        self._levels: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def level(self, key: object) -> float:
        """Return how full a bucket is now."""
        level, at = self._levels.get(key, (0.0, 0.0))
        return max(0.0, level - (self._monotonic() - at) / self._leak)

    def add(self, key: object) -> None:
        """Count one more."""
        self._levels[key] = (self.level(key) + 1.0, self._monotonic())
        self._levels.move_to_end(key)
        if len(self._levels) > BUCKETS_MAX:
            self._levels.popitem(last=False)

    def clear(self, key: object) -> None:
        """Empty a bucket."""
        self._levels.pop(key, None)


class Throttle:
    """The buckets of this process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pairs = Buckets(PAIR_LEAK_SECONDS, monotonic)
        self._networks = Buckets(NETWORK_LEAK_SECONDS, monotonic)
        self._accounts = Buckets(ACCOUNT_LEAK_SECONDS, monotonic)

    def check(self, account: bytes, network: str, *, known: bool) -> float:
        """Return how long an attempt must wait first; raise ThrottledError if it may not be made.

        Ask again right before the password is compared: what waited side by side is judged one by one.
        """
        return decide(
            Levels(
                self._pairs.level((account, network)),
                self._networks.level(network),
                self._accounts.level(account),
                known,
            )
        )

    def fail(self, account: bytes, network: str) -> None:
        """Count a wrong password."""
        self._pairs.add((account, network))
        self._networks.add(network)
        self._accounts.add(account)

    def succeed(self, account: bytes, network: str) -> None:
        """Forgive the pair its earlier failures."""
        self._pairs.clear((account, network))
