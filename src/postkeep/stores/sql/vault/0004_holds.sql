-- Legal holds, as the vault enforces them. What an owner expunges under a hold moves out of sight with its wraps.

CREATE TABLE holds (
    tenant    bytea NOT NULL,
    hold      bytea NOT NULL,
    principal bytea NOT NULL DEFAULT '',   -- empty: the whole tenant
    mailbox   bytea NOT NULL DEFAULT '',   -- empty: everything of the principal
    kind      text  NOT NULL,              -- the class of its reason, for refusals
    until_ms  bigint,                      -- NULL: until it is released
    PRIMARY KEY (tenant, hold)
);

-- A mailbox of held messages: of whom they were, and from which mailbox.
CREATE TABLE held_mailboxes (
    tenant  bytea NOT NULL,
    mailbox bytea NOT NULL,
    owner   bytea NOT NULL,
    origin  bytea NOT NULL,
    PRIMARY KEY (tenant, mailbox)
);
