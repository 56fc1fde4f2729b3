"""Where a domain's mail goes: its servers in order (RFC 5321 section 5.1; RFC 7505). Pure.

The questions to DNS are asked in `lookup`; what follows from the answers stands here.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from postkeep.faces.relay.results import LOOP, NULL_MX, Ending, Failure

SERVERS_MAX: Final = 10
"""Servers of a domain that are considered, the preferred ones first."""
ADDRESSES_MAX: Final = 8
"""Addresses tried in one attempt."""


class Server(NamedTuple):
    """One MX record."""

    preference: int
    name: str
    """A-label form, lower case, no dot at its end."""


class RouteError(Exception):
    """There is no way to a destination, for now or for good; `failure` says which."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail or failure.status)
        self.failure = failure


def order_servers(
    servers: Sequence[Server], own_name: str, shuffle: Callable[[list[Server]], None]
) -> list[str]:
    """Return the names to try, by preference and by chance among equals.

    Where our own name is among them, only the servers preferred to it are left: mail for the others would
    come back to us. Raises RouteError for a null MX and where nothing is left.
    """
    if any(not server.name for server in servers):
        raise RouteError(Failure(Ending.PERMANENT, NULL_MX, detail="null MX"))
    chosen = list(servers)
    shuffle(chosen)
    chosen.sort(key=lambda server: server.preference)
    own = [server.preference for server in chosen if server.name == own_name]
    if own:
        chosen = [server for server in chosen if server.preference < min(own)]
        if not chosen:
            raise RouteError(Failure(Ending.PERMANENT, LOOP, detail="the best server is this one"))
    names: list[str] = []
    for server in chosen:
        if server.name not in names:
            names.append(server.name)
    return names[:SERVERS_MAX]


def interleave(six: Sequence[str], four: Sequence[str]) -> list[str]:
    """Mix a server's addresses, IPv6 first, so that a family without a route costs one attempt only."""
    mixed: list[str] = []
    for place in range(max(len(six), len(four))):
        mixed += six[place : place + 1]
        mixed += four[place : place + 1]
    return mixed
