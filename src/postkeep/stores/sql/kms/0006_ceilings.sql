-- Who is stopped because more epochs were opened than anybody needs: kept, so that a restart lifts nothing.
CREATE TABLE ceiling_stops (
    kind     text   NOT NULL,
    subject  text   NOT NULL,
    since_ms bigint NOT NULL,
    until_ms bigint NOT NULL,
    PRIMARY KEY (kind, subject)
);
