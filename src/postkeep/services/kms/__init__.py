"""The key hierarchy: opens, signs, shreds; gives a key only for two valid tickets. Start with `service`."""
