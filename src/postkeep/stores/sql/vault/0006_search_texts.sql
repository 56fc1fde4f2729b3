-- A message's sealed search text lies behind its body, in the same frame of the pack. 0: it has none.
ALTER TABLE bodies ADD COLUMN text_length integer NOT NULL DEFAULT 0;
