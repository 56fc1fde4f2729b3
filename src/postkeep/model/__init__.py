"""Frozen values that the whole system speaks in: identity, mail, tickets, audit. No wire, no store."""
