"""The end of people, groups and companies in the directory. Sessions end first: nobody acts meanwhile."""

from collections.abc import Mapping

import msgspec

from postkeep.base.errors import NotFoundError, RefusedError
from postkeep.base.ids import NOBODY
from postkeep.services.authority import api
from postkeep.services.authority.state import AuthorityState
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant


class Deletion:
    """`authority.delete_tenant`, `authority.delete_principal` and `authority.delete_group`.

    People and companies go on an approved order only; a group has no mail and no keys, so that an operator's
    word is enough.
    """

    def __init__(self, state: AuthorityState) -> None:
        self._state = state

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the methods by their name on the wire."""
        return {
            "authority.delete_tenant": (api.DeleteTenant, self.delete_tenant),
            "authority.delete_principal": (api.DeletePrincipal, self.delete_principal),
            "authority.delete_group": (api.DeleteGroup, self.delete_group),
        }

    async def delete_tenant(self, grant: Grant, request: api.DeleteTenant) -> api.Done:
        """End the sessions of a company and forget all that the directory holds of it."""
        tenant = request.warrant.tenant
        await self._state.revoke(grant, api.Revoke("tenant", tenant.hex()))
        version = await self._state.directory.remove_tenant(tenant)
        await self._state.revoke(grant, api.Revoke("tenant", tenant.hex()))  # who came in meanwhile
        self._state.persons.forget(tenant)
        self._state.changed(version, grant, "tenant.delete", tenant=tenant)
        return api.Done()

    async def delete_principal(self, grant: Grant, request: api.DeletePrincipal) -> api.Done:
        """End a user's sessions and forget the user, or a group with a mailbox; who is gone is no error."""
        await self._forget(grant, request.warrant.principal, has_mail=True)
        return api.Done()

    async def delete_group(self, grant: Grant, request: api.DeleteGroup) -> api.Done:
        """Forget a group; one that is gone already is no error."""
        await self._forget(grant, request.principal, has_mail=False)
        return api.Done()

    async def _forget(self, grant: Grant, principal: bytes, *, has_mail: bool) -> None:
        try:
            row = await self._state.directory.principal(principal)
        except NotFoundError:
            return
        if (row.public_key is not None) is not has_mail or grant.tenant not in {NOBODY, row.tenant}:
            raise RefusedError("not whom this is about", code="refused.principal")
        await self._state.directory.set_status(principal, "disabled")
        await self._state.revoke(grant, api.Revoke("user", principal.hex()))
        version = await self._state.directory.remove_principal(principal)
        self._state.persons.forget(row.tenant, principal)
        self._state.changed(version, grant, f"{row.kind}.delete", tenant=row.tenant, principal=principal)
