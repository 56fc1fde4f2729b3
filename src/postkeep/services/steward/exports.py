"""Exports of a person's mail: the steward opens the request and sees to nothing else. It never holds a ticket
that reads mail: those go to the command that exports, from the authority itself."""

from typing import Final

from postkeep.base.errors import InvalidInputError
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.authority.governance_api import ExportOrder, OpenRequest
from postkeep.services.steward import exports_api as api
from postkeep.services.steward.control import Control, Operator
from postkeep.services.steward.desk import Methods
from postkeep.services.steward.orders_desk import find_mailbox
from postkeep.services.vault.client import VaultClient
from postkeep.services.vault.export_api import Selection, export_subject

KIND: Final = "export"
REASON_CHARACTERS_MAX: Final = 300
"""Characters of a reason: with what is exported before it, a request's summary holds them."""
TIME_MS_MAX: Final = 253_402_300_799_000  # milliseconds: the last second that a date can show
DIGEST_BYTES: Final = 32  # SHA-256


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
        _check(request)
        info = await self._control.find(operator, request.address, kind="user")
        box = None
        if request.mailbox:
            box = await find_mailbox(self._vault, operator, info, request.mailbox)
        chosen = Selection(
            box.id if box is not None else b"", request.since_ms, request.until_ms, request.recipient
        )
        await self._control.record(operator, "export", tenant=info.tenant, principal=info.principal)
        opened = await self._authority.open_request(
            OpenRequest(
                KIND,
                info.tenant,
                info.principal,
                export_subject(info.tenant, info.principal, chosen),
                "",
                export=ExportOrder(chosen, box.role if box is not None else "", request.reason),
            ),
            ticket=operator.ticket,
        )
        return api.ExportAsked(opened.id, info.tenant, info.principal, info.address, chosen, opened.summary)


def _check(request: api.ExportAsk) -> None:
    if len(request.reason) > REASON_CHARACTERS_MAX or not request.reason.isprintable():
        raise InvalidInputError(
            code="invalid.reason",
            public_text=f"A reason has at most {REASON_CHARACTERS_MAX} printable characters.",
        )
    if not 0 <= request.since_ms <= TIME_MS_MAX or not 0 <= request.until_ms <= TIME_MS_MAX:
        raise InvalidInputError("no such time")
    if request.until_ms and request.until_ms <= request.since_ms:
        raise InvalidInputError(code="invalid.range", public_text="The export ends before it begins.")
    if len(request.recipient) not in {0, DIGEST_BYTES}:
        raise InvalidInputError("a recipient is named by 32 octets")
