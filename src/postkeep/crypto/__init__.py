"""Cryptographic formats over pyca/cryptography: pure functions of bytes, no primitive of our own."""
