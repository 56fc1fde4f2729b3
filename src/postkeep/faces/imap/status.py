"""STATUS: what it tells of a mailbox, by itself and as part of LIST (RFC 5819)."""

from collections.abc import Callable
from typing import Final

from postkeep.faces.imap.limits import APPEND_BYTES_MAX
from postkeep.faces.imap.replies import no_such_mailbox
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import completed
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import Status, StatusItem
from postkeep.services.vault.api import MailboxRow

_VALUES: Final[dict[StatusItem, Callable[[MailboxRow], int | str]]] = {
    StatusItem.MESSAGES: lambda row: row.messages,
    StatusItem.RECENT: lambda _row: 0,
    StatusItem.UIDNEXT: lambda row: row.uid_next,
    StatusItem.UIDVALIDITY: lambda row: row.uid_validity,
    StatusItem.UNSEEN: lambda row: row.unseen,
    StatusItem.DELETED: lambda row: row.deleted,
    StatusItem.DELETED_STORAGE: lambda row: row.deleted_size,
    StatusItem.SIZE: lambda row: row.size,
    StatusItem.HIGHESTMODSEQ: lambda row: max(row.highest_modseq, 1),
    StatusItem.APPENDLIMIT: lambda _row: APPEND_BYTES_MAX,
    StatusItem.MAILBOXID: lambda row: row.id.hex(),
}


def status_values(row: MailboxRow, items: tuple[StatusItem, ...]) -> dict[StatusItem, int | str]:
    """Return what STATUS tells of a mailbox."""
    return {item: _VALUES[item](row) for item in items}


async def status(session: Session, tag: bytes, command: Status) -> Completion:
    """Answer STATUS."""
    del tag
    sizes = StatusItem.DELETED_STORAGE in command.items
    found = await session.need_account().named(command.mailbox, deleted_sizes=sizes)
    if found is None or not found.row.selectable:
        raise no_such_mailbox()
    session.condstore |= StatusItem.HIGHESTMODSEQ in command.items
    values = status_values(found.row, command.items)
    await session.send(responses.mailbox_status(found.name, values, utf8=session.utf8))
    return Completion(completed("STATUS"))
