"""The steward's method for the key that tickets are signed with."""

from postkeep.services.authority.api import RotateTicketKey, TicketKeyInfo
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.steward import api
from postkeep.services.steward.control import Control, Operator
from postkeep.services.steward.desk import Methods


class TicketKeyDesk:
    """Has the authority exchange its key."""

    def __init__(self, control: Control, authority: AuthorityClient) -> None:
        self._control = control
        self._authority = authority

    def methods(self) -> Methods:
        """Return the methods."""
        return {"key_rotate_ticket": (api.KeyRotateTicket, self.key_rotate_ticket)}

    async def key_rotate_ticket(self, operator: Operator, _request: api.KeyRotateTicket) -> TicketKeyInfo:
        """Exchange the key; refused while two are live."""
        await self._control.record(operator, "key_rotate_ticket")
        return await self._authority.rotate_ticket_key(RotateTicketKey(), ticket=operator.ticket)
