-- Media that hold or held data, with their history. Names of witnesses stand as they were given: a record
-- of destruction is worth what its witnesses can be asked.

CREATE TABLE media (
    asset   bytea  PRIMARY KEY CHECK (length(asset) = 16),
    tag     text   NOT NULL UNIQUE,
    made_ms bigint NOT NULL,
    body    bytea  NOT NULL     -- the asset as a MessagePack value
) WITH (fillfactor = 70);
