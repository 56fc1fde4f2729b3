"""Rows of messages that are copied from one principal's mailbox to another's, under keys wrapped anew."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from postkeep.stores.postgres import Connection
from postkeep.stores.vault_changes import copy_keywords


class AcrossRow(NamedTuple):
    """A message's place in the mailbox it is copied to, and what opens it there."""

    uid: int
    new_uid: int
    slot: int
    epoch: bytes
    step: int


class Kept(NamedTuple):
    """What goes along of a message's flags."""

    bits: int
    """Those of these system flags that it has."""
    keywords: bool


async def copy_across(  # noqa: PLR0917 - from where to where, and the facts of it
    connection: Connection,
    tenant: bytes,
    places: tuple[bytes, bytes],
    copies: Sequence[AcrossRow],
    modseq: int,
    kept: Kept,
    now_ms: int,
) -> None:
    """Insert copies of messages of the first of two mailboxes into the second, with their keywords."""
    uids, new_uids, slots, epochs, indexes = (list(column) for column in zip(*copies, strict=True))
    await connection.execute(
        _COPY, tenant, *places, uids, new_uids, slots, epochs, indexes, modseq, *kept, now_ms
    )
    if kept.keywords:
        await copy_keywords(connection, tenant, *places, uids)


_COPY: Final = """
INSERT INTO messages (tenant, mailbox, uid, modseq, internal_ms, slot, size, epoch_index, flags, label, body,
                      epoch, keywords, saved_ms)
SELECT m.tenant, $3, c.new_uid, $9, m.internal_ms, c.slot, m.size, c.epoch_index,
       (m.flags & $10::int)::smallint, m.label, m.body, c.epoch,
       CASE WHEN $11::boolean THEN m.keywords END, $12
FROM unnest($4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[], $8::int[])
     AS c (uid, new_uid, slot, epoch, epoch_index)
JOIN messages m ON m.tenant = $1 AND m.mailbox = $2 AND m.uid = c.uid
"""
