-- How many changes the key store has seen: kms compares it at its start with the slots' count and with its own
-- file, so that an older copy of either is not taken for the present one.
CREATE TABLE store_states (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    state    bigint NOT NULL
);
