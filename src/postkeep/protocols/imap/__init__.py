"""IMAP4rev1 and rev2 without IO: bytes in, values out, and back; the server's half and the client's.

Start at `reader` (cuts commands out of the stream), `parser` (command text to frozen values) and `responses`
(values to bytes). `encoder` and `client` are the other role. Sources: RFC 3501, RFC 9051 and the extensions
named beside each line.
"""
