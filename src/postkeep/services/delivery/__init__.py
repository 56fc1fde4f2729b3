"""From received bytes to a sealed deposit: pure stages, one file each. Start with `stages`."""
