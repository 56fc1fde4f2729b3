"""Authenticated SMTP (RFC 6409, RFC 8314): users hand in mail, over TLS only, as themselves only.

`connection` is the session, `signin` the SASL exchanges, `sessions` keeps tickets fresh and cuts sessions
that are revoked. What happens to a message is in `postkeep.services.delivery`: `submitted` checks and
completes it, `submit` sends it on its ways.

The Received field names neither the client's address nor its port: where a user works is not the recipients'
business. The session's end is the ticket's end: closing the connection signs out.
"""
