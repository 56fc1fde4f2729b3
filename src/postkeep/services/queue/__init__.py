"""The outbound queue: what is due, what became of it. Start with `api`."""
