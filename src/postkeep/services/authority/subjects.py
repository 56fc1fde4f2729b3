"""What a request is about. For a destruction that is its warrant, and no module's words beside it: approvers
read what every keeper will be shown."""

from typing import Final

from postkeep.base.errors import InvalidInputError
from postkeep.model.warrant import PURPOSE, Unit, Warrant
from postkeep.services.authority.governance import Subject
from postkeep.services.authority.governance_api import OpenRequest
from postkeep.services.authority.requests import TEXT_CHARACTERS_MAX

UIDS_SHOWN: Final = 8
"""Ranges of UIDs that a request names one by one; the order has them all."""


def subject_of(request: OpenRequest) -> Subject:
    """Return what a request is about; InvalidInputError where it says something else beside its warrant."""
    warrant = request.destruction
    if (request.kind == PURPOSE) != (warrant is not None):
        raise InvalidInputError("a destruction is asked for with its warrant, and nothing else is")
    told = (request.tenant, request.principal, request.digest)
    if warrant is None:
        return Subject(request.kind, *told, request.summary)
    warrant.check()
    if told != (warrant.tenant, warrant.principal, warrant.digest()):
        raise InvalidInputError("the request is about something else than its warrant")
    return Subject(request.kind, *told, warrant_words(warrant))


def warrant_words(warrant: Warrant) -> str:
    """Say what a warrant destroys, in words that name nobody, as far as there is room."""
    ranges = [f"{low}" if low == high else f"{low}:{high}" for low, high in warrant.uids]
    more = f" and {len(ranges) - UIDS_SHOWN} more ranges" if len(ranges) > UIDS_SHOWN else ""
    what = {
        Unit.MESSAGE: f"the messages with UID {','.join(ranges[:UIDS_SHOWN])}{more}"
        f" in the mailbox {warrant.mailbox.hex()}",
        Unit.MAILBOX: f"the mailbox {warrant.mailbox.hex()}",
        Unit.PERSON: "the person, with all mail and keys",
        Unit.CATEGORY: f"the company's data of the category {warrant.category}",
        Unit.TENANT: "the whole company, with all mail and keys",
        Unit.BACKUP: f"the backup {warrant.backup}",
    }[warrant.unit]
    reason = "".join(char if char.isprintable() else " " for char in warrant.reason)
    text = f"{what}. Reason: {reason}" if reason else f"{what}. No reason was given."
    return text if len(text) <= TEXT_CHARACTERS_MAX else f"{text[: TEXT_CHARACTERS_MAX - 1]}…"
