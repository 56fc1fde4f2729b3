"""What the two SMTP faces share: a connection on a socket around the sans-IO core.

`connection` is the asyncio Protocol, `face` what all connections of one process have in common (limits,
timers), `replies` the table from error codes to replies.
"""
