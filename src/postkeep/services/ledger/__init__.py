"""The ledger: an append-only Merkle log of every security event, with signed heads and an offline check.

Start with `api` (what can be asked) and `trail` (how a module reports). Inside: `service` answers, `journal`
writes in groups from one thread, `sources` keeps the numbers of each reporter. `verify` checks a directory
with nothing but a public key; `tree_check` and `numbers` are its two halves, `finding` its words.
"""
