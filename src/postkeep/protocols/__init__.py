"""Sans-IO protocol cores: bytes in, events out, both roles. No sockets, no clock, no store."""
