-- Staff, requests and their votes. Each value is sealed as a whole: who can write the database but has no
-- key can neither make an approver nor an approval. The columns beside it only find it.

CREATE TABLE staff (
    staff  bytea PRIMARY KEY CHECK (length(staff) = 16),
    lookup bytea NOT NULL UNIQUE CHECK (length(lookup) = 32),
    sealed bytea NOT NULL
);

CREATE TABLE requests (
    request   bytea PRIMARY KEY CHECK (length(request) = 16),
    kind      text NOT NULL,
    digest    bytea NOT NULL CHECK (length(digest) = 32),
    requester bytea NOT NULL CHECK (length(requester) = 16),
    live      boolean NOT NULL,
    sealed    bytea NOT NULL
);
-- The same act asked for twice by the same person is one request.
CREATE UNIQUE INDEX requests_live ON requests (kind, digest, requester) WHERE live;

-- One row, locked by whatever changes anything here: such acts are rare, and must be counted one by one.
CREATE TABLE governance (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    sealed   bytea NOT NULL
);
INSERT INTO governance (sealed) VALUES ('');
