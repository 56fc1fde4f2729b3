-- Mailboxes and messages. Every table is keyed by tenant first, so that tenants can be spread over databases.
-- No row ever holds a wrapped key: `slot` names the record of the erasable slots that does.

CREATE TABLE principals (
    tenant            bytea   NOT NULL,
    principal         bytea   NOT NULL,
    limit_bytes       bigint,                       -- NULL: no limit
    used_bytes        bigint  NOT NULL DEFAULT 0,
    messages          bigint  NOT NULL DEFAULT 0,
    list_version      bigint  NOT NULL DEFAULT 1,   -- counts changes to the list of mailboxes
    uid_validity_last bigint  NOT NULL DEFAULT 0,   -- no two mailboxes of a principal ever share a UIDVALIDITY
    PRIMARY KEY (tenant, principal)
) WITH (fillfactor = 50);                           -- room for updates in place
CREATE INDEX principals_by_id ON principals (principal);

CREATE TABLE mailboxes (
    tenant         bytea   NOT NULL,
    principal      bytea   NOT NULL,
    mailbox        bytea   NOT NULL,
    role           text    NOT NULL DEFAULT '',
    name_epoch     bytea,                           -- NULL: the usual name of its role
    name_index     integer,
    name_sealed    bytea,
    subscribed     boolean NOT NULL DEFAULT true,
    selectable     boolean NOT NULL DEFAULT true,
    uid_validity   bigint  NOT NULL,
    uid_next       bigint  NOT NULL DEFAULT 1,
    highest_modseq bigint  NOT NULL DEFAULT 1,
    vanished_since bigint  NOT NULL DEFAULT 0,      -- expunges at or below this modseq are forgotten
    messages       bigint  NOT NULL DEFAULT 0,
    unseen         bigint  NOT NULL DEFAULT 0,
    deleted        bigint  NOT NULL DEFAULT 0,
    size           bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, mailbox)
) WITH (fillfactor = 50);
CREATE INDEX mailboxes_of_principal ON mailboxes (tenant, principal);
CREATE UNIQUE INDEX mailboxes_by_role ON mailboxes (tenant, principal, role) WHERE role <> '';

-- A body is stored once per tenant. When nothing refers to it any more its row stays for a while without its
-- summary, so that a deposit that is tried again late is still recognised.
CREATE TABLE bodies (
    tenant  bytea   NOT NULL,
    body    bytea   NOT NULL,
    pack    integer NOT NULL,
    "offset" bigint NOT NULL,
    length  integer NOT NULL,
    refs    integer NOT NULL,
    gone_ms bigint,
    placed  bytea   NOT NULL,                       -- the answer that its deposit got
    summary bytea   NOT NULL,
    PRIMARY KEY (tenant, body)
) WITH (toast_tuple_target = 8160);
ALTER TABLE bodies ALTER summary SET STORAGE EXTERNAL;  -- sealed bytes don't compress

CREATE TABLE messages (
    tenant      bytea    NOT NULL,
    mailbox     bytea    NOT NULL,
    uid         bigint   NOT NULL,
    modseq      bigint   NOT NULL,
    internal_ms bigint   NOT NULL,
    slot        bigint   NOT NULL,
    size        integer  NOT NULL,
    epoch_index integer  NOT NULL,
    flags       smallint NOT NULL,                  -- bits: seen, answered, flagged, deleted, draft
    label       smallint NOT NULL,
    body        bytea    NOT NULL,
    epoch       bytea    NOT NULL,
    keywords    text[],
    PRIMARY KEY (tenant, mailbox, uid)
);
CREATE INDEX messages_by_modseq ON messages (tenant, mailbox, modseq);

CREATE TABLE expunged (
    tenant  bytea    NOT NULL,
    mailbox bytea    NOT NULL,
    modseq  bigint   NOT NULL,
    lows    bigint[] NOT NULL,                      -- inclusive UID ranges, ascending
    highs   bigint[] NOT NULL,
    PRIMARY KEY (tenant, mailbox, modseq)
);

CREATE TABLE epochs (
    tenant    bytea NOT NULL,
    principal bytea NOT NULL,
    epoch     bytea NOT NULL,
    sealed    bytea NOT NULL,
    PRIMARY KEY (tenant, principal, epoch)
) WITH (toast_tuple_target = 8160);
ALTER TABLE epochs ALTER sealed SET STORAGE EXTERNAL;

-- Slots whose message is gone from the rows and whose record must be overwritten before anyone is told so.
CREATE TABLE slot_erasures (
    tenant bytea  NOT NULL,
    slot   bigint NOT NULL,
    PRIMARY KEY (tenant, slot)
);

-- Packs hold bodies of many tenants: this is bookkeeping of one disk, not data of a tenant.
CREATE TABLE packs (
    pack       integer PRIMARY KEY,
    dead_bytes bigint  NOT NULL DEFAULT 0,
    walked     boolean NOT NULL DEFAULT false       -- closed, and searched for bytes without a row
) WITH (fillfactor = 50);
