"""The only SQL and the only files of durable data: one file per table family."""
