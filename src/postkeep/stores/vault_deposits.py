"""Rows of new messages: what a deposit must know, under lock, and one statement that stores a whole group.

Everybody who changes rows takes locks in this order: principals, mailboxes, bodies, packs; each by tenant and
identifier. So groups of deposits and the owner's own changes never wait for each other in a circle.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from postkeep.base.ids import new_id
from postkeep.stores.postgres import Connection

ROLES: Final = ("inbox", "sent", "drafts", "trash", "junk", "archive")

_LOCK = """
WITH people AS MATERIALIZED (
    SELECT p.tenant, p.principal, p.limit_bytes, p.used_bytes
    FROM principals p
    WHERE (p.tenant, p.principal) IN (SELECT * FROM unnest($1::bytea[], $2::bytea[]))
    ORDER BY p.tenant, p.principal
    FOR UPDATE
), boxes AS MATERIALIZED (
    SELECT m.tenant, m.mailbox, m.principal, m.role, m.uid_validity, m.uid_next, m.highest_modseq
    FROM mailboxes m
    WHERE (m.tenant, m.mailbox) IN (
        SELECT r.tenant, r.mailbox
        FROM unnest($3::bytea[], $4::bytea[], $5::text[]) AS wanted (tenant, principal, role)
        JOIN mailboxes r USING (tenant, principal, role)
        WHERE r.role <> ''
        UNION ALL
        SELECT * FROM unnest($6::bytea[], $7::bytea[])
    )
    ORDER BY m.tenant, m.mailbox
    FOR UPDATE
)
SELECT 'principal' AS kind, tenant, principal AS id, NULL AS owner, NULL AS role, limit_bytes AS a,
       used_bytes AS b, NULL::bigint AS c, NULL::bytea AS placed
FROM people
UNION ALL
SELECT 'mailbox', tenant, mailbox, principal, role, uid_validity, uid_next, highest_modseq, NULL FROM boxes
UNION ALL
SELECT 'body', b.tenant, b.body, NULL, NULL, NULL, NULL, NULL, b.placed
FROM bodies b
JOIN unnest($8::bytea[], $9::bytea[]) AS asked (tenant, body) USING (tenant, body)
"""

_STORE = """
WITH stored_bodies AS (
    INSERT INTO bodies (tenant, body, pack, "offset", length, refs, placed, summary, text_length)
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::int[], $4::bigint[], $5::int[], $6::int[],
                         $7::bytea[], $8::bytea[], $9::int[])
), stored_messages AS (
    INSERT INTO messages (tenant, mailbox, uid, modseq, internal_ms, slot, size, epoch_index, flags, label,
                          body, epoch, keywords, saved_ms)
    SELECT n.tenant, n.mailbox, n.uid, n.modseq, n.internal_ms, n.slot, n.size, n.epoch_index, n.flags,
           n.label, n.body, n.epoch, string_to_array(n.keywords, ' '), n.saved_ms
    FROM unnest($10::bytea[], $11::bytea[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
                $16::int[], $17::int[], $18::smallint[], $19::smallint[], $20::bytea[], $21::bytea[],
                $22::text[], $23::bigint[])
         AS n (tenant, mailbox, uid, modseq, internal_ms, slot, size, epoch_index, flags, label, body, epoch,
               keywords, saved_ms)
), counted AS (
    UPDATE mailboxes m
    SET uid_next = c.uid_next, highest_modseq = c.highest_modseq, messages = m.messages + c.messages,
        unseen = m.unseen + c.unseen, deleted = m.deleted + c.deleted, size = m.size + c.size,
        keywords = CASE WHEN c.keywords IS NULL THEN m.keywords
                        ELSE keywords_with(m.keywords, string_to_array(c.keywords, ' ')) END
    FROM unnest($24::bytea[], $25::bytea[], $26::bigint[], $27::bigint[], $28::bigint[], $29::bigint[],
                $30::bigint[], $31::bigint[], $32::text[])
         AS c (tenant, mailbox, uid_next, highest_modseq, messages, unseen, deleted, size, keywords)
    WHERE m.tenant = c.tenant AND m.mailbox = c.mailbox
), used AS (
    UPDATE principals p
    SET used_bytes = p.used_bytes + u.bytes, messages = p.messages + u.messages
    FROM unnest($33::bytea[], $34::bytea[], $35::bigint[], $36::bigint[])
         AS u (tenant, principal, bytes, messages)
    WHERE p.tenant = u.tenant AND p.principal = u.principal
)
INSERT INTO audit_outbox (event) SELECT * FROM unnest($37::bytea[])
"""

_EPOCHS = """
INSERT INTO epochs (tenant, principal, epoch, sealed)
SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[])
ON CONFLICT DO NOTHING
"""

_QUEUE = """
INSERT INTO queue (tenant, item, body, principal, epoch, epoch_index, slot, size, recipients, created_ms,
                   not_before_ms, due_ms, destination, envelope)
