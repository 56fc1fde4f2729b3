"""Questions to DNS: a domain's servers and their addresses."""

import random
from collections.abc import AsyncGenerator
from ipaddress import ip_address
from typing import Final, NamedTuple

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

from postkeep.faces.relay.guard import is_public
from postkeep.faces.relay.results import DNS_FAILED, LOOP, NO_ROUTE, NO_SUCH_DOMAIN, Ending, Failure
from postkeep.faces.relay.route import ADDRESSES_MAX, RouteError, Server, interleave, order_servers

LIFETIME_SECONDS: Final = 15.0
"""For one question, all tries included."""
CACHE_ANSWERS_MAX: Final = 20_000
"""Answers kept until their TTL ends, about 2 KB each."""
RECORDS_MAX: Final = 100
"""Records of one answer that are looked at."""
_MAPPED: Final = "IPv6:"


class Target(NamedTuple):
    """An address to connect to, and the server's name."""

    name: str
    address: str
    port: int


class LookupPolicy(NamedTuple):
    """What the configuration says."""

    port: int
    own_name: str
    own_endpoints: frozenset[tuple[str, int]]
    """Where this node itself takes mail: sending there would be a loop."""
    allow_private: bool
    smarthost: tuple[str, int] | None


def make_resolver(where: str) -> dns.asyncresolver.Resolver:
    """Make a resolver that asks `address:port`, or with an empty text the system's."""
    resolver = dns.asyncresolver.Resolver(configure=not where)
    if where:
        address, _, port = where.rpartition(":")
        resolver.nameservers = [address.strip("[]")]
        resolver.port = int(port)
    resolver.cache = dns.resolver.LRUCache(CACHE_ANSWERS_MAX)
    resolver.lifetime = LIFETIME_SECONDS
    return resolver


class Lookup:
    """Finds the targets of a destination. Use it from one event loop."""

    def __init__(self, resolver: dns.asyncresolver.Resolver, policy: LookupPolicy) -> None:
        self._resolver = resolver
        self._policy = policy
        self._random = random.SystemRandom()

    async def targets(self, destination: str) -> AsyncGenerator[Target, None]:
        """Yield the addresses to try for a domain, best first, at most ADDRESSES_MAX of them.

        Raises RouteError where there is none; after the first one it just ends.
        """
        policy = self._policy
        if policy.smarthost is not None:
            names, port = [policy.smarthost[0]], policy.smarthost[1]
        else:
            names, port = await self._servers(destination), policy.port
        found = 0
        trouble: Failure | None = None
        for name in names:
            try:
                addresses = await self._allowed(name, port)
            except RouteError as error:
                trouble = _graver(trouble, error.failure)
                continue
            for address in addresses:
                yield Target(name, address, port)
                found += 1
                if found == ADDRESSES_MAX:
                    return
        if not found:
            raise RouteError(
                trouble or Failure(Ending.PERMANENT, NO_ROUTE, detail="no server has an address")
            )

    async def _servers(self, destination: str) -> list[str]:
        if destination.startswith("["):
            return [destination]
        answer = await self._ask(destination, "MX")
        if answer is None:
            return [destination]  # the implicit MX
        servers = [Server(record.preference, _text(record.exchange)) for record in list(answer)[:RECORDS_MAX]]
        return order_servers(servers, self._policy.own_name, self._random.shuffle)

    async def _allowed(self, name: str, port: int) -> list[str]:
        """Return a server's addresses that may be used; raise RouteError if there is none."""
        addresses = await self._addresses(name)
        if not addresses:
            raise RouteError(Failure(Ending.PERMANENT, NO_ROUTE, remote=name, detail="no address"))
        foreign = [one for one in addresses if (one, port) not in self._policy.own_endpoints]
        if not foreign:
            raise RouteError(Failure(Ending.PERMANENT, LOOP, remote=name, detail="our own address"))
        allowed = [one for one in foreign if self._policy.allow_private or is_public(one)]
        if not allowed:
            raise RouteError(Failure(Ending.PERMANENT, NO_ROUTE, remote=name, detail="private address"))
        return allowed

    async def _addresses(self, name: str) -> list[str]:
        literal = name.strip("[]").removeprefix(_MAPPED)
        try:
            return [str(ip_address(literal))]
        except ValueError:
            pass
        four = await self._ask(name, "A")
        try:
            six = await self._ask(name, "AAAA")
        except RouteError:
            if four is None:
                raise
            six = None  # servers that answer AAAA with an error are many, and IPv4 will do
        return interleave(_texts(six), _texts(four))

    async def _ask(self, name: str, kind: str) -> dns.resolver.Answer | None:
        """Ask; None: the name is there, but not such a record. Raises RouteError."""
        try:
            return await self._resolver.resolve(name + ".", kind, search=False)
        except dns.resolver.NoAnswer:
            return None
        except (
            dns.resolver.NXDOMAIN,
            dns.name.LabelTooLong,
            dns.name.EmptyLabel,
            dns.name.NameTooLong,
        ) as exc:
            detail = f"{kind}: no such name"
            raise RouteError(Failure(Ending.PERMANENT, NO_SUCH_DOMAIN, remote=name, detail=detail)) from exc
        except (dns.exception.DNSException, OSError) as exc:
            detail = f"{kind}: {type(exc).__name__}"
            raise RouteError(Failure(Ending.TEMPORARY, DNS_FAILED, remote=name, detail=detail)) from exc


def _graver(first: Failure | None, second: Failure) -> Failure:
    """Choose the trouble that counts: a way that may open again outweighs one that will not."""
    return second if first is None or second.ending is Ending.TEMPORARY else first


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def _texts(answer: dns.resolver.Answer | None) -> list[str]:
    return [] if answer is None else [record.address for record in list(answer)[:RECORDS_MAX]]


def parse_smarthost(text: str) -> tuple[str, int] | None:
    """Read `host:port`; empty: there is none."""
    if not text:
        return None
    host, _, port = text.rpartition(":")
    return host.lower(), int(port)


def own_endpoints(address: str, smtp_port: int) -> frozenset[tuple[str, int]]:
    """Return where this node takes mail from others, as far as its listening address says so."""
    return frozenset({(address, smtp_port)})
