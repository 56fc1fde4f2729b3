"""Exports of a person's mail: the steward opens the request and sees to nothing else. It never holds a ticket
that reads mail: those go to the command that exports, from the authority itself."""

from typing import Final

import msgspec

from postkeep.base.errors import InvalidInputError
from postkeep.model.selection import PURPOSE, Selection, export_subject
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.authority.governance_api import ExportOrder, OpenRequest
from postkeep.services.steward import exports_api as api
from postkeep.services.steward.control import Control, Operator
from postkeep.services.steward.desk import Methods
from postkeep.services.steward.orders_desk import find_mailbox
from postkeep.services.vault.client import VaultClient

REASON_CHARACTERS_MAX: Final = 300
"""Characters of a reason: with what is exported before it, a request's summary holds them."""


class ExportDesk:
    """Answers `steward.export_ask`."""

    def __init__(self, control: Control, authority: AuthorityClient, vault: VaultClient) -> None:
        self._control = control
        self._authority = authority
        self._vault = vault

    def methods(self) -> Methods:
        """Return the methods."""
        return {"export_ask": (api.ExportAsk, self.export_ask)}

    async def export_ask(self, operator: Operator, request: api.ExportAsk) -> api.ExportAsked:
        """Open the request for an export, or find the one that is open."""
        _check_reason(request.reason)
        chosen = Selection(b"", request.since_ms, request.until_ms, request.recipient)
        chosen.check()
        info = await self._control.find(operator, request.address, kind="user")
        label = ""
        if request.mailbox:
            box = await find_mailbox(self._vault, operator, info, request.mailbox)
            chosen, label = msgspec.structs.replace(chosen, mailbox=box.id), box.role
        await self._control.record(operator, "export", tenant=info.tenant, principal=info.principal)
        opened = await self._authority.open_request(
            OpenRequest(
                PURPOSE,
                info.tenant,
                info.principal,
                export_subject(info.tenant, info.principal, chosen),
                "",
                export=ExportOrder(chosen, label, request.reason),
            ),
            ticket=operator.ticket,
        )
        return api.ExportAsked(opened.id, info.tenant, info.principal, info.address, chosen, opened.summary)


def _check_reason(reason: str) -> None:
    if len(reason) > REASON_CHARACTERS_MAX or not reason.isprintable():
        raise InvalidInputError(
            code="invalid.reason",
            public_text=f"A reason has at most {REASON_CHARACTERS_MAX} printable characters.",
        )
