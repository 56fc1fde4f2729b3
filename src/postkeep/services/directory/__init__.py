"""A cached, signature-checked view of who receives mail. Start with `view`."""
