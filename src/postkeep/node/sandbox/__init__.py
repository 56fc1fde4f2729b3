"""What a module's process may still do once it runs: `docs/sandbox.md` says what holds where.

`process` takes privileges away, `landlock` limits the file system and the network, `seccomp` the system
calls. Start at `process.confine`.
"""
