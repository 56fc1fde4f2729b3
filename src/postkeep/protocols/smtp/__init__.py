"""SMTP as bytes in, events out: both roles, no sockets, no clock, no tasks.

Start with `states` (the one table of what may follow what), then `server.ServerConnection` and
`client.ClientConnection`. `content` reads a message from the wire, `parameters` and `path` read the
arguments of MAIL and RCPT, `replies` holds every sentence the server core says of its own accord.

Sources: RFC 5321 (SMTP), 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 3030 (CHUNKING),
3207 (STARTTLS), 2034 and 3463 (enhanced status codes), 3461 (DSN), 4954 (AUTH), 9422 (LIMITS).
"""
