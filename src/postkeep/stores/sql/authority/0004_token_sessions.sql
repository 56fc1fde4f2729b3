-- A session that was opened with an access token ends with it.

ALTER TABLE sessions ADD COLUMN expires_ms bigint;
