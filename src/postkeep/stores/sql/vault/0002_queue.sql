-- The outbound queue, beside the mailboxes so that Sent and queue are one transaction; and events that wait
-- for the ledger, written in the transaction that they tell of.

CREATE TABLE queue (
    tenant         bytea    NOT NULL,
    item           bytea    NOT NULL,
    body           bytea    NOT NULL,
    principal      bytea    NOT NULL,
    epoch          bytea    NOT NULL,
    epoch_index    integer  NOT NULL,
    slot           bigint   NOT NULL,
    size           integer  NOT NULL,
    recipients     integer  NOT NULL,
    attempts       integer  NOT NULL DEFAULT 0,
    created_ms     bigint   NOT NULL,
    not_before_ms  bigint   NOT NULL,
    due_ms         bigint   NOT NULL,               -- while leased: the end of the lease
    lease          bytea,
    held           boolean  NOT NULL DEFAULT false,
    delay_notified boolean  NOT NULL DEFAULT false,
    destination    text     NOT NULL,
    reason         text     NOT NULL DEFAULT '',
    envelope       bytea    NOT NULL,
    PRIMARY KEY (tenant, item)
) WITH (fillfactor = 70);
ALTER TABLE queue ALTER envelope SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX queue_by_item ON queue (item);
CREATE INDEX queue_due ON queue (due_ms) WHERE NOT held;  -- the relay serves all tenants of this database

CREATE TABLE audit_outbox (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event  bytea  NOT NULL
);
