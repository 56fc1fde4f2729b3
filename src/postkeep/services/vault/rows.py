"""From rows of the database to values on the wire."""

from asyncpg import Record

from postkeep.services.vault.api import MailboxRow, SealedName


def mailbox_row(row: Record) -> MailboxRow:
    """Read a mailbox."""
    name = None
    if row["name_epoch"] is not None:
        name = SealedName(row["name_epoch"], row["name_index"], row["name_sealed"])
    return MailboxRow(
        id=row["mailbox"],
        role=row["role"],
        name=name,
        subscribed=row["subscribed"],
        selectable=row["selectable"],
        uid_validity=row["uid_validity"],
        uid_next=row["uid_next"],
        highest_modseq=row["highest_modseq"],
        messages=row["messages"],
        unseen=row["unseen"],
        deleted=row["deleted"],
        size=row["size"],
        deleted_size=row.get("deleted_size", 0),
    )
