"""Groups with a mailbox of their own: once the directory knows a group's key, its mail is sealed to it."""

from collections.abc import Mapping

import msgspec

from postkeep.base.errors import InvalidInputError, RefusedError
from postkeep.services.authority.api import Done, OpenGroupMailbox
from postkeep.services.authority.state import AuthorityState
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant


class GroupMailboxDesk:
    """Answers `authority.open_mailbox`."""

    def __init__(self, state: AuthorityState) -> None:
        self._state = state

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the method by its name on the wire."""
        return {"authority.open_mailbox": (OpenGroupMailbox, self.open_mailbox)}

    async def open_mailbox(self, grant: Grant, request: OpenGroupMailbox) -> Done:
        """Give a group its key. Whether kms has vouched for it is checked by whoever seals to it."""
        row, key = await self._state.directory.principal(request.principal), request.key
        if row.kind != "group":
            raise RefusedError("not a group", code="refused.principal")
        if (key.tenant, key.principal) != (row.tenant, row.principal):
            raise InvalidInputError("the public key is another principal's")
        if row.generation is None:
            version = await self._state.directory.give_key(
                key.principal, key.generation, key.public_key, key.signature
            )
            self._state.changed(version, grant, "group.mailbox", tenant=row.tenant, principal=row.principal)
        return Done()
