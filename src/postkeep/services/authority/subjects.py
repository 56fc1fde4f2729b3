"""What a request is about. For a destruction that is its warrant, for an export what is chosen, and no other
module's words beside it: approvers read what every keeper will be shown."""

import datetime as dt
from typing import Final

from postkeep.base.errors import InvalidInputError
from postkeep.model import selection, warrant
from postkeep.model.warrant import Unit, Warrant
from postkeep.services.authority.governance import Subject
from postkeep.services.authority.governance_api import ExportOrder, OpenRequest
from postkeep.services.authority.requests import TEXT_CHARACTERS_MAX

UIDS_SHOWN: Final = 8
"""Ranges of UIDs that a request names one by one; the order has them all."""


def subject_of(request: OpenRequest) -> Subject:
    """Return what a request is about; InvalidInputError where it says something else beside its order."""
    if (request.kind == warrant.PURPOSE) != (request.destruction is not None):
        raise InvalidInputError("a destruction is asked for with its warrant, and nothing else is")
    if (request.kind == selection.PURPOSE) != (request.export is not None):
        raise InvalidInputError("an export is asked for with what is chosen, and nothing else is")
    if request.destruction is not None:
        return _of_destruction(request, request.destruction)
    if request.export is not None:
        return _of_export(request, request.export)
    told = (request.tenant, request.principal, request.digest)
    return Subject(request.kind, *told, request.summary)


def _of_destruction(request: OpenRequest, ordered: Warrant) -> Subject:
    ordered.check()
    told = (request.tenant, request.principal, request.digest)
    if told != (ordered.tenant, ordered.principal, ordered.digest()):
        raise InvalidInputError("the request is about something else than its warrant")
    return Subject(request.kind, *told, warrant_words(ordered))


def _of_export(request: OpenRequest, ordered: ExportOrder) -> Subject:
    ordered.selection.check()
    told = (request.tenant, request.principal, request.digest)
    if request.digest != selection.export_subject(request.tenant, request.principal, ordered.selection):
        raise InvalidInputError("the request is about something else than what is chosen")
    return Subject(request.kind, *told, export_words(ordered))


def warrant_words(ordered: Warrant) -> str:
    """Say what a warrant destroys, in words that name nobody, as far as there is room."""
    ranges = [f"{low}" if low == high else f"{low}:{high}" for low, high in ordered.uids]
    more = f" and {len(ranges) - UIDS_SHOWN} more ranges" if len(ranges) > UIDS_SHOWN else ""
    what = {
        Unit.MESSAGE: f"the messages with UID {','.join(ranges[:UIDS_SHOWN])}{more}"
        f" in the mailbox {ordered.mailbox.hex()}",
        Unit.MAILBOX: f"the mailbox {ordered.mailbox.hex()}",
        Unit.PERSON: "the person, with all mail and keys",
        Unit.CATEGORY: f"the company's data of the category {ordered.category}",
        Unit.TENANT: "the whole company, with all mail and keys",
        Unit.BACKUP: f"the backup {ordered.backup}",
    }[ordered.unit]
    reason = "".join(char if char.isprintable() else " " for char in ordered.reason)
    text = f"{what}. Reason: {reason}" if reason else f"{what}. No reason was given."
    return text if len(text) <= TEXT_CHARACTERS_MAX else f"{text[: TEXT_CHARACTERS_MAX - 1]}…"


def export_words(order: ExportOrder) -> str:
    """Say what is exported, for whom and why, as approvers and the owner read it."""
    chosen = order.selection
    label = f" ({order.label})" if order.label else ""
    what = f"the mailbox {chosen.mailbox.hex()}{label}" if chosen.mailbox else "all mailboxes"
    words = [f"Read out {what}"]
    words += [f"from {_day(chosen.since_ms)}"] if chosen.since_ms else []
    words += [f"until {_day(chosen.until_ms)}"] if chosen.until_ms else []
    words.append(
        f"for the holder of the key {chosen.recipient.hex()}"
        if chosen.recipient
        else "for who asks, who chooses a passphrase"
    )
    text = ", ".join(words)
    return f"{text}. Reason: {order.reason}" if order.reason else f"{text}. No reason was given."


def _day(time_ms: int) -> str:
    return dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
