-- Annotations of mailboxes and of a person's whole account, and subscriptions to names without a mailbox: all of
-- one scope in one sealed blob, so that the vault learns neither how many there are nor what they are called.

ALTER TABLE principals ADD COLUMN entries_version bigint NOT NULL DEFAULT 0;  -- counts changes to any of them

CREATE TABLE entries (
    tenant      bytea    NOT NULL,
    principal   bytea    NOT NULL,                  -- whose key it is sealed to: the reader of a private blob
    mailbox     bytea    NOT NULL,                  -- all zeros: the account itself
    scope       smallint NOT NULL,                  -- 0: private, 1: shared with whoever may read the mailbox
    version     bigint   NOT NULL,                  -- the principal's entries_version when it was written
    epoch       bytea    NOT NULL,
    epoch_index integer  NOT NULL,
    sealed      bytea    NOT NULL,
    PRIMARY KEY (tenant, principal, mailbox, scope)
) WITH (toast_tuple_target = 8160);
ALTER TABLE entries ALTER sealed SET STORAGE EXTERNAL;  -- sealed bytes don't compress
CREATE INDEX entries_of_mailbox ON entries (tenant, mailbox);
