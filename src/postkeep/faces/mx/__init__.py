"""Inbound SMTP (RFC 5321): recipients are checked at RCPT, nothing is relayed, a 250 means durable.

`routes` says what RCPT is answered, `connection` is the session. What the SMTP faces share is in
`postkeep.faces.smtp`; delivery itself is `postkeep.services.delivery`.

`postmaster`: at a company's domain it is an address like any other, and accepted when it exists. Without a
domain it stands for the postmaster at the node's own host name. `VRFY` always answers 252.
"""
