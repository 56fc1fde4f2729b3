"""Deposits in one statement that commits by itself, planned on what was seen of the mailboxes before.

The statement locks in the order of `vault_deposits` and looks whether everything stands as the plan expects.
If it does, the whole group is stored; if not, nothing is, and the caller takes the way that locks first.
Whatever was remembered wrongly, and whoever else writes to the database, the rows decide.
"""

import re
from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import Final, NamedTuple

from postkeep.stores.postgres import Source, database_errors
from postkeep.stores.vault_deposits import (
    BodyInsert,
    DepositRows,
    DepositState,
    EpochInsert,
    MailboxState,
    MessageInsert,
    QueueInsert,
    columns,
)
from postkeep.stores.vault_single import is_single, store_single


class Standing(NamedTuple):
    """Where a mailbox was seen to stand."""

    tenant: bytes
    mailbox: bytes
    principal: bytes
    role: str
    uid_validity: int
    uid_next: int
    highest_modseq: int


_READ: Final = """
SELECT m.tenant, m.mailbox, m.principal, m.role, m.uid_validity, m.uid_next, m.highest_modseq
FROM unnest($1::bytea[], $2::bytea[], $3::text[]) AS wanted (tenant, principal, role)
JOIN mailboxes m USING (tenant, principal, role)
WHERE m.role <> ''
UNION ALL
SELECT m.tenant, m.mailbox, m.principal, m.role, m.uid_validity, m.uid_next, m.highest_modseq
FROM unnest($4::bytea[], $5::bytea[]) AS wanted (tenant, mailbox)
JOIN mailboxes m USING (tenant, mailbox)
"""

# Each "?" becomes the next parameter. Everything that writes waits for `checked`, and so for the locks.
_CHECKED: Final = """
WITH people AS MATERIALIZED (
    SELECT u.tenant, u.principal, u.bytes, u.messages
    FROM unnest(?::bytea[], ?::bytea[], ?::bigint[], ?::bigint[]) AS u (tenant, principal, bytes, messages)
    JOIN principals p USING (tenant, principal)
    WHERE p.limit_bytes IS NULL OR p.used_bytes + u.bytes <= p.limit_bytes
    ORDER BY p.tenant, p.principal
    FOR UPDATE OF p
), boxes AS MATERIALIZED (
    SELECT e.tenant, e.mailbox, e.messages, e.unseen, e.deleted, e.size
    FROM unnest(?::bytea[], ?::bytea[], ?::bytea[], ?::text[], ?::bigint[], ?::bigint[], ?::bigint[],
                ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[])
         AS e (tenant, mailbox, principal, role, uid_validity, uid_next, highest_modseq,
               messages, unseen, deleted, size)
    JOIN mailboxes m USING (tenant, mailbox)
    WHERE m.principal = e.principal AND m.role = e.role AND m.uid_validity = e.uid_validity
      AND m.uid_next = e.uid_next AND m.highest_modseq = e.highest_modseq
    ORDER BY m.tenant, m.mailbox
    FOR UPDATE OF m
), checked AS MATERIALIZED (
    SELECT CASE WHEN (SELECT count(*) FROM people) = ?::int THEN (SELECT count(*) FROM boxes) = ?::int
                ELSE false END AS ok
), used AS (
    UPDATE principals p
    SET used_bytes = p.used_bytes + u.bytes, messages = p.messages + u.messages
    FROM people u
    WHERE (SELECT ok FROM checked) AND p.tenant = u.tenant AND p.principal = u.principal
), counted AS (
    UPDATE mailboxes m
    SET uid_next = m.uid_next + b.messages, highest_modseq = m.highest_modseq + b.messages,
        messages = m.messages + b.messages, unseen = m.unseen + b.unseen, deleted = m.deleted + b.deleted,
        size = m.size + b.size
    FROM boxes b
    WHERE (SELECT ok FROM checked) AND m.tenant = b.tenant AND m.mailbox = b.mailbox
), stored_bodies AS (
    INSERT INTO bodies (tenant, body, pack, "offset", length, refs, placed, summary)
    SELECT * FROM unnest(?::bytea[], ?::bytea[], ?::int[], ?::bigint[], ?::int[], ?::int[], ?::bytea[],
                         ?::bytea[])
    WHERE (SELECT ok FROM checked)
), stored_messages AS (
    INSERT INTO messages (tenant, mailbox, uid, modseq, internal_ms, slot, size, epoch_index, flags, label,
                          body, epoch, keywords)
    SELECT n.tenant, n.mailbox, n.uid, n.modseq, n.internal_ms, n.slot, n.size, n.epoch_index, n.flags,
           n.label, n.body, n.epoch, string_to_array(n.keywords, ' ')
    FROM unnest(?::bytea[], ?::bytea[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::int[],
                ?::int[], ?::smallint[], ?::smallint[], ?::bytea[], ?::bytea[], ?::text[])
         AS n (tenant, mailbox, uid, modseq, internal_ms, slot, size, epoch_index, flags, label, body, epoch,
               keywords)
    WHERE (SELECT ok FROM checked)
), told AS (
    INSERT INTO audit_outbox (event) SELECT * FROM unnest(?::bytea[]) WHERE (SELECT ok FROM checked)
)"""

