"""The deposit of one message into one mailbox, in one statement without arrays: most groups of a quiet vault.

It is `vault_optimistic` for a single row of everything, at half the work for both sides.
"""

from typing import Final

from postkeep.stores.kept_connections import KeptConnections
from postkeep.stores.vault_deposits import DepositRows, DepositState

# The principal is locked first. The mailbox is changed only if it stands as expected, everything else only
# if the mailbox was changed.
_STORE: Final = """
WITH owner AS MATERIALIZED (
    SELECT 1 FROM principals
    WHERE tenant = $1 AND principal = $2 AND (limit_bytes IS NULL OR used_bytes + $8::int <= limit_bytes)
    FOR UPDATE
), counted AS (
    UPDATE mailboxes
    SET uid_next = uid_next + 1, highest_modseq = highest_modseq + 1, messages = messages + 1,
        unseen = unseen + $9::int, deleted = deleted + $10::int, size = size + $8::int,
        keywords = CASE WHEN $23::text IS NULL THEN keywords
                        ELSE keywords_with(keywords, string_to_array($23::text, ' ')) END
    WHERE EXISTS (SELECT FROM owner) AND tenant = $1 AND mailbox = $3 AND principal = $2 AND role = $4
      AND uid_validity = $5 AND uid_next = $6::bigint AND highest_modseq = $7::bigint - 1
    RETURNING 1
), used AS (
    UPDATE principals SET used_bytes = used_bytes + $8::int, messages = messages + 1
    WHERE EXISTS (SELECT FROM counted) AND tenant = $1 AND principal = $2
), stored_body AS (
    INSERT INTO bodies (tenant, body, pack, "offset", length, refs, placed, summary, text_length)
    SELECT $1::bytea, $11::bytea, $12::int, $13::bigint, $14::int, 1, $15::bytea, $16::bytea, $25::int
    WHERE EXISTS (SELECT FROM counted)
), stored_message AS (
    INSERT INTO messages (tenant, mailbox, uid, modseq, internal_ms, slot, size, epoch_index, flags, label,
                          body, epoch, keywords, saved_ms)
    SELECT $1::bytea, $3::bytea, $6::bigint, $7::bigint, $17::bigint, $18::bigint, $8::int, $19::int,
           $20::smallint, $21::smallint, $11::bytea, $22::bytea, string_to_array($23::text, ' '), $26::bigint
    WHERE EXISTS (SELECT FROM counted)
), told AS (
    INSERT INTO audit_outbox (event) SELECT $24::bytea WHERE EXISTS (SELECT FROM counted)
)
SELECT EXISTS (SELECT FROM counted)
"""


def is_single(state: DepositState, rows: DepositRows) -> bool:
    """Say whether a planned group is one message for one mailbox and nothing else."""
    return (
        len(rows.messages)
        == len(rows.bodies)
        == len(rows.events)
        == len(state.mailboxes)
        == len(state.principals)
        == 1
        and not rows.epochs
        and not rows.queue
    )


async def store_single(connections: KeptConnections, state: DepositState, rows: DepositRows) -> bool:
    """Store a group that `is_single`, durably, if its mailbox stands as it did before `state` was planned
    on and the message fits. False: nothing was stored."""
    (box,) = state.mailboxes.values()
    (body,) = rows.bodies
    (message,) = rows.messages
    return bool(
        await connections.fetchval(
            _STORE,
            box.tenant,
            box.principal,
            box.mailbox,
            box.role,
            box.uid_validity,
            message.uid,
            message.modseq,
            message.size,
            box.unseen,
            box.deleted,
            body.body,
            body.pack,
            body.offset,
            body.length,
            body.placed,
            body.summary,
            message.internal_ms,
            message.slot,
            message.epoch_index,
            message.flags,
            message.label,
            message.epoch,
            message.keywords,
            rows.events[0],
            body.text_length,
            message.saved_ms,
        )
    )
