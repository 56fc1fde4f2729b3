-- Legal holds, as kms enforces them: keys that one covers are not destroyed.

CREATE TABLE holds (
    tenant    bytea NOT NULL,
    hold      bytea NOT NULL,
    principal bytea NOT NULL DEFAULT '',   -- empty: the whole tenant
    kind      text  NOT NULL,              -- the class of its reason, for refusals
    until_ms  bigint,                      -- NULL: until it is released
    PRIMARY KEY (tenant, hold)
);