_EPOCHS: Final = """, stored_epochs AS (
    INSERT INTO epochs (tenant, principal, epoch, sealed)
    SELECT * FROM unnest(?::bytea[], ?::bytea[], ?::bytea[], ?::bytea[])
    WHERE (SELECT ok FROM checked)
    ON CONFLICT DO NOTHING
)"""

_QUEUE: Final = """, queued AS (
    INSERT INTO queue (tenant, item, body, principal, epoch, epoch_index, slot, size, recipients, created_ms,
                       not_before_ms, due_ms, destination, envelope)
    SELECT q.tenant, q.item, q.body, q.principal, q.epoch, q.epoch_index, q.slot, q.size, q.recipients,
           q.created_ms, q.not_before_ms, q.not_before_ms, q.destination, q.envelope
    FROM unnest(?::bytea[], ?::bytea[], ?::bytea[], ?::bytea[], ?::bytea[], ?::int[], ?::bigint[], ?::int[],
                ?::int[], ?::bigint[], ?::bigint[], ?::text[], ?::bytea[])
         AS q (tenant, item, body, principal, epoch, epoch_index, slot, size, recipients, created_ms,
               not_before_ms, destination, envelope)
    WHERE (SELECT ok FROM checked)
)"""

_ANSWER: Final = """
SELECT ok FROM checked
"""


@cache
def _statement(*, epochs: bool, queue: bool) -> str:
    numbers = count(1)
    text = _CHECKED + (_EPOCHS if epochs else "") + (_QUEUE if queue else "") + _ANSWER
    return re.sub(r"\?", lambda _: f"${next(numbers)}", text)


async def read_standing(
    source: Source,
    roles: Sequence[tuple[bytes, bytes, str]],
    mailboxes: Sequence[tuple[bytes, bytes]],
) -> list[Standing]:
    """Look, without locking, where mailboxes stand that are named by role or by identifier.

    Raise UnavailableError if the database is away. What is not there is missing from the answer.
    """
    with database_errors():
        rows = await source.fetch(
            _READ,
            [item[0] for item in roles],
            [item[1] for item in roles],
            [item[2] for item in roles],
            [item[0] for item in mailboxes],
            [item[1] for item in mailboxes],
        )
    return [Standing(*row) for row in rows]


async def store_if_as_expected(source: Source, state: DepositState, rows: DepositRows) -> bool:
    """Store a planned group durably if the rows stand as they did before `state` was planned on, and all of
    it fits in every quota. False: nothing was stored.

    Raise UnavailableError if the database is away: whether the group stands is then unknown. asyncpg's
    errors say that nothing was stored.
    """
    if is_single(state, rows):
        with database_errors():
            return await store_single(source, state, rows)
    people = [(*key, item.added_bytes, item.added_messages) for key, item in state.principals.items()]
    boxes = [_expected(box) for box in state.mailboxes.values()]
    arguments: list[object] = [
        *columns(people, 4),
        *columns(boxes, 11),
        len(people),
        len(boxes),
        *columns(rows.bodies, len(BodyInsert._fields)),
        *columns(rows.messages, len(MessageInsert._fields)),
        rows.events,
    ]
    if rows.epochs:
        arguments += columns(sorted(rows.epochs), len(EpochInsert._fields))
    if rows.queue:
        arguments += columns(rows.queue, len(QueueInsert._fields))
    statement = _statement(epochs=bool(rows.epochs), queue=bool(rows.queue))
    with database_errors():
        return bool(await source.fetchval(statement, *arguments))


def _expected(box: MailboxState) -> tuple[object, ...]:
    """Name what the mailbox must look like before, and what is added; each message takes one UID and one
    modseq."""
    added = box.messages
    return (
        box.tenant,
        box.mailbox,
        box.principal,
        box.role,
        box.uid_validity,
        box.uid_next - added,
        box.highest_modseq - added,
        added,
        box.unseen,
        box.deleted,
        box.size,
    )
