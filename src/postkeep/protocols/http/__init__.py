"""HTTP/1.1 as far as a small service of our own needs it (RFC 9110, RFC 9112): heads in, heads out, sans IO.

Start with `head`. Bodies have a Content-Length or none; transfer codings are refused.
"""
