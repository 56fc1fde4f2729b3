"""Upkeep and administration: destruction, compaction, the operator's commands. Start with `service`."""