SELECT q.tenant, q.item, q.body, q.principal, q.epoch, q.epoch_index, q.slot, q.size, q.recipients,
       q.created_ms, q.not_before_ms, q.not_before_ms, q.destination, q.envelope
FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::int[], $7::bigint[],
            $8::int[], $9::int[], $10::bigint[], $11::bigint[], $12::text[], $13::bytea[])
     AS q (tenant, item, body, principal, epoch, epoch_index, slot, size, recipients, created_ms,
           not_before_ms, destination, envelope)
"""

_ENSURE_PRINCIPALS = """
INSERT INTO principals (tenant, principal) SELECT * FROM unnest($1::bytea[], $2::bytea[])
ON CONFLICT DO NOTHING
"""

_ENSURE_MAILBOX = """
WITH owner AS (
    UPDATE principals
    SET uid_validity_last = greatest($5, uid_validity_last + 1), list_version = list_version + 1
    WHERE tenant = $1 AND principal = $2
    RETURNING uid_validity_last
)
INSERT INTO mailboxes (tenant, principal, mailbox, role, uid_validity)
SELECT $1, $2, $3, $4, uid_validity_last FROM owner
"""


@dataclass(slots=True)
class PrincipalState:
    """A locked principal: what it may use and what it uses, in octets."""

    limit_bytes: int | None
    used_bytes: int
    added_bytes: int = 0
    added_messages: int = 0


@dataclass(slots=True)
class MailboxState:
    """A locked mailbox: where it stands, and what is being added."""

    tenant: bytes
    mailbox: bytes
    principal: bytes
    role: str
    uid_validity: int
    uid_next: int
    highest_modseq: int
    messages: int = 0
    unseen: int = 0
    deleted: int = 0
    size: int = 0
    keywords: set[str] = field(default_factory=set)
    """Of what is being added."""


@dataclass(slots=True)
class DepositState:
    """The rows that a group of deposits depends on, locked until its transaction ends."""

    principals: dict[tuple[bytes, bytes], PrincipalState] = field(default_factory=dict)
    mailboxes: dict[tuple[bytes, bytes], MailboxState] = field(default_factory=dict)
    """By tenant and mailbox."""
    by_role: dict[tuple[bytes, bytes, str], MailboxState] = field(default_factory=dict)
    """By tenant, principal and role."""
    known: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)
    """Bodies that are stored already, with the answer that their deposit got."""


class BodyInsert(NamedTuple):
    """A row of `bodies`."""

    tenant: bytes
    body: bytes
    pack: int
    offset: int
    length: int
    refs: int
    placed: bytes
    summary: bytes
    text_length: int = 0


class MessageInsert(NamedTuple):
    """A row of `messages`; keywords are joined by spaces, None when there are none."""

    tenant: bytes
    mailbox: bytes
    uid: int
    modseq: int
    internal_ms: int
    slot: int
    size: int
    epoch_index: int
    flags: int
    label: int
    body: bytes
    epoch: bytes
    keywords: str | None
    saved_ms: int


class QueueInsert(NamedTuple):
    """A row of `queue`."""

    tenant: bytes
    item: bytes
    body: bytes
    principal: bytes
    epoch: bytes
    epoch_index: int
    slot: int
    size: int
    recipients: int
    created_ms: int
    not_before_ms: int
    destination: str
    envelope: bytes


class EpochInsert(NamedTuple):
    """A row of `epochs`."""

    tenant: bytes
    principal: bytes
    epoch: bytes
    sealed: bytes


@dataclass(slots=True)
class DepositRows:
    """Everything that one group adds."""

    bodies: list[BodyInsert] = field(default_factory=list)
    messages: list[MessageInsert] = field(default_factory=list)
    queue: list[QueueInsert] = field(default_factory=list)
    epochs: list[EpochInsert] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)


async def lock_for_deposits(
    connection: Connection,
    principals: Sequence[tuple[bytes, bytes]],
    roles: Sequence[tuple[bytes, bytes, str]],
    mailboxes: Sequence[tuple[bytes, bytes]],
    bodies: Sequence[tuple[bytes, bytes]],
) -> DepositState:
    """Lock what a group depends on; what is not there is missing from the answer."""
    rows = await connection.fetch(
        _LOCK,
        [item[0] for item in principals],
        [item[1] for item in principals],
        [item[0] for item in roles],
        [item[1] for item in roles],
        [item[2] for item in roles],
        [item[0] for item in mailboxes],
        [item[1] for item in mailboxes],
        [item[0] for item in bodies],
        [item[1] for item in bodies],
    )
    state = DepositState()
    for kind, tenant, identifier, owner, role, a, b, c, placed in rows:
        if kind == "mailbox":
            box = MailboxState(tenant, identifier, owner, role, a, b, c)
            state.mailboxes[tenant, identifier] = box
            if role:
                state.by_role[tenant, owner, role] = box
        elif kind == "principal":
            state.principals[tenant, identifier] = PrincipalState(a, b)
        else:
            state.known[tenant, identifier] = placed
    return state


async def ensure_mailboxes(
    connection: Connection, wanted: Iterable[tuple[bytes, bytes, str]], now_seconds: int
) -> None:
    """Make the mailboxes (tenant, principal, role) that are missing, and the principals. A principal seen
    for the first time gets one for every role.

    Two that do so at once: one of them loses the race for a unique key and is run again.
    """
    roles: dict[tuple[bytes, bytes], set[str]] = {}
    for tenant, principal, role in wanted:
        roles.setdefault((tenant, principal), set()).add(role)
    ordered = sorted(roles)
    await connection.execute(_ENSURE_PRINCIPALS, [item[0] for item in ordered], [item[1] for item in ordered])
    for tenant, principal in ordered:
        await connection.execute(
            "SELECT 1 FROM principals WHERE tenant = $1 AND principal = $2 FOR UPDATE", tenant, principal
        )
        rows = await connection.fetch(
            "SELECT role FROM mailboxes WHERE tenant = $1 AND principal = $2 AND role <> ''",
            tenant,
            principal,
        )
        there = {row[0] for row in rows}
        needed = roles[tenant, principal] if "inbox" in there else set(ROLES)
        for role in sorted(needed - there, key=ROLES.index):
            await connection.execute(_ENSURE_MAILBOX, tenant, principal, new_id(), role, now_seconds)


async def store_deposits(connection: Connection, state: DepositState, rows: DepositRows) -> None:
    """Store a group: bodies, messages, queue, epochs, the counts in `state`, and events for the ledger."""
    boxes = [box for box in state.mailboxes.values() if box.messages]
    people = [(key, item) for key, item in state.principals.items() if item.added_messages]
    await connection.execute(
        _STORE,
        *columns(rows.bodies, len(BodyInsert._fields)),
        *columns(rows.messages, len(MessageInsert._fields)),
        [box.tenant for box in boxes],
        [box.mailbox for box in boxes],
        [box.uid_next for box in boxes],
        [box.highest_modseq for box in boxes],
        [box.messages for box in boxes],
        [box.unseen for box in boxes],
        [box.deleted for box in boxes],
        [box.size for box in boxes],
        [" ".join(sorted(box.keywords)) or None for box in boxes],
        [key[0] for key, _ in people],
        [key[1] for key, _ in people],
        [item.added_bytes for _, item in people],
        [item.added_messages for _, item in people],
        rows.events,
    )
    if rows.queue:
        await connection.execute(_QUEUE, *columns(rows.queue, len(QueueInsert._fields)))


async def store_epochs(connection: Connection, epochs: Sequence[EpochInsert]) -> None:
    """Store sealed epoch secrets; the first one under an identifier stands."""
    if epochs:
        await connection.execute(_EPOCHS, *columns(sorted(epochs), len(EpochInsert._fields)))


def columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    """Turn rows of `width` values into one list for each column, as unnest wants them."""
    if not rows:
        return [[] for _ in range(width)]
    return [list(column) for column in zip(*rows, strict=True)]
