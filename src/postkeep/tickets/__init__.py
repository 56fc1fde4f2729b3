"""Tickets and the channel that carries them: mint, verify, clear, rules."""
