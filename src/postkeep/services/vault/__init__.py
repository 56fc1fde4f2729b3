"""Mailboxes and sealed messages: holds data and no key. Start with `service`."""
