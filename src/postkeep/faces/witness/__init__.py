"""The witness on the network: C2SP tlog-witness over HTTP/1.1. TLS is the business of a proxy before it."""
