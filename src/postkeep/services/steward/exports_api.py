"""The steward's method for exports of a person's mail, as values on the wire."""

import msgspec

from postkeep.model.selection import Selection
from postkeep.services.steward.api import Command


class ExportAsk(Command, frozen=True):
    """`steward.export_ask`: ask for leave to export a person's mail. The same again finds the same request.
    Answers `ExportAsked`; whether it is approved shows when the tickets for it are asked for."""

    address: str
    mailbox: str = ""
    """A mailbox's identifier, or its role (`inbox`, `sent` ...); empty: all of them."""
    since_ms: int = 0
    until_ms: int = 0
    recipient: bytes = b""
    """SHA-256 of the public key that it is for; empty: it will be sealed with a passphrase."""
    reason: str = ""


class ExportAsked(msgspec.Struct, frozen=True):
    """The request, and what it is about."""

    request: bytes
    tenant: bytes
    principal: bytes
    address: str
    selection: Selection
    reason: str
    """What approvers and the owner are shown: of the request that was made first."""
