"""Entries of the ledger in the words of the person whom they are about."""

from typing import Final

from postkeep.model.audit import AuditEvent, EventName
from postkeep.node.cli.texts import text
from postkeep.tickets.rules import EXPORT

_SESSION_CHARS: Final = 8
"""Enough of an identifier's random end to tell one from another."""

_FIXED: Final = {
    EventName.SIGN_OUT: "access.sign_out",
    EventName.TICKET_ISSUE: "access.ticket",
    EventName.TICKET_REFUSE: "access.ticket",
    EventName.TICKET_REVOKE: "access.ticket.revoked",
    EventName.ACCESS_REFUSE: "access.refuse",
    EventName.KEY_REFUSE: "access.key.refuse",
    EventName.KEY_CREATE: "access.key.create",
    EventName.KEY_ROTATE: "access.key.rotate",
    EventName.KEY_SHRED: "access.key.shred",
    EventName.KEY_SHARE: "access.key.share",
    EventName.SHARE: "access.share",
    EventName.SHRED: "access.shred",
    EventName.QUEUE: "access.queue",
    EventName.ADMIN: "access.admin",
    EventName.REQUEST_OPEN: "access.request.asked",
    EventName.REQUEST_DECIDE: "access.request.decided",
    EventName.REQUEST_GRANT: "access.request.granted",
    EventName.REQUEST_CLOSE: "access.request.closed",
}
_BY_METHOD: Final = {
    "vault.deposit": "access.deposit",
    "vault.append": "access.append",
    "vault.submit": "access.submit",
    "vault.content": "access.read.content",
    "vault.summaries": "access.read.summaries",
    "vault.mailboxes": "access.read.summaries",
    "vault.rows": "access.read.summaries",
    "vault.pages": "access.read.summaries",
    "vault.updates": "access.read.summaries",
    "vault.export_begin": "access.export.names",
    "vault.export_page": "access.export.read",
    "vault.queue_content": "access.read.queue",
    "vault.queue_lease": "access.read.queue",
    "vault.store_flags": "access.write.flags",
    "vault.copy": "access.write.copy",
    "vault.change_mailboxes": "access.write.mailboxes",
}
_BY_ACT: Final = {
    "user.create": "access.directory.create",
    "user.password": "access.directory.password",
    "user.active": "access.directory.status",
    "user.disabled": "access.directory.status",
    "user.quota": "access.directory.quota",
    "alias.create": "access.directory.alias",
    "alias.delete": "access.directory.alias",
    "user.sender": "access.directory.alias",
    "app_password.create": "access.directory.app",
    "app_password.delete": "access.directory.app",
    "token.create": "access.directory.token",
    "token.delete": "access.directory.token",
}
"""Changes of the directory, by the name that the authority gives them."""

_REQUESTS: Final = frozenset(
    {
        EventName.REQUEST_OPEN,
        EventName.REQUEST_DECIDE,
        EventName.REQUEST_GRANT,
        EventName.REQUEST_CLOSE,
        EventName.EXPORT,
    }
)
"""Events whose note begins with the identifier of a request."""

_OWN_MODULES: Final = {"imap": "IMAP", "submission": "SMTP"}


def words(event: AuditEvent) -> str:
    """Say what was done."""
    note = event.note or event.method
    if event.event in _REQUESTS:
        note = note.partition(" ")[2]
    what = text(_key(event), count=event.count, note=note, event=event.event)
    if event.outcome == "ok":
        return what.strip()
    return text("access.refused", what=what.strip(), code=event.code)


def _key(event: AuditEvent) -> str:
    name = event.event
    if name is EventName.SIGN_IN:
        return "access.sign_in" if event.outcome == "ok" else "access.sign_in.refused"
    if name is EventName.KEY_RELEASE:
        return "access.key.person" if event.note == "person" else "access.key.release"
    if name in {EventName.DEPOSIT, EventName.READ, EventName.WRITE}:
        return _BY_METHOD.get(event.method, "access.write" if name is EventName.WRITE else "access.other")
    if name is EventName.TICKET_ISSUE and event.module == EXPORT:
        return "access.ticket.export"
    if name is EventName.EXPORT:
        return f"access.export.{'end' if event.note.endswith(' end') else 'begin'}"
    if name is EventName.DIRECTORY:
        return _BY_ACT.get(event.note, "access.directory")
    return _FIXED.get(name, "access.other")


def who(event: AuditEvent) -> str:
    """Say who did it, as far as the ledger knows."""
    if event.event is EventName.SIGN_IN and event.outcome != "ok":
        return text("access.by.somebody")
    if event.actor and event.actor != "operator":
        key = "access.by.colleague" if event.event is EventName.DEPOSIT else "access.by.staff"
        return text(key, actor=event.actor[-_SESSION_CHARS:])
    if event.actor == "operator" or event.module in {"cli", "steward"}:
        return text("access.by.operator")
    if event.module == "owner":
        return text("access.by.command")
    if event.module == EXPORT:
        return text("access.by.export")
    if event.module in _OWN_MODULES and event.session:
        return text("access.by.you", module=_OWN_MODULES[event.module])
    return text("access.by.server", module=event.module or event.source.partition(".")[0])


def request_of(event: AuditEvent) -> str:
    """Return the request that an event names, of those that are about somebody's mail; empty: none."""
    if event.event in _REQUESTS or (event.event is EventName.READ and event.module == EXPORT):
        return event.note.partition(" ")[0]
    return ""


def why(event: AuditEvent, request: str = "", reason: str = "") -> str:
    """Say on what grounds: whose session, or which work; or which request, and what it was approved for."""
    if request:
        key = "access.why.reason" if reason else "access.why.request"
        return text(key, request=request, reason=reason)
    session = event.session[-_SESSION_CHARS:]
    if event.module in {"cli", "steward"}:
        return text("access.why.command", session=session)
    if event.session:
        return text("access.why.session", session=session)
    if event.event is EventName.DEPOSIT:
        return text("access.why.delivery")
    if event.module == "relay":
        return text("access.why.sending")
    if event.event is EventName.KEY_RELEASE and event.note == "person":
        return text("access.why.ledger")
    return "-"
