"""Where mail for an address goes: aliases and groups expanded to the principals that it is sealed to.

A group with a mailbox of its own is a recipient itself, beside its members.

A group's members are followed inside the tenant; members elsewhere come back as `forwards`, which go out
through the queue like any other mail. Groups may contain groups, to a depth, and circles end by themselves.
"""

from collections.abc import Sequence
from typing import Final

from postkeep.base.address import Address, parse_address
from postkeep.base.errors import InvalidInputError, LimitError
from postkeep.services.authority.api import Recipient, Route, Routes
from postkeep.services.authority.sealing import SealedText
from postkeep.services.authority.sessions import public_key_of
from postkeep.services.authority.state import AuthorityState
from postkeep.stores.authority_directory import PrincipalRow, SealedAddress

ADDRESSES_MAX: Final = 1024
"""Addresses in one question: all recipients of the largest message that mx takes."""

GROUP_DEPTH_MAX: Final = 8
"""Groups in groups in groups: what lies deeper gets no mail from the outer group."""

GROUP_MEMBERS_MAX: Final = 10_000
"""Distinct recipients and forwards of one group after expansion."""


class Router:
    """Answers `authority.resolve` in a fixed number of rounds to the database, however many addresses."""

    def __init__(self, state: AuthorityState) -> None:
        self._state = state

    async def resolve(self, texts: Sequence[str]) -> Routes:
        """Return a route for each address, in the order asked, and the version they hold for."""
        if len(texts) > ADDRESSES_MAX:
            raise LimitError(f"at most {ADDRESSES_MAX} addresses in one question")
        seal, directory = self._state.seal, self._state.directory
        version = self._state.feed.version
        parsed = [_parse(text) for text in texts]
        domains = await directory.domains(list({address.domain for address in parsed if address}))
        lookups = {
            address: seal.lookup(address) for address in parsed if address and address.domain in domains
        }
        owners = await directory.owners(list(set(lookups.values()))) if lookups else {}
        routes = []
        for text, address in zip(texts, parsed, strict=True):
            if address is None or address.domain not in domains:
                routes.append(Route(text, "unknown" if address is None else "foreign"))
                continue
            tenant = domains[address.domain]
            owner = owners.get(lookups[address])
            if owner is None:
                routes.append(Route(text, "unknown", tenant=tenant))
            elif owner.status != "active":
                routes.append(Route(text, "disabled", tenant=tenant))
            elif owner.kind == "group":
                routes.append(await self._expand(text, owner))
            else:
                routes.append(Route(text, "local", [Recipient(public_key_of(owner))], tenant=tenant))
        return Routes(routes, version)

    async def _expand(self, text: str, group: PrincipalRow) -> Route:
        recipients: list[Recipient] = []
        outsiders: dict[str, None] = {}
        seen, level = {group.principal}, [group]
        _add_own(recipients, group)
        for _ in range(GROUP_DEPTH_MAX):
            if not level:
                break
            members = await self._state.directory.members_of([item.principal for item in level])
            owners = await self._state.directory.owners(list({item.lookup for item in members}))
            level = []
            for member in members:
                owner = owners.get(member.lookup)
                if owner is None or owner.tenant != group.tenant:
                    outsiders[self._open_member(member)] = None
                elif owner.status == "active" and owner.principal not in seen:
                    seen.add(owner.principal)
                    if owner.kind == "group":
                        level.append(owner)
                        _add_own(recipients, owner)
                    else:
                        recipients.append(Recipient(public_key_of(owner)))
            if len(recipients) + len(outsiders) > GROUP_MEMBERS_MAX:
                raise LimitError(f"a group reaches more than {GROUP_MEMBERS_MAX} recipients")
        forwards = await self._foreign(list(outsiders), group.tenant)
        status = "local" if recipients or forwards else "disabled"
        return Route(text, status, recipients, forwards, group.tenant)

    def _open_member(self, member: SealedAddress) -> str:
        path = (member.principal, member.lookup)
        return self._state.seal.open(member.sealed, SealedText, "members", *path).text

    async def _foreign(self, addresses: list[str], tenant: bytes) -> list[str]:
        """Keep the members who are elsewhere: one in a domain of the tenant without an account is gone."""
        domains = {address: parse_address(address).domain for address in addresses}
        owned = await self._state.directory.domains(list(set(domains.values()))) if domains else {}
        return [address for address, domain in domains.items() if owned.get(domain) != tenant]


def _add_own(recipients: list[Recipient], group: PrincipalRow) -> None:
    """Count a group's own mailbox among the recipients, where it has one."""
    if group.public_key is not None:
        recipients.append(Recipient(public_key_of(group)))


def _parse(text: str) -> Address | None:
    try:
        return parse_address(text)
    except InvalidInputError:
        return None
