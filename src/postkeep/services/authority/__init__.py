"""Accounts, credentials, sessions, directory; it alone mints tickets. Start with `service`."""
