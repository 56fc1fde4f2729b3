"""Looking colleagues up for a person who is signed in: by address, to share with them; by identifier, to show
whose a shared mailbox is. Nobody of another company is ever found."""

from collections.abc import Mapping
from typing import Final

import msgspec

from postkeep.base.address import Address, parse_address
from postkeep.base.errors import InvalidInputError, LimitError
from postkeep.services.authority.colleagues_api import Colleague, Colleagues, FindColleagues
from postkeep.services.authority.sealing import PrincipalNames
from postkeep.services.authority.sessions import Sessions, public_key_of
from postkeep.services.authority.state import AuthorityState
from postkeep.stores.authority_directory import PrincipalRow
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

ASKED_MAX: Final = 1_000
"""Addresses and identifiers in one question: everybody whom one mailbox is shared with."""


class ColleagueDesk:
    """Answers `authority.colleagues`."""

    def __init__(self, state: AuthorityState, sessions: Sessions) -> None:
        self._state = state
        self._sessions = sessions

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the method by its name on the wire."""
        return {"authority.colleagues": (FindColleagues, self.colleagues)}

    async def colleagues(self, grant: Grant, request: FindColleagues) -> Colleagues:
        """Look people and groups of the session's company up; who is disabled is found too."""
        if len(request.addresses) + len(request.principals) > ASKED_MAX:
            raise LimitError(f"at most {ASKED_MAX} colleagues in one question")
        tenant = (await self._sessions.held(grant, request.session)).tenant
        directory, seal = self._state.directory, self._state.seal
        lookups = {
            text: seal.lookup(address) for text in request.addresses if (address := _parsed(text)) is not None
        }
        owners = await directory.owners(list(set(lookups.values()))) if lookups else {}
        rows = {row.principal: row for row in owners.values() if row.tenant == tenant}
        for row in await directory.principals_named(tenant, request.principals):
            rows[row.principal] = row
        asked = {
            text: owners[lookup].principal
            for text, lookup in lookups.items()
            if lookup in owners and owners[lookup].tenant == tenant
        }
        return Colleagues([self._colleague(row) for row in rows.values()], asked)

    def _colleague(self, row: PrincipalRow) -> Colleague:
        names = self._state.seal.open(row.sealed, PrincipalNames, "principals", row.tenant, row.principal)
        key = public_key_of(row) if row.public_key is not None else None
        return Colleague(row.principal, row.kind, names.address, key)


def _parsed(text: str) -> Address | None:
    try:
        return parse_address(text)
    except InvalidInputError:
        return None
