"""A running node: configuration, supervisor, wiring, command line."""
