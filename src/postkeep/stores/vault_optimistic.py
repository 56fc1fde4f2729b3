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

from postkeep.stores.kept_connections import KeptConnections
from postkeep.stores.postgres import Source, database_errors
from postkeep.stores.vault_deposits import (
    BodyInsert,
    DepositRows,
    DepositState,
    MailboxState,
    MessageInsert,
    PrincipalState,
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

# Each "?" becomes the next parameter. Everything that writes waits for `checked`, and so for the locks. Rows
# are passed in the tables' own types: an array of rows costs both sides half of what one per column does.
# In `principals` and `mailboxes` the counters are what is added; UIDNEXT and modseq are what is expected.
_CHECKED: Final = """
WITH people AS MATERIALIZED (
    SELECT u.tenant, u.principal, u.used_bytes, u.messages
    FROM unnest(?::principals[]) AS u
    JOIN principals p USING (tenant, principal)
    WHERE p.limit_bytes IS NULL OR p.used_bytes + u.used_bytes <= p.limit_bytes
    ORDER BY p.tenant, p.principal
    FOR UPDATE OF p
), boxes AS MATERIALIZED (
    SELECT e.tenant, e.mailbox, e.messages, e.unseen, e.deleted, e.size, e.keywords
    FROM unnest(?::mailboxes[]) AS e
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
    SET used_bytes = p.used_bytes + u.used_bytes, messages = p.messages + u.messages
    FROM people u
    WHERE (SELECT ok FROM checked) AND p.tenant = u.tenant AND p.principal = u.principal
), counted AS (
    UPDATE mailboxes m
    SET uid_next = m.uid_next + b.messages, highest_modseq = m.highest_modseq + b.messages,
        messages = m.messages + b.messages, unseen = m.unseen + b.unseen, deleted = m.deleted + b.deleted,
        size = m.size + b.size,
        keywords = CASE WHEN b.keywords IS NULL THEN m.keywords ELSE keywords_with(m.keywords, b.keywords) END
    FROM boxes b
    WHERE (SELECT ok FROM checked) AND m.tenant = b.tenant AND m.mailbox = b.mailbox
), stored_bodies AS (
    INSERT INTO bodies SELECT n.* FROM unnest(?::bodies[]) AS n WHERE (SELECT ok FROM checked)
), stored_messages AS (
    INSERT INTO messages SELECT n.* FROM unnest(?::messages[]) AS n WHERE (SELECT ok FROM checked)
), told AS (
    INSERT INTO audit_outbox (event) SELECT * FROM unnest(?::bytea[]) WHERE (SELECT ok FROM checked)
)"""

_EPOCHS: Final = """, stored_epochs AS (
    INSERT INTO epochs SELECT n.* FROM unnest(?::epochs[]) AS n WHERE (SELECT ok FROM checked)
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

_UNNAMED: Final = (None,) * 5  # name_epoch, name_index, name_sealed, subscribed, selectable

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


async def store_if_as_expected(connections: KeptConnections, state: DepositState, rows: DepositRows) -> bool:
    """Store a planned group durably if the rows stand as they did before `state` was planned on, and all of
    it fits in every quota. False: nothing was stored.

    Raise UnavailableError if the database is away: whether the group stands is then unknown. asyncpg's
    errors say that nothing was stored.
    """
    if is_single(state, rows):
        with database_errors():
            return await store_single(connections, state, rows)
    arguments: list[object] = [
        [_principal(key, item) for key, item in state.principals.items()],
        [_mailbox(box) for box in state.mailboxes.values()],
        len(state.principals),
        len(state.mailboxes),
        [_body(row) for row in rows.bodies],
        [_message(row) for row in rows.messages],
        rows.events,
    ]
    if rows.epochs:
        arguments.append(sorted(rows.epochs))
    if rows.queue:
        arguments += columns(rows.queue, len(QueueInsert._fields))
    statement = _statement(epochs=bool(rows.epochs), queue=bool(rows.queue))
    with database_errors():
        return bool(await connections.fetchval(statement, *arguments))


def _principal(key: tuple[bytes, bytes], added: PrincipalState) -> tuple[object, ...]:
    """Write what is added to a principal as a row of `principals`."""
    return (*key, None, added.added_bytes, added.added_messages, None, None, None)


def _mailbox(box: MailboxState) -> tuple[object, ...]:
    """Write what a mailbox must look like before and what is added as a row of `mailboxes`; each message
    takes one UID and one modseq."""
    added = box.messages
    return (
        box.tenant,
        box.principal,
        box.mailbox,
        box.role,
        *_UNNAMED,
        box.uid_validity,
        box.uid_next - added,
        box.highest_modseq - added,
        added,
        box.unseen,
        box.deleted,
        box.size,
        sorted(box.keywords) or None,
    )


def _body(row: BodyInsert) -> tuple[object, ...]:
    return (*row[:6], None, *row[6:])  # it is not gone


def _message(row: MessageInsert) -> tuple[object, ...]:
    return row if row.keywords is None else (*row[:-2], row.keywords.split(" "), row.saved_ms)
